"""The keys with which a checkpoint describes itself, and what may stand under each.

Whoever writes another key names it here: what is not named is left out on reading, with a word.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, WrapValidator
from torch import Tensor
from typing_extensions import TypedDict

from segtrace.data.limits import SIDE

MOST = 2**31
"""Numbers in the maps of one rule at one stage: 8 GiB."""
MILLIMETRES = "two sizes in mm are needed for each slice, three for each volume, or NaN"
ORGANS = 254
"""As many as the data's label tables hold."""


def _is(dimensions: int | tuple[int, ...], *kinds: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A check that a tensor has so many dimensions and is of one of these kinds."""
    allowed = dimensions if isinstance(dimensions, tuple) else (dimensions,)

    def check(tensor: Tensor) -> Tensor:
        if tensor.ndim not in allowed or tensor.dtype not in kinds:
            names = " or ".join(str(kind).removeprefix("torch.") for kind in kinds)
            raise ValueError(
                f"a tensor of {tensor.ndim} dimensions and {tensor.dtype}; "
                f"{' or '.join(map(str, allowed))} of {names} are needed"
            )
        return tensor

    return check


def _agree(probes: dict[str, Any]) -> dict[str, Any]:
    """As many cases as slices, images, labels; labels as large as images."""
    each = {name: value for name, value in probes.items() if name != "ends"}
    counts = {name: len(v) for name, v in each.items() if isinstance(v, list | Tensor)}
    if len(set(counts.values())) > 1:
        raise ValueError(f"{', '.join(f'{n} {name}' for name, n in counts.items())} are no slices")
    images, labels = probes.get("images"), probes.get("labels")
    if images is not None and labels is not None and images.shape[2:] != labels.shape[1:]:
        raise ValueError(f"labels {tuple(labels.shape)} on images {tuple(images.shape)}")
    spacing = probes.get("spacing")
    if images is not None and spacing is not None and spacing.shape[1] != images.ndim - 2:
        raise ValueError(f"spacing: {MILLIMETRES}")
    return probes


def _coherent(keys: dict[str, Any]) -> dict[str, Any]:
    """The slices are as large as the preprocessing makes them, and no more than can be explained.

    The maps of one rule at the finest stage are as many numbers as slices x organs x pixels.
    """
    images, prepared = keys.get("probes", {}).get("images"), keys.get("preprocessing", {})
    if images is None:
        return keys
    size, patch = prepared.get("size"), prepared.get("patch")
    made = (size, size) if size is not None else patch and tuple(reversed(patch))
    if made is not None and tuple(images.shape[2:]) != made:
        raise ValueError(f"images of {tuple(images.shape[2:])}, made to be of {made}")
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
    if spacing.shape[1] not in (2, 3) or bool((spacing <= 0).any()):
        raise ValueError(MILLIMETRES)
    return spacing


def _rising(ends: list[float]) -> list[float]:
    if ends[0] >= ends[1]:
        raise ValueError("the value that is black has to be below the one that is white")
    return ends


def _sides(tensor: Tensor) -> Tensor:
    if max(tensor.shape[-3:], default=0) > SIDE or 0 in tensor.shape:
        raise ValueError(f"slices of {tuple(tensor.shape[-2:])}; 1 to {SIDE} pixels are allowed")
    return tensor


Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(max_length=255)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Ends = Annotated[list[Finite], Field(min_length=2, max_length=2), AfterValidator(_rising)]
Whole = Annotated[int, Field(ge=0, le=2**31)]
Some = Annotated[list[Name], Field(min_length=1)]
Organs = Annotated[
    dict[Name, Annotated[int, Field(ge=0, le=65535)]], Field(min_length=1, max_length=ORGANS)
]
Layout = Annotated[str, Field(pattern=r"^(nchw|nhwc|tokens(\(\d{1,5}(, *\d{1,5}){1,2}\))?)$")]
Bare = Annotated[dict[Text, Any], AfterValidator(_written)]
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
Images = Annotated[Tensor, AfterValidator(_is((4, 5), torch.float32)), AfterValidator(_sides)]
Labels = Annotated[Tensor, AfterValidator(_is((3, 4), torch.uint8)), AfterValidator(_sides)]
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
    part: Annotated[list[Whole], Field(min_length=2, max_length=2)] | None
    layout: Layout


CHANNELS = 64
"""Of an image, at most."""
WINDOWS = ("percentile", "zscore")
""":data:`segtrace.data.views.windowing.NORMALISATIONS`, for which this file does not wait."""


def _or_a_name(value: Any, numbers: Callable[[Any], Any]) -> Any:
    several = isinstance(value, list) and value and all(isinstance(v, list | str) for v in value)
    if several and len(value) <= CHANNELS:
        return [_or_a_name(one, numbers) for one in value]
    return value if isinstance(value, str) and value in WINDOWS else numbers(value)


Millimetres = Annotated[
    list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=3, max_length=3)
]
Voxels = Annotated[list[Annotated[int, Field(ge=1, le=SIDE)]], Field(min_length=3, max_length=3)]


class Prepared(TypedDict, total=False):
    """How a volume becomes input."""

    window: Annotated[list[Finite], Field(min_length=2, max_length=2), WrapValidator(_or_a_name)]
    size: Annotated[int, Field(ge=1, le=SIDE)]
    spacing: Millimetres | None
    patch: Voxels | None
    overlap: Annotated[float, Field(ge=0, lt=1)]
    organs: Organs
    orientation: Text
    padding: Text
    resizing: Text
    channels: Annotated[int, Field(ge=1, le=CHANNELS)]
    version: Whole


class Watched(TypedDict, total=False):
    """The slices that were looked at."""

    cases: Some
    slices: Annotated[list[Whole], Field(min_length=1)]
    spacing: Spacing
    split: Text
    phantom: bool
    sides_known: bool
    axcodes: Annotated[str, Field(pattern="^([RLAPSI]{3})?$")]
    hounsfield_known: bool
    by_file: bool
    ends: Ends
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
    aggregate: Literal["minmax", "max", "minmax_all", "max_all"] | None
    activation: Literal["softmax", "sigmoid"] | None


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
    split: dict[Literal["train", "val", "test"], list[Name]]
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
KEYS = TypeAdapter(Annotated[Keys, AfterValidator(_coherent)])
