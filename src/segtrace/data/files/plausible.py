"""Whether an image's values can be HU at all: said before a network reads them as such.

Bounds are whole numbers, which whole voxels are compared with as they are stored.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

STORED = 1024
"""What scanners add to HU so that no stored value is negative."""
NARROW = 50.0
"""A CT's values lie further apart than that: fat and water alone are 100 HU apart."""
WATER = -20
"""HU below which one voxel in a hundred lies in every CT that is not cut out of one organ."""
BRIGHT = 4000
"""HU that metal alone exceeds."""
DARK = -3500
"""HU below which nothing lies, not even what pads a scan."""
TWICE = (-1200, -850, -200)
"""HU between which tissue lies when ``STORED`` was taken off twice, and that nothing is above."""
SURROUNDING = ((-1150.0, -850.0), (-3200.0, -1900.0))
"""HU of the air around a patient, give or take, and of what pads a scan."""
AIR, DENSE, MOST_DENSE = -500, 500, 0.3
"""HU below which is air, HU above which is bone, and how much of what is no air may be bone."""


def not_hounsfield(values: NDArray[Any]) -> str | None:
    """Why an image cannot be in HU; ``None`` where it can.

    Judged is the image as a whole: water is 0 HU, fat and air lie below, so a CT has negative
    values, spread over hundreds of HU. (One that was clipped to a window still has.)

    Args:
        values: in the units of the file, of any shape; finite.

    >>> print(not_hounsfield(np.array([-1000.0, -90, 40, 60])))
    None
    >>> not_hounsfield(np.array([0.0, 30, 400, 900]))
    'its values run from 0 to 900, hardly any below 0, where CT has fat and air'
    """
    voxels = values.ravel("K")  # in the order in which they lie, which is no matter but for time
    low, high = float(voxels.min()) + 0.0, float(voxels.max()) + 0.0  # not -0
    span = f"its values run from {low:.4g} to {high:.4g}"
    if high - low < NARROW:
        return f"{span}, too narrow for CT; they were scaled, it seems"
    if _share(voxels < WATER) < 0.01:  # noise and ringing reach below the air of a scan
        return f"{span}, hardly any below 0, where CT has fat and air{_shifted(voxels)}"
    if _share(voxels > BRIGHT) > 0.01:
        return f"{span}, more than 1 % of them above {BRIGHT:.0f}, as metal alone is"
    if _share(voxels < DARK) > 0.01:
        return f"{span}, more than 1 % of them below {DARK:.0f}, where CT has nothing"
    if _is_shifted_twice(voxels):
        return f"{span}, all of the body far below 0; they look like HU - {STORED}"
    if (around := _background(values)) is not None:
        return f"{span}, the air around the body at {around:.4g} in the place of -1000"
    dense = int(np.count_nonzero(voxels > DENSE)) / max(1, int(np.count_nonzero(voxels > AIR)))
    if dense > MOST_DENSE:  # what pads a scan may stand for air, and hide that there is none
        return f"{span}, {dense:.0%} of all but air above {DENSE:.0f}, as bone is{_shifted(voxels)}"
    return None


def _share(mask: Any) -> float:
    """Of all voxels those that are marked: the mean, which takes ten times as long."""
    return int(np.count_nonzero(mask)) / mask.size


def _shifted(values: NDArray[Any]) -> str:
    return f"; they look like HU + {STORED}" if _is_shifted(values) else ""


def _is_shifted(values: NDArray[Any]) -> bool:
    """Whether most is air or soft tissue, ``STORED`` higher, and little lies between the two."""
    dense = values[values > STORED // 2]
    between = _share((values > 200) & (values < 800))
    return dense.size > 0 and abs(float(np.median(dense)) - STORED) < 150 and between < 0.2


def _is_shifted_twice(values: NDArray[Any]) -> bool:
    """Whether soft tissue lies where air should, noisy air far below that, and nothing near 0.

    A scan of air and a table has nothing near 0 either, but no noise below its air: what pads it
    has one value.
    """
    lowest, highest, rare = TWICE
    if _share(values > rare) > 0.003:
        return False
    below = values[values < lowest]
    if _share((values > lowest) & (values < highest)) < 0.02 or not below.size:
        return False
    kinds, counts = np.unique(np.round(below), return_counts=True)
    noisy = 1 - float(counts.max()) / values.size - _share(values >= lowest)
    return len(kinds) > 8 and noisy > 0.02


def _background(values: NDArray[Any]) -> float | None:
    """Where the air around the body lies, if it is seen and cannot be air; else ``None``.

    Air is seen where most of the border (of rows and columns) has about one value, the darkest of
    the scan, with a gap above it. One value exactly may come of a window, and says nothing.
    """
    if values.ndim < 2 or min(values.shape[:2]) < 8:
        return None
    border = np.concatenate([values[[0, -1]].ravel(), values[:, [0, -1]].ravel()])
    air = float(np.median(border))
    known = any(low <= air <= high for low, high in SURROUNDING)
    if known or _share(border == border.min()) > 0.2:  # clipped
        return None
    values = values.astype(np.float32, copy=False)
    room = float(np.percentile(values, 99)) - air
    flat = _share(np.abs(border - air) < 0.03 * room)
    darker = _share(values < air - 0.1 * room)
    gap = _share((values > air + 0.15 * room) & (values < air + 0.5 * room))
    return air if room > NARROW and flat > 0.5 and darker < 0.01 and gap < 0.15 else None
