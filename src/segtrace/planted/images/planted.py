"""One image with what is known of it, and the noise that it lies in."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from segtrace.data.phantom.exact import FINE, blurred, deviation, on_grid

SIDE = 64
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Corner = tuple[int, int]
Places = tuple[Mask, Mask]
"""Of the evidence and of its decoy."""


@dataclass(frozen=True)
class Planted:
    """One image with what is known of it; every array (SIDE, SIDE).

    Attributes:
        image: float32 in [0, 1].
        label: uint8, 0 and the numbers of the task's classes.
        far: the deciding mark outside of what is segmented; empty where none is shown.
        near: the one inside it, which is the tag in ``shortcut``.
        far_decoy: the decoy beside ``far``.
        near_decoy: the decoy beside ``near``.
    """

    image: Image
    label: NDArray[np.uint8]
    far: Mask
    near: Mask
    far_decoy: Mask
    near_decoy: Mask

    @property
    def evidence(self) -> Mask:
        """What decides: the near mark where there is one, for it is the easier one to find."""
        return self.near if self.near.any() else self.far

    @property
    def decoy(self) -> Mask:
        """As large and as easy to see, in a place that might as well have been the evidence's."""
        return self.near_decoy if self.near.any() else self.far_decoy

    def mirrored(self) -> "Planted":
        """Left for right."""
        return Planted(
            **{own.name: getattr(self, own.name)[:, ::-1].copy() for own in fields(self)}
        )


def noise(random: np.random.Generator) -> NDArray[np.float64]:
    """(SIDE, SIDE) a grey image, smooth and fine noise."""
    smooth = on_grid(blurred(random.normal(0, 1, (SIDE, SIDE)), (6, 6)), FINE)
    image: NDArray[np.float64] = (
        0.42 + 0.02 * smooth / deviation(smooth) + random.normal(0, 0.03, (SIDE, SIDE))
    )
    return image


def square(corner: Corner, height: int, width: int | None = None) -> Mask:
    """A rectangle, as wide as it is high where no width is named."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    top, left = corner
    mask[top : top + height, left : left + (width or height)] = True
    return mask


def in_chance_order(one: Mask, other: Mask, random: np.random.Generator) -> Places:
    """Which of two places is the evidence's."""
    return (one, other) if random.random() < 0.5 else (other, one)
