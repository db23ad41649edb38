"""What a checkpoint says of itself: which keys there are, what may stand in each, and its age."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from torch import Tensor
from typing_extensions import TypedDict

from segtrace.errors import InputError, printable
from segtrace.models import networks
from segtrace.training.plain import plain

FORMAT = 2
"""Of the description. 1 named the class of the network by its path and had no number."""
KEY = "segtrace"
"""The key under which a checkpoint describes itself."""
KNOWN, FOREIGN = "_network_", "_class_"
"""Beside the arguments of a network: its key in the table, or the name of a class outside it."""
BEFORE = "_target_"
"""Where format 1 had the path of the class."""
SHORT = (str, bool, int, float, type(None))
"""Values that a message repeats."""
SIDE = 4096
"""Most rows and columns of a slice."""
MOST = 2**31
"""Numbers in the maps of one rule at one stage: 8 GiB."""
ORGANS = 254
"""As many as the data's label tables hold."""


def _is(dimensions: int, *kinds: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A check that a tensor has so many dimensions and is of one of these kinds."""

    def check(tensor: Tensor) -> Tensor:
        if tensor.ndim != dimensions or tensor.dtype not in kinds:
            names = " or ".join(str(kind).removeprefix("torch.") for kind in kinds)
            raise ValueError(
                f"a tensor of {tensor.ndim} dimensions and {tensor.dtype}; {dimensions} of {names} "
                "are needed"
            )
        return tensor

    return check


def _agree(probes: dict[str, Any]) -> dict[str, Any]:
    """As many cases as slices, images, labels; labels as large as images."""
    counts = {name: len(v) for name, v in probes.items() if isinstance(v, list | Tensor)}
    if len(set(counts.values())) > 1:
        raise ValueError(f"{', '.join(f'{n} {name}' for name, n in counts.items())} are no slices")
    images, labels = probes.get("images"), probes.get("labels")
    if images is not None and labels is not None and images.shape[-2:] != labels.shape[-2:]:
        raise ValueError(f"labels {tuple(labels.shape)} on images {tuple(images.shape)}")
    return probes


def _coherent(keys: dict[str, Any]) -> dict[str, Any]:
    """The slices are as large as the preprocessing makes them, and no more than can be explained.

    The maps of one rule at the finest stage are as many numbers as slices x organs x pixels.
    """
    images, size = keys.get("probes", {}).get("images"), keys.get("preprocessing", {}).get("size")
    if images is None:
        return keys
    if size is not None and tuple(images.shape[-2:]) != (size, size):
        raise ValueError(f"slices of {tuple(images.shape[-2:])}, made with size {size}")
    if images.numel() * len(keys.get("organs", {})) > MOST:
        raise ValueError(f"maps of {len(images)} slices and {len(keys['organs'])} organs: too many")
    return keys


def _written(value: dict[str, Any]) -> dict[str, Any]:
    """What a manifest can hold as well: no tensors."""
    try:
        json.dumps(value)
    except TypeError as error:
        raise ValueError("text and numbers are needed") from error
    return value


def _spelled(place: Any) -> Any:
    return {"module": place} if isinstance(place, str) else place


def _millimetres(spacing: Tensor) -> Tensor:
    if spacing.shape[1] != 2 or bool((spacing <= 0).any()):
        raise ValueError("two sizes in mm are needed for each slice, or NaN")
    return spacing


def _sides(tensor: Tensor) -> Tensor:
    if max(tensor.shape[-2:], default=0) > SIDE or 0 in tensor.shape:
        raise ValueError(f"slices of {tuple(tensor.shape[-2:])}; 1 to {SIDE} pixels are allowed")
    return tensor


Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(max_length=255)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=0, le=2**31)]
Some = Annotated[list[Name], Field(min_length=1)]
Organs = Annotated[
    dict[Name, Annotated[int, Field(ge=0, le=65535)]], Field(min_length=1, max_length=ORGANS)
]
Layout = Annotated[str, Field(pattern=r"^(nchw|nhwc|tokens\(\d{1,5}(, *\d{1,5}){1,2}\))$")]
Bare = Annotated[dict[Text, Any], AfterValidator(_written)]
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
Images = Annotated[Tensor, AfterValidator(_is(4, torch.float32)), AfterValidator(_sides)]
Labels = Annotated[Tensor, AfterValidator(_is(3, torch.uint8)), AfterValidator(_sides)]
Spacing = Annotated[Tensor, AfterValidator(_is(2, torch.float64)), AfterValidator(_millimetres)]
Hounsfield = Annotated[Tensor, AfterValidator(_is(2, torch.int16)), AfterValidator(_sides)]
Channels = Annotated[Tensor, AfterValidator(_is(1, *FLOATS))]


class Place(TypedDict, total=False):
    """Where a stage lies."""

    module: Text
    layout: Layout


class Entry(TypedDict, total=False):
    """Where an edge lies."""

    stage: Text
    module: Text
    argument: Annotated[int, Field(ge=-64, le=64)] | Text | None
    joined: Literal["cat", "add"] | None
    beside: Text | None
    source: Text


class Prepared(TypedDict, total=False):
    """How a volume becomes input."""

    window: Annotated[list[Finite], Field(min_length=2, max_length=2)]
    size: Annotated[int, Field(ge=1, le=SIDE)]
    organs: Organs
    orientation: Text
    padding: Text
    resizing: Text
    version: Whole


class Watched(TypedDict, total=False):
    """The slices that were looked at."""

    cases: Some
    slices: Annotated[list[Whole], Field(min_length=1)]
    spacing: Spacing
    split: Text
    phantom: bool
    hash: Text
    images: Images
    labels: Labels | None
    originals: list[Hounsfield] | None


class Explaining(TypedDict, total=False):
    """What is explained."""

    rules: Annotated[list[Name], Field(min_length=1, max_length=64)]
    region: Text
    score: Text
    stages: Some | None
    organs: Annotated[list[Name], Field(min_length=1, max_length=ORGANS)] | None
    measures: Literal["leading", "all"]
    aggregate: Literal["minmax", "max"] | None


class Case(TypedDict):
    """A whole case."""

    voxel_ml: float
    truth_ml: dict[Name, float]


class Found(TypedDict):
    """An organ of a whole case, as the network found it."""

    dice: float
    voxels: float


class Means(TypedDict):
    """What a cut puts in an activation's place."""

    count: Annotated[int, Field(ge=2)]
    channels: dict[Name, Channels]
    spread: dict[Name, Channels]
    maps: dict[Name, Tensor]


class Machine(TypedDict, total=False):
    """Where it was trained."""

    python: Text
    platform: Text
    cpu: Text
    threads: Annotated[int, Field(ge=1)]
    packages: dict[Text, Text]


class Source(TypedDict, total=False):
    """What data it was trained on."""

    name: Text
    settings: Bare


class Keys(TypedDict, total=False):
    """All that a checkpoint may say of itself; which of it is needed, its readers know."""

    format: Annotated[int, Field(ge=1)]
    version: Text
    network: Bare
    stages: Annotated[
        dict[Name, Annotated[Place, BeforeValidator(_spelled)]],
        Field(min_length=1, max_length=1000),
    ]
    edges: Annotated[dict[Name, Entry], Field(max_length=1000)] | None
    organs: Organs
    preprocessing: Prepared
    source: Source
    probes: Annotated[Watched, AfterValidator(_agree)]
    cases: dict[Name, Case]
    explain: Explaining
    cut_every: Annotated[int, Field(ge=1)] | None
    memory_format: Literal["channels_last", "contiguous"]
    environment: Machine
    epoch: Whole
    dice: dict[Name, float]
    found: dict[Name, dict[Name, Found]]
    baselines: Means | None


CONFIG = "__pydantic_config__"
"""Where pydantic looks for how strictly a TypedDict is to be taken."""
for kind in (
    Place, Entry, Prepared, Watched, Explaining, Case, Found, Means, Machine, Source, Keys
):  # fmt: skip
    setattr(kind, CONFIG, ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True))
_KEYS = TypeAdapter(Annotated[Keys, AfterValidator(_coherent)])


NESTED = (
    "probes", "preprocessing", "explain", "environment", "source", "settings", "baselines",
)  # fmt: skip
"""Parts that may lack a key as well."""


class Description(dict[str, Any]):
    """Values of a checkpoint by their keys; one that lacks is a user's mistake, in one line.

    Attributes:
        unknown: keys that are not known here, which a newer version may have written.
    """

    def __init__(self, values: Mapping[str, Any], where: str, unknown: Sequence[str] = ()) -> None:
        super().__init__(
            {
                key: Description(value, f"{where}: {key}")
                if key in NESTED and isinstance(value, Mapping)
                else value
                for key, value in values.items()
            }
        )
        self.where, self.unknown = where, tuple(unknown)

    def __missing__(self, key: str) -> Any:
        raise InputError(
            f"{self.where} lacks {key!r}, which this segtrace needs; was it written by another "
            "version?"
        )


def understood(found: Any, path: Path) -> Description:
    """The description of a checkpoint, each value of the kind it must be.

    Args:
        found: as it came out of the file.
        path: of the file.

    Raises:
        InputError: a newer format, or a value of another kind.
    """
    values = plain(found, str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: it describes itself by a {type(found).__name__}, not a dict")
    number = values.get("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise InputError(
            f"{path} has format {number}, written by segtrace {values.get('version', 'unknown')}; "
            f"this one reads 1 to {FORMAT}: update segtrace"
        )
    unknown = [".".join(map(str, place)) for place in _dropped(values, path)]
    if "network" in values:
        values["network"] = _network(values["network"])
    return Description(values, str(path), unknown)


def _dropped(values: dict[str, Any], path: Path) -> list[tuple[int | str, ...]]:
    """Take out what has an unknown key, and say where it was.

    Raises:
        InputError: a value of another kind than its key asks for.
    """
    try:
        _KEYS.validate_python(values)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        places = [one["loc"] for one in wrong if one["type"] == "extra_forbidden"]
        if len(places) < len(wrong):
            first = next(one for one in wrong if one["type"] != "extra_forbidden")
            value = first["input"]
            given = f" is {printable(repr(value), 80)}" if isinstance(value, SHORT) else ""
            why = first["msg"].removeprefix("Value error, ")
            at = printable(".".join(map(str, first["loc"])), 80) or "description"
            raise InputError(f"{path}: {at}{given}: {why}; no checkpoint of train.py") from error
        for place in places:
            _drop(values, place)
        return places + _dropped(values, path)  # what was beside them is not yet held together
    return []


def _drop(values: Any, place: tuple[int | str, ...]) -> None:
    for part in place[:-1]:
        values = values[part]
    del values[place[-1]]


def _network(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe of today's format, whatever the one in the file; nothing is looked up elsewhere."""
    if BEFORE not in recipe or KNOWN in recipe or FOREIGN in recipe:
        return recipe
    rest = {name: value for name, value in recipe.items() if name != BEFORE}
    path = str(recipe[BEFORE])
    key = networks.PATHS.get(path)
    return {FOREIGN: path, **rest} if key is None else {KNOWN: key, **rest}
