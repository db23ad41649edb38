"""Slices made small, and labels brought back, as TransUNet's program does it.

By ``scipy.ndimage.zoom``, whose first and last pixels keep their centres; of order 3, which
overshoots the image's values, and of order 0 for labels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

Shape = tuple[int, int]


def zoomed(stack: NDArray[Any], shape: Shape, order: int) -> NDArray[Any]:
    """(D, H, W) -> (D, *shape), one slice after the other; as it is where that is its shape.

    A stack as a whole would be another thing: splines of order 3 would reach across slices.
    """
    rows, columns = stack.shape[1:]
    if (rows, columns) == shape:
        return stack
    factors = shape[0] / rows, shape[1] / columns
    return np.stack([zoom(plane, factors, order=order) for plane in stack])


def step(pixels: int, size: int) -> float:
    """How many pixels lie between two neighbours of the ``size`` that they were zoomed to.

    >>> step(9, 3)
    4.0
    """
    return max(pixels - 1, 1) / max(size - 1, 1)
