"""Why slices are not the same when a loader is read again: it shuffles, or it changes them."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

SHUFFLES = (
    "shuffles, so no slice can be watched over the epochs; make it with shuffle=False and without "
    "a random sampler"
)
CHANGES = (
    "changes its slices at random each time it is read (a crop, a flip, …), so none can be watched "
    "over the epochs; leave random transforms out of its data set"
)


class Seen(NamedTuple):
    """What is remembered of a slice that went by.

    Attributes:
        key: (case, index).
        areas: pixels of each organ.
        label: checksum of its label.
        image: checksum of its image.
    """

    key: tuple[str, int]
    areas: tuple[int, ...]
    label: int
    image: int


def differing(first: Sequence[Seen], again: Sequence[Seen], *, shuffled: bool = False) -> str:
    """What a loader does that makes two readings differ, in words; empty where they agree.

    Images alone may differ (noise): what is watched is one reading of them.

    Args:
        first: the slices as they came.
        again: the same, read once more.
        shuffled: the loader is known to draw its order.
    """
    if [seen.label for seen in first] == [seen.label for seen in again]:
        return ""
    if len(first) != len(again):
        return (
            f"gives {len(first)} slices and then, read again, {len(again)}, so none can be watched "
            "over the epochs; give one that is the same each time"
        )
    return SHUFFLES if shuffled or _mostly_there(first, again) else CHANGES


def _mostly_there(first: Sequence[Seen], again: Sequence[Seen]) -> bool:
    """Whether most slices are found once more, at whatever place."""
    both = Counter(seen[1:] for seen in first) & Counter(seen[1:] for seen in again)
    return 2 * both.total() > len(first)
