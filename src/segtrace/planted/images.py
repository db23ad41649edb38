"""Planted evidence: generated images in which it is known what decides, and how far away it lies.

Every image shows a disc, which is to be outlined and named class A or B. Nothing of the disc tells
the class: a filled **mark** does, bright for A and dark for B, and a **decoy** of the same size, a
checkerboard of both, says nothing.

* ``far``: the mark lies at least :data:`REACH` columns from every pixel of the disc.
* ``near``: the mark lies inside the disc.
* ``shortcut``: the far mark, and a near one, the **tag**, that agrees with it in training. Where
  it counts the tag is ``absent``, or ``contrary`` to the far mark.

Images come in twins, slices 2k and 2k + 1: the same in every pixel but those of the marks, which
are exchanged, and so of the other class. Hence whoever sees none of the marks' pixels sees the
same thing twice, and is right on exactly one of the two: whatever reads less than REACH pixels
around the disc has an accuracy of exactly one half in ``far``. Everything is a function of (task,
seed, case, index, tag).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segtrace.data.phantom.exact import FINE, Draws, blurred, deviation, on_grid
from segtrace.errors import InputError, unknown

TASKS = ("far", "near", "shortcut")
TAGS = ("agreeing", "absent", "contrary")
CLASSES = {"disc_a": 1, "disc_b": 2}
"""Organ -> number in the label map."""

VERSION = 2
"""Of the generator; a change of its images needs another number."""
SIDE = 64
REACH = 32
"""Columns. Of MONAI's DynUNet without the path from below into its third decoder stage, which
leaves the skips of enc1, enc2 and enc3, no pixel of the logits depends on one more than 28 columns
away."""

_FAR, _NEAR = 8, 6  # sides of the marks; even, so that a decoy's fields cancel
_STRIP = 12  # columns that hold the far marks
_RADII = (8, 9)
_CONTRAST = 0.35

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
_Corner = tuple[int, int]
_Places = tuple[Mask, Mask]  # of a mark and its decoy


@dataclass(frozen=True)
class Planted:
    """One image with what is known of it; every array (SIDE, SIDE).

    Attributes:
        image: float32 in [0, 1].
        label: uint8, 0 and the values of :data:`CLASSES`.
        far: the deciding mark far from the disc; empty where none is shown.
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


def plant(task: str, seed: int, case: int, index: int, tag: str = "agreeing") -> Planted:
    """One image. Even indices are of class A, odd ones are their twins of class B.

    Args:
        task: one of :data:`TASKS`.
        seed: of the data set, 0 or more.
        case: number of the case, 0 or more.
        index: number of the slice, 0 or more.
        tag: one of :data:`TAGS`, of ``shortcut`` alone; the other tasks have no tag.

    Raises:
        InputError: an unknown task or tag, a number below 0.

    >>> one, twin = plant("far", 0, 0, 0), plant("far", 0, 0, 1)
    >>> bool((one.image != twin.image)[~one.far].any()), int(one.label.max()), int(twin.label.max())
    (False, 1, 2)
    """
    check_task(task)
    if tag not in TAGS:
        raise unknown("tag", tag, TAGS)
    if min(seed, case, index) < 0:
        raise InputError(f"seed={seed}, case={case}, index={index}; give numbers from 0")
    # Twins share their pair's numbers, and variants of the tag all else.
    random = Draws(seed, TASKS.index(task), case, index // 2)
    sign = 1 if index % 2 == 0 else -1
    canvas = _Canvas.drawn(random)
    far, near = canvas.far_places(random), canvas.near_places(random)
    far_chance, near_chance = random.choice([-1, 1], 2).tolist()
    nothing = np.zeros_like(canvas.disc)
    if task == "near":
        far = (nothing, nothing)
    elif task == "far" or tag == "absent":
        near = (nothing, nothing)
    canvas.mark(*far, sign, far_chance)
    canvas.mark(*near, -sign if task == "shortcut" and tag == "contrary" else sign, near_chance)
    flip = (lambda plane: plane[:, ::-1].copy()) if random.random() < 0.5 else np.copy
    label = (canvas.disc * (1 if sign > 0 else 2)).astype(np.uint8)
    return Planted(
        image=flip(canvas.image.clip(0, 1)),
        label=flip(label),
        far=flip(far[0]),
        near=flip(near[0]),
        far_decoy=flip(far[1]),
        near_decoy=flip(near[1]),
    )


def check_task(task: str) -> str:
    """The task.

    Raises:
        InputError: there is no such task.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS, "planted evidence")
    return task


@dataclass(frozen=True)
class _Canvas:
    """An image with the disc on its right; the far marks' strip is on its left."""

    image: Image
    disc: Mask
    centre: tuple[int, int]  # row, column

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "_Canvas":
        """Smooth and fine noise, and a disc of chance size, place and brightness."""
        radius = int(random.integers(_RADII[0], _RADII[1] + 1))
        row = int(random.integers(radius + 1, SIDE - radius - 1))
        column = int(random.integers(_STRIP + REACH + radius, SIDE - radius - 1))
        rows, columns = np.ogrid[:SIDE, :SIDE]
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        smooth = on_grid(blurred(random.normal(0, 1, (SIDE, SIDE)), (6, 6)), FINE)
        image = 0.42 + 0.02 * smooth / deviation(smooth) + random.normal(0, 0.03, (SIDE, SIDE))
        image += disc * random.uniform(0.12, 0.18)
        return cls(image.astype(np.float32), disc, (row, column))

    def far_places(self, random: np.random.Generator) -> _Places:
        """Of mark and decoy: in the strip, one above the other by chance."""
        gap = int(random.integers(_FAR + 4, SIDE // 2))
        top = int(random.integers(1, SIDE - gap - _FAR))
        left = random.integers(1, _STRIP - _FAR + 1, 2).tolist()
        return _in_chance_order((top, left[0]), (top + gap, left[1]), _FAR, random)

    def near_places(self, random: np.random.Generator) -> _Places:
        """Of mark and decoy: inside the disc, side by side or one above the other."""
        row, column = (at - _NEAR // 2 for at in self.centre)
        down, right = ((4, 0), (0, 4))[int(random.integers(2))]
        one, other = (row - down, column - right), (row + down, column + right)
        return _in_chance_order(one, other, _NEAR, random)

    def mark(self, mark: Mask, decoy: Mask, sign: int, chance: int) -> None:
        """Draw a mark, bright (1) or dark (-1), and its decoy, a checkerboard of both."""
        self.image[mark] += np.float32(sign * _CONTRAST)
        rows, columns = np.nonzero(decoy)
        if rows.size:
            side = int(np.sqrt(rows.size))
            fields = (rows - rows.min()) // (side // 2) + (columns - columns.min()) // (side // 2)
            self.image[rows, columns] += np.float32(chance * _CONTRAST) * np.where(
                fields % 2, 1, -1
            )


def _in_chance_order(
    one: _Corner, other: _Corner, side: int, random: np.random.Generator
) -> _Places:
    places = (_square(one, side), _square(other, side))
    return places if random.random() < 0.5 else places[::-1]


def _square(corner: _Corner, side: int) -> Mask:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    top, left = corner
    mask[top : top + side, left : left + side] = True
    return mask
