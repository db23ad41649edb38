"""What nnU-Net v2 planned: ``plans.json`` and the labels of ``dataset.json``, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from segtrace.activation import SIGMOID, SOFTMAX, Organ
from segtrace.data.labels import check_names
from segtrace.errors import InputError, printable, unknown
from segtrace.integrations.files import needed
from segtrace.integrations.nnunet.older_plans import architecture_of
from segtrace.integrations.windows import check_patch
from segtrace.models import arguments as kinds

SCHEMES = (
    "CTNormalization", "ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization",
    "RGBTo01Normalization",
)  # fmt: skip
"""How a channel's values are normalised, by the names of nnU-Net's classes."""
TURNED, AS_STORED = "NibabelIOWithReorient", ("SimpleITKIO", "NibabelIO")
READERS = (*AS_STORED, TURNED)
"""Those of nnU-Net's readers that read NIfTI files; the last turns them to RAS."""
RESAMPLING = "resample_data_or_seg_to_shape"
"""The function that nnU-Net's own plans name."""
IGNORE = "ignore"
MOST_CHANNELS = 64

_Positive = Annotated[float, Field(ge=0.01, le=2.0**16, allow_inf_nan=False)]
_Order = Annotated[int, Field(strict=True, ge=0, le=5)]
_CONFIGURATION = {
    "patch_size": Annotated[kinds.Widths, Field(min_length=2, max_length=3)],
    "spacing": Annotated[list[_Positive], Field(min_length=2, max_length=3)],
    "normalization_schemes": Annotated[list[str], Field(min_length=1, max_length=MOST_CHANNELS)],
    "use_mask_for_norm": Annotated[list[kinds.Flag], Field(max_length=MOST_CHANNELS)],
}
_RESAMPLING = {
    "is_seg": Literal[False],
    "order": _Order,
    "order_z": Literal[0],
    "force_separate_z": kinds.Flag | None,
}
_INTENSITIES = ("mean", "std", "percentile_00_5", "percentile_99_5")
_Intensity = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Resampling:
    """How values come onto another grid.

    Attributes:
        order: of the spline.
        separate: planes for themselves, the nearest along the third axis; ``None`` where spacings
            say it.
    """

    order: int
    separate: bool | None


@dataclass(frozen=True)
class Plans:
    """What is done to an image before the network sees it, and what the network is.

    Attributes:
        configuration: ``2d``, ``3d_fullres``, …
        reader: one of :data:`READERS`.
        transposed: order of the axes z, y, x of a file.
        patch: sides of what the network takes, two or three.
        spacing: mm along them.
        schemes: of each channel, one of :data:`SCHEMES`.
        masked: of each channel, whether values are normalised within what is not zero.
        intensities: of each channel, numbers of the training's foreground by their names.
        image: how an image is resampled.
        logits: how logits are.
        architecture: class, arguments and which of these are classes; see
            :mod:`segtrace.integrations.nnunet.network`.
    """

    configuration: str
    reader: str
    transposed: tuple[int, int, int]
    patch: tuple[int, ...]
    spacing: tuple[float, ...]
    schemes: tuple[str, ...]
    masked: tuple[bool, ...]
    intensities: tuple[Mapping[str, float], ...]
    image: Resampling
    logits: Resampling
    architecture: Mapping[str, Any]

    @classmethod
    def of(cls, plain: Mapping[str, Any], configuration: str, where: str) -> "Plans":
        """One configuration of the plans.

        Args:
            plain: the file.
            configuration: its name.
            where: the file, for messages.

        Raises:
            InputError: it is not there, is the second of a cascade, or holds what nnU-Net's own
                plans do not.
        """
        own = _inherited(needed(plain, "configurations", dict, where), configuration, where)
        if own.get("previous_stage") is not None:
            raise InputError(
                f"{where}: {configuration} is the second stage of a cascade, which is shown the "
                "segmentation of the first; explain the first, or 3d_fullres"
            )
        at = f"{where}: {configuration}"
        for name in _CONFIGURATION:
            needed(own, name, list, at)
        given = kinds.checked(_CONFIGURATION, {name: own[name] for name in _CONFIGURATION}, at)
        patch, spacing = given["patch_size"], given["spacing"]
        schemes, masked = given["normalization_schemes"], given["use_mask_for_norm"]
        for scheme in schemes:
            if scheme not in SCHEMES:
                raise unknown("normalisation", printable(scheme, 80), SCHEMES, "nnU-Net's own list")
        if len(patch) != len(spacing) or len(schemes) != len(masked):
            raise InputError(
                f"{at}: patch {patch}, spacing {spacing}, {len(schemes)} normalisations and "
                f"{len(masked)} masks do not fit; plan the data set again"
            )
        check_patch(patch, f"{at}: patch_size")
        reader = needed(plain, "image_reader_writer", str, where)
        if reader not in READERS:
            raise unknown("reader", printable(reader, 80), READERS, "what reads NIfTI files")
        order = needed(plain, "transpose_forward", list, where)
        if sorted(map(str, order)) != ["0", "1", "2"] or not all(type(n) is int for n in order):
            raise InputError(f"{where}: transpose_forward={order}; an order of 0, 1, 2 is needed")
        architecture = architecture_of(own, at)
        return cls(
            configuration, reader, (order[0], order[1], order[2]), tuple(patch), tuple(spacing),
            tuple(schemes), tuple(masked), _intensities(plain, schemes, where),
            _resampling(own, "resampling_fn_data", at),
            _resampling(own, "resampling_fn_probabilities", at), architecture,
        )  # fmt: skip

    @property
    def channels(self) -> int:
        """Of an image."""
        return len(self.schemes)


@dataclass(frozen=True)
class Labels:
    """What the channels of the logits mean.

    Attributes:
        organs: organ -> channel, and number in the label files.
        activation: ``softmax``; ``sigmoid`` where organs are regions, which may overlap.
        regions: of each channel of a sigmoid the numbers that it is made of.
        written: of each channel of a sigmoid the number that nnU-Net writes for it, in this order.
        heads: channels of the logits.
    """

    organs: Mapping[str, Organ]
    activation: str
    heads: int
    regions: tuple[tuple[int, ...], ...] = ()
    written: tuple[int, ...] = ()

    @classmethod
    def of(cls, dataset: Mapping[str, Any], where: str) -> "Labels":
        """Those of ``dataset.json``.

        Raises:
            InputError: there are none, or numbers that do not count up from 0.
        """
        given = dict(needed(dataset, "labels", dict, where))
        given.pop(IGNORE, None)
        numbers = {name: _numbers(name, value, where) for name, value in given.items()}
        organs = {name: found for name, found in numbers.items() if set(found) != {0}}
        check_names(organs)
        if not organs:
            raise InputError(f"{where}: no label but the background; name an organ")
        if any(isinstance(value, list) for value in given.values()):
            order = needed(dataset, "regions_class_order", list, where)
            if len(order) != len(organs) or not all(type(n) is int for n in order):
                raise InputError(
                    f"{where}: regions_class_order={order} for {len(organs)} regions; give each a "
                    "number"
                )
            named = {name: Organ(i, order[i]) for i, name in enumerate(organs)}
            return cls(named, SIGMOID, len(organs), tuple(organs.values()), tuple(order))
        found = sorted(number for (number,) in numbers.values())
        if found != list(range(len(found))):
            raise InputError(f"{where}: labels {found} do not count up from 0 (the background)")
        return cls({name: Organ(n, n) for name, (n,) in organs.items()}, SOFTMAX, len(found))


def _numbers(name: str, value: Any, where: str) -> tuple[int, ...]:
    several = value if isinstance(value, list) else [value]
    if not several or not all(type(n) is int and 0 <= n <= 255 for n in several):
        raise InputError(
            f"{where}: label {name}={printable(repr(value), 80)}; give whole numbers, 0 to 255"
        )
    return tuple(several)


def _inherited(there: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """A configuration with what it takes over from others."""
    chain: list[str] = []
    found: dict[str, Any] = {}
    while True:
        if name not in there or name in chain or not isinstance(there[name], dict):
            raise unknown("configuration", printable(name, 80), there, where)
        chain.append(name)
        found = {**there[name], **found}
        if not isinstance(parent := there[name].get("inherits_from"), str):
            return found
        name = parent


def _resampling(own: Mapping[str, Any], name: str, where: str) -> Resampling:
    if (function := own.get(name)) != RESAMPLING:
        raise unknown("resampling", printable(function, 80), [RESAMPLING], f"{where}: {name}")
    given = needed(own, f"{name}_kwargs", dict, where)
    checked = kinds.checked(_RESAMPLING, given, f"{where}: {name}_kwargs")
    return Resampling(checked.get("order", 3), checked.get("force_separate_z", False))


def _intensities(
    plain: Mapping[str, Any], schemes: list[str], where: str
) -> tuple[Mapping[str, float], ...]:
    """Those that a CT's normalisation needs."""
    name = "foreground_intensity_properties_per_channel"
    given = needed(plain, name, dict, where) if SCHEMES[0] in schemes else {}
    found: list[Mapping[str, float]] = []
    for channel, scheme in enumerate(schemes):
        if scheme != SCHEMES[0]:
            found.append({})
            continue
        own = needed(given, str(channel), dict, f"{where}: {name}")
        lacking = [key for key in _INTENSITIES if key not in own]
        if lacking:
            raise InputError(f"{where}: {name} of channel {channel} lacks {lacking[0]}")
        numbers = {key: own[key] for key in _INTENSITIES}
        of = f"{where}: {name} of channel {channel}"
        found.append(kinds.checked(dict.fromkeys(_INTENSITIES, _Intensity), numbers, of))
    return tuple(found)
