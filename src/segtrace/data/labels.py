"""Organ names, the numbers files store for them, and the channels a network predicts.

A *numbering* maps organ name -> number in a file; an *organ table* maps organ name -> channel 1..K
of the network (0 is the background). Both are plain dicts, so a checkpoint can hold them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segtrace.errors import InputError, unknown
from segtrace.names import check_shown

BTCV: dict[str, int] = {
    "spleen": 1,
    "right_kidney": 2,
    "left_kidney": 3,
    "gallbladder": 4,
    "esophagus": 5,
    "liver": 6,
    "stomach": 7,
    "aorta": 8,
    "inferior_vena_cava": 9,
    "portal_splenic_vein": 10,
    "pancreas": 11,
    "right_adrenal": 12,
    "left_adrenal": 13,
}
"""Numbers of the raw Synapse (BTCV) download."""

TRANSUNET: dict[str, int] = {
    "aorta": 1,
    "gallbladder": 2,
    "left_kidney": 3,
    "right_kidney": 4,
    "liver": 5,
    "pancreas": 6,
    "spleen": 7,
    "stomach": 8,
}
"""Numbers of the npz/h5 files that TransUNet distributes (9 classes with the background)."""

ORGAN_SETS: dict[str, tuple[str, ...]] = {"synapse8": tuple(TRANSUNET), "btcv13": tuple(BTCV)}
"""Named organ sets, in channel order; ``"all"`` means every organ of the files' own numbering."""

REMEDY = "correct the file or the table"

Number = TypeVar("Number", bound=np.generic)

_NEAR = 0.01
_LARGEST = 65535
_TOGETHER = 2**16  # voxels, which stay in the processor's cache
_MOST_STRANGE = 512  # values outside the table; a label of more organs than this is none
RESERVED: dict[str, str] = {
    "mean": "the mean over organs",
    "all": "all organs together",
    "sentences": "the text on all organs' routes",
    "background": "what is no organ",
}
"""Names that stand for something else beside those of organs, in tables, tags and files."""

_OUTSIDE = 255  # no channel is that large: a network of 255 organs is refused below


def organ_table(organs: str | Sequence[str], numbering: Mapping[str, int]) -> dict[str, int]:
    """Channels 1..K of the chosen organs.

    Args:
        organs: ``"synapse8"``, ``"btcv13"``, ``"all"`` or organ names in channel order.
        numbering: the organs the files can tell apart.

    Raises:
        InputError: an unknown set or organ, a reserved name, an organ named twice, or none at all.

    >>> organ_table(["liver", "spleen"], BTCV)
    {'liver': 1, 'spleen': 2}
    """
    names = _names(organs, numbering)
    check_shown("organ", names)
    for name in names:
        if name not in numbering:
            raise unknown("organ", name, numbering, "this data set")
    check_names(names)
    if len(set(names)) != len(names):
        raise InputError(f"an organ is named twice in {list(names)}; name each organ once")
    if not 0 < len(names) < _OUTSIDE:
        raise InputError(f"{len(names)} organs chosen; choose between 1 and {_OUTSIDE - 1}")
    return {name: channel for channel, name in enumerate(names, start=1)}


def check_names(organs: Iterable[str]) -> None:
    """Refuse organs whose numbers would be taken for those of something else, or of nothing.

    Raises:
        InputError: a reserved name, in small or capital letters; an empty one.

    >>> check_names(["liver", "mean_vein"])
    """
    for name in organs:
        if not str(name).strip():
            raise InputError(f"an organ is called {name!r}; give it a name that can be read")
        if (meaning := RESERVED.get(str(name).casefold())) is not None:
            raise InputError(
                f"organ {name!r}: in tables and charts that name stands for {meaning}; give the "
                f"organ another, e.g. {name}_1"
            )


def _names(organs: str | Sequence[str], numbering: Mapping[str, int]) -> tuple[str, ...]:
    if not isinstance(organs, str):
        return tuple(organs)
    if organs == "all":
        return tuple(sorted(numbering, key=lambda name: numbering[name]))
    if organs not in ORGAN_SETS:
        raise unknown("organ set", organs, [*ORGAN_SETS, "all"])
    return ORGAN_SETS[organs]


def check_numbering(numbering: Mapping[str, int]) -> dict[str, int]:
    """A user's own numbering, checked: whole numbers 1..65534, each used once.

    Raises:
        InputError: an empty table, a number out of range or given to two organs.
    """
    if not numbering:
        raise InputError("the label table is empty; give one number per organ, e.g. {liver: 1}")
    for name, number in numbering.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 65535:
            raise InputError(f"organ {name!r} has number {number!r}; allowed are 1 to 65534")
    if len(set(numbering.values())) != len(numbering):
        raise InputError(f"two organs share a number in {dict(numbering)}; give each its own")
    return dict(numbering)


def to_channels(
    label: NDArray[np.generic],
    numbering: Mapping[str, int],
    organs: Mapping[str, int],
    where: str,
    remedy: str = REMEDY,
) -> NDArray[np.uint8]:
    """Stored numbers -> channels; organs of the numbering that were not chosen become 0.

    Args:
        label: stored numbers, any shape, any numeric type.
        numbering: organ name -> stored number.
        organs: organ name -> channel (see :func:`organ_table`).
        where: the file, for the message.
        remedy: what to do where the numbering does not know a value.

    Raises:
        InputError: a value that the numbering does not know, or that is no label number.
    """
    whole = whole_numbers(label, numbering, where)
    table = np.full(_LARGEST + 1, _OUTSIDE, dtype=np.uint8)
    table[[0, *numbering.values()]] = 0
    for name, channel in organs.items():
        table[numbering[name]] = channel
    channels = _looked_up(table, whole)
    if channels.size and channels.max() == _OUTSIDE:
        strange = np.unique(whole[channels == _OUTSIDE])
        raise _outside(strange.tolist(), numbering, where, remedy)
    return channels


def only_known(
    label: NDArray[np.generic], numbering: Mapping[str, int], where: str
) -> NDArray[np.uint16]:
    """Stored numbers with those that the numbering does not know made 0, the background.

    Raises:
        InputError: a value that is no label number at all, or so many different ones that this
            cannot be a label.
    """
    whole = whole_numbers(label, numbering, where)
    table = np.zeros(_LARGEST + 1, dtype=np.uint16)
    table[list(numbering.values())] = list(numbering.values())
    found = _looked_up(table, whole)
    strange = np.unique(whole[found != whole])
    if len(strange) > _MOST_STRANGE:
        raise _outside(strange.tolist(), numbering, where, "")
    return found


def whole_numbers(
    label: NDArray[np.generic], numbering: Mapping[str, int], where: str
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The numbers that a label holds; those that are bytes stay bytes, and are not copied.

    A file that scales its values gives 3 back as 3.00005; within :data:`_NEAR` of a whole number
    a value is that number.

    Raises:
        InputError: a value that is no whole number from 0 to 65535.
    """
    if label.dtype == np.uint8:
        return label.view(np.uint8)
    if label.dtype.kind in "iu" and label.size and label.min() >= 0 and label.max() <= _LARGEST:
        return label.astype(np.uint16, copy=False)
    with np.errstate(invalid="ignore"):  # NaN, or what lies beyond, which is found to differ
        whole = label.astype(np.uint16)
        if np.array_equal(whole, label):
            return whole
        values = label.astype(np.float32, copy=False)
        whole = np.rint(values).clip(0, _LARGEST).astype(np.uint16)
    off = ~(np.abs(values - whole) <= _NEAR)
    if off.any():
        strange = np.unique(label[off])
        wanted = f"a label is a whole number from 0 to {_LARGEST}: save it as such, unscaled"
        raise _outside(strange.tolist(), numbering, where, wanted)
    return whole


def _outside(
    strange: Sequence[float], numbering: Mapping[str, int], where: str, remedy: str
) -> InputError:
    if len(strange) > _MOST_STRANGE:
        remedy = f"it holds {len(strange)} such values, so it is no label; is it the image?"
    return InputError(
        f"{where}: label value {strange[0]:g} is outside the label table, which has 0 and "
        f"{', '.join(f'{number} {name}' for name, number in numbering.items())}; {remedy}"
    )


def _looked_up(
    table: NDArray[Number], whole: NDArray[np.uint8] | NDArray[np.uint16]
) -> NDArray[Number]:
    """What a table, 0 at 0, has in the place of each number; most are 0, and need no look."""
    found = np.zeros(whole.shape, table.dtype)
    numbers, into = whole.reshape(-1), found.reshape(-1)
    for first in range(0, len(numbers), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        some = numbers[part] != 0
        into[part][some] = table[numbers[part][some]]
    return found
