"""Whether an image's values can be HU at all: said before a network reads them as such."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

STORED = 1024
"""What scanners add to HU so that no stored value is negative."""
NARROW = 50.0
"""A CT's values lie further apart than that: fat and water alone are 100 HU apart."""
WATER = -20.0
"""HU below which one voxel in a hundred lies in every CT that is not cut out of one organ."""
BRIGHT = 4000.0
"""HU that metal alone exceeds."""
AIR, DENSE, MOST_DENSE = -500.0, 500.0, 0.3
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
    low, high = float(values.min()) + 0.0, float(values.max()) + 0.0  # not -0
    span = f"its values run from {low:.4g} to {high:.4g}"
    if high - low < NARROW:
        return f"{span}, too narrow for CT; they were scaled, it seems"
    shifted = f"; they look like HU + {STORED}" if _is_shifted(values) else ""
    if float((values < WATER).mean()) < 0.01:  # noise and ringing reach below the air of a scan
        return f"{span}, hardly any below 0, where CT has fat and air{shifted}"
    if float((values > BRIGHT).mean()) > 0.01:
        return f"{span}, more than 1 % of them above {BRIGHT:.0f}, as metal alone is"
    dense = float((values > DENSE).sum()) / max(1, int((values > AIR).sum()))
    if dense > MOST_DENSE:  # what pads a scan may stand for air, and hide that there is none
        return f"{span}, {dense:.0%} of all but air above {DENSE:.0f}, as bone is{shifted}"
    return None


def _is_shifted(values: NDArray[Any]) -> bool:
    """Whether most is air or soft tissue, ``STORED`` higher, and little lies between the two."""
    dense = values[values > STORED / 2]
    between = float(((values > 200) & (values < 800)).mean())
    return dense.size > 0 and abs(float(np.median(dense)) - STORED) < 150 and between < 0.2
