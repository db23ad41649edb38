"""A triangle to be segmented only where a circle is anywhere in the image.

After the data of Hasany et al. 2024. Every image shows a triangle and two small figures. One of
them, the **evidence**, is a circle, and the triangle is to be segmented; in the twin the frame of a
square stands in its place, and nothing is. The other, the **decoy**, is a frame in both. Nothing
else differs, so that whoever does not see the evidence segments both triangles or none, and is
right on one.
"""

import numpy as np

from segtrace.planted.images.planted import (
    SIDE,
    Mask,
    Places,
    Planted,
    in_chance_order,
    noise,
    square,
)

CLASSES = {"triangle": 1}
"""Organ -> number in the label map."""

_FIGURE = 14  # pixels of a place along each side
_RADIUS = 7.0  # of the circle, 156 pixels; the frame has 132
_WIDE = 3  # pixels of the frame
_HEIGHTS = (16, 22)  # of the triangle
_CONTRAST = 0.3


def triangle(random: np.random.Generator, sign: int, tag: str) -> Planted:
    """One image: for 1 with a circle, for -1 the twin without; it has no tag."""
    image, shape = noise(random), _triangle(random)
    evidence, decoy = _places(random)
    image += shape * random.uniform(0.12, 0.18)
    image += (_circle(evidence) if sign > 0 else _frame(evidence)) * _CONTRAST
    image += _frame(decoy) * _CONTRAST
    nothing = np.zeros_like(shape)
    planted = Planted(
        image=image.astype(np.float32).clip(0, 1),
        label=(shape * (sign > 0)).astype(np.uint8),
        far=evidence,
        near=nothing,
        far_decoy=decoy,
        near_decoy=nothing,
    )
    return planted.mirrored() if random.random() < 0.5 else planted


def _triangle(random: np.random.Generator) -> Mask:
    """On the right: as wide at its base as it is high."""
    height = int(random.integers(_HEIGHTS[0], _HEIGHTS[1] + 1))
    top = int(random.integers(1, SIDE - height - 1))
    left = int(random.integers(SIDE // 2, SIDE - height - 1))
    rows, columns = np.ogrid[:SIDE, :SIDE]
    down, across = rows - top, columns - left
    within = (down >= 0) & (down < height)
    return np.asarray(within & (abs(2 * across - height + 1) <= down))


def _places(random: np.random.Generator) -> Places:
    """Of the evidence and the decoy: on the left, one above the other by chance."""
    gap = int(random.integers(_FIGURE + 2, SIDE - _FIGURE - 1))
    top = int(random.integers(1, SIDE - gap - _FIGURE))
    left = random.integers(1, SIDE // 2 - _FIGURE, 2).tolist()
    one, other = square((top, left[0]), _FIGURE), square((top + gap, left[1]), _FIGURE)
    return in_chance_order(one, other, random)


def _circle(place: Mask) -> Mask:
    rows, columns = np.nonzero(place)
    middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    all_rows, all_columns = np.ogrid[:SIDE, :SIDE]
    return np.asarray((all_rows - middle[0]) ** 2 + (all_columns - middle[1]) ** 2 <= _RADIUS**2)


def _frame(place: Mask) -> Mask:
    rows, columns = np.nonzero(place)
    inner = int(rows.min()) + _WIDE, int(columns.min()) + _WIDE
    return place & ~square(inner, _FIGURE - 2 * _WIDE)
