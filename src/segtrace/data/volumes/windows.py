"""Where patches lie in a volume: those that together cover it, and how one is cut out."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.data.volumes.geometry import Shape

Region = tuple[slice, slice, slice]


def windows(shape: Sequence[int], patch: Sequence[int], overlap: float) -> list[Shape]:
    """First voxels of the patches that cover a volume, the first axis slowest.

    Along each axis they lie as far apart as the overlap says, and the last ends with the volume.

    Args:
        shape: of the volume.
        patch: of a patch; where it is larger, it starts at 0 and is padded.
        overlap: of neighbours, as a share of a patch, below 1.

    >>> windows((4, 10, 3), (4, 4, 4), 0.5)
    [(0, 0, 0), (0, 2, 0), (0, 4, 0), (0, 6, 0)]
    """
    along = [starts(n, size, overlap) for n, size in zip(shape, patch, strict=True)]
    return [(z, y, x) for z, y, x in product(*along)]


def starts(voxels: int, size: int, overlap: float) -> list[int]:
    """First voxels of the windows along an axis, by the rule of MONAI's sliding window.

    >>> starts(10, 4, 0.5), starts(3, 4, 0.5)
    ([0, 2, 4, 6], [0])
    """
    last = max(voxels - size, 0)
    return [*range(0, last, max(1, int(size * (1 - overlap)))), last]


def region(start: Shape, shape: Sequence[int], patch: Sequence[int]) -> Region:
    """What a patch covers of a volume: less than itself where the volume is smaller."""
    z, y, x = (
        slice(first, min(first + size, n))
        for first, n, size in zip(start, shape, patch, strict=True)
    )
    return z, y, x


def padding(shape: Sequence[int], patch: Sequence[int]) -> list[tuple[int, int]]:
    """Voxels that a volume lacks of a patch, before and behind along each axis, centred.

    As MONAI's sliding window pads what is smaller than it.

    >>> padding((4, 10, 3), (4, 4, 8))
    [(0, 0), (0, 0), (2, 3)]
    """
    lacking = [max(size - n, 0) for n, size in zip(shape, patch, strict=True)]
    return [(less // 2, less - less // 2) for less in lacking]


def padded(cut: NDArray[Any], patch: Sequence[int]) -> NDArray[Any]:
    """(…, z, y, x) of at most a patch -> (…, *patch), with the window's low end, or no organ."""
    around = padding(cut.shape[-len(patch) :], patch)
    return np.pad(cut, [(0, 0)] * (cut.ndim - len(patch)) + around)
