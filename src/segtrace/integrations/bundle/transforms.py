"""The preprocessing that a bundle names, as far as it is in a fixed table of MONAI's transforms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from monai import transforms as monai
from monai.data.meta_tensor import MetaTensor
from pydantic import Field

from segtrace.errors import InputError, printable
from segtrace.integrations.bundle.references import DISABLED, TARGET, Config
from segtrace.models import arguments as kinds

IMAGE = "image"
NOTHING = (
    "LoadImage", "EnsureChannelFirst", "EnsureType", "ToTensor", "CastToType", "ToDevice",
    "SelectItems", "Identity",
)  # fmt: skip
"""What changes no value: the image is read, and has its channel first, anyway."""
KEYS = ("keys", "allow_missing_keys", "image_only", "dtype", "meta_keys", "meta_key_postfix")
_Mode = Literal["bilinear", "nearest"] | Annotated[int, Field(ge=0, le=5)]
_Padding = Literal["border", "zeros", "reflection"]
_Filling = Literal["constant", "edge", "maximum", "mean", "median", "minimum", "reflect"]
_Spacing = Annotated[float, Field(ge=0.1, le=2.0**16, allow_inf_nan=False)]
_Number = kinds.Number | Annotated[int, Field(strict=True, ge=-(2**16), le=2**16)] | None
TABLE: Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]] = {
    "Orientation": (
        partial(monai.Orientation, labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        {"axcodes": Annotated[str, Field(pattern="^[LRAPSI]{3}$")],
         "as_closest_canonical": kinds.Flag},
    ),
    "Spacing": (
        monai.Spacing,
        {"pixdim": _Spacing | Annotated[list[_Spacing], Field(min_length=3, max_length=3)],
         "diagonal": kinds.Flag, "mode": _Mode | list[_Mode],
         "padding_mode": _Padding | list[_Padding], "align_corners": kinds.Flag,
         "scale_extent": kinds.Flag},
    ),
    "ScaleIntensityRange": (
        monai.ScaleIntensityRange,
        {"a_min": _Number, "a_max": _Number, "b_min": _Number, "b_max": _Number,
         "clip": kinds.Flag},
    ),
    "ScaleIntensity": (
        monai.ScaleIntensity,
        {"minv": _Number, "maxv": _Number, "factor": _Number, "channel_wise": kinds.Flag},
    ),
    "ScaleIntensityRangePercentiles": (
        monai.ScaleIntensityRangePercentiles,
        {"lower": _Number, "upper": _Number, "b_min": _Number, "b_max": _Number,
         "clip": kinds.Flag, "relative": kinds.Flag, "channel_wise": kinds.Flag},
    ),
    "NormalizeIntensity": (
        monai.NormalizeIntensity,
        {"subtrahend": _Number | list[_Number], "divisor": _Number | list[_Number],
         "nonzero": kinds.Flag, "channel_wise": kinds.Flag},
    ),
    "CropForeground": (
        monai.CropForeground,
        {"margin": kinds.Sizes, "allow_smaller": kinds.Flag, "source_key": Literal["image"],
         "mode": _Filling | list[_Filling]},
    ),
}  # fmt: skip
"""Name without the ``d`` of dictionaries -> class, and what its arguments may be."""


@dataclass(frozen=True)
class Preprocessing:
    """Transforms in their order.

    Attributes:
        steps: of an image (C, X, Y, Z).
        left_out: names of those that are not in the table.
    """

    steps: Sequence[Callable[[MetaTensor], MetaTensor]]
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Config) -> "Preprocessing":
        """Those under ``preprocessing``.

        Raises:
            InputError: there are none; an argument that is an expression, or of no allowed kind.
        """
        place = "preprocessing"
        if place not in config.values:
            raise InputError(f"{config.where}: it has no {place}; name its transforms there")
        node = config.followed(config.values[place], place)
        listed = node.get("transforms") if isinstance(node, Mapping) else node
        listed = config.followed(listed, f"{place}#transforms")
        if not isinstance(listed, list):
            raise config.refused(f"{place}#transforms", listed, "a list of transforms is needed")
        steps, left_out = [], []
        for i, one in enumerate(listed):
            found = _step(config, config.followed(one, f"{place}#{i}"), f"{place}#{i}")
            if isinstance(found, str):
                left_out.append(found)
            elif found is not None:
                steps.append(found)
        return cls(tuple(steps), tuple(left_out))

    def __call__(self, image: MetaTensor) -> MetaTensor:
        """(C, X, Y, Z) with its affine -> the same as the network takes it."""
        for step in self.steps:
            image = step(image)
        return image


def _step(config: Config, node: Any, place: str) -> Callable[..., Any] | str | None:
    """A transform; its name where it is not in the table; ``None`` where there is nothing to do."""
    if not isinstance(node, Mapping):
        return printable(node, 60)
    name = str(node.get(TARGET)).removeprefix("monai.transforms.").rpartition(".")[2]
    bare = name.removesuffix("d").removesuffix("D").removesuffix("Dict")
    bare = bare if bare in TABLE or bare in NOTHING else name
    if config.plain(node.get(DISABLED, False), f"{place}#{DISABLED}") or bare in NOTHING:
        return None
    known = str(node.get(TARGET)) == name or str(node.get(TARGET)).startswith("monai.transforms.")
    if not known or bare not in TABLE:
        return printable(node.get(TARGET), 60)
    given = {key: config.plain(value, f"{place}#{key}") for key, value in node.items()}
    keys = given.get("keys", IMAGE)
    if IMAGE not in ([keys] if isinstance(keys, str) else keys):
        return None  # of labels alone
    build, allowed = TABLE[bare]
    own = {key: value for key, value in given.items() if key not in (*KEYS, TARGET, DISABLED)}
    arguments = kinds.checked(allowed, own, f"{config.where}: {place}: {name}")
    arguments.pop("source_key", None)
    for key in ("mode", "padding_mode"):  # of several keys one each
        if isinstance(value := arguments.get(key), list):
            arguments[key] = value[0 if isinstance(keys, str) else keys.index(IMAGE)]
    try:
        made: Callable[..., Any] = build(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"{config.where}: {place}: {name}: {printable(error, 200)}") from error
    return made
