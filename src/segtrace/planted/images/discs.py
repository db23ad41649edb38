"""A disc to be named A or B: what decides is a mark, far away or inside it, or a shortcut.

Every image shows a disc, which is to be outlined and named class A or B. Nothing of the disc tells
the class: a filled **mark** does, bright for A and dark for B, and a **decoy** of the same size, a
checkerboard of both, says nothing.

* ``far``: the mark lies at least :data:`REACH` columns from every pixel of the disc.
* ``near``: the mark lies inside the disc.
* ``shortcut``: the far mark, and a near one, the **tag**, that agrees with it in training. Where
  it counts the tag is ``absent``, or ``contrary`` to the far mark.

Twins are the same in every pixel but those of the marks, which are exchanged, and so of the other
class. Whoever sees none of the marks' pixels is right on exactly one of the two: whatever reads
less than REACH pixels around the disc has an accuracy of exactly one half in ``far``.
"""

from dataclasses import dataclass

import numpy as np

from segtrace.planted.images.planted import (
    SIDE,
    Image,
    Mask,
    Places,
    Planted,
    in_chance_order,
    noise,
    square,
)

CLASSES = {"disc_a": 1, "disc_b": 2}
"""Organ -> number in the label map."""
REACH = 32
"""Columns. Of MONAI's DynUNet without the path from below into its third decoder stage, which
leaves the skips of enc1, enc2 and enc3, no pixel of the logits depends on one more than 28 columns
away."""

_FAR, _NEAR = 8, 6  # sides of the marks; even, so that a decoy's fields cancel
_STRIP = 12  # columns that hold the far marks
_RADII = (8, 9)
_CONTRAST = 0.35


def disc(task: str, random: np.random.Generator, sign: int, tag: str) -> Planted:
    """One image.

    Args:
        task: ``far``, ``near`` or ``shortcut``.
        random: the same for twins.
        sign: 1 for class A, -1 for its twin of class B.
        tag: of ``shortcut``: ``agreeing``, ``absent`` or ``contrary``.
    """
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
    planted = Planted(
        image=canvas.image.clip(0, 1),
        label=(canvas.disc * (1 if sign > 0 else 2)).astype(np.uint8),
        far=far[0],
        near=near[0],
        far_decoy=far[1],
        near_decoy=near[1],
    )
    return planted.mirrored() if random.random() < 0.5 else planted


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
        image = noise(random)
        image += disc * random.uniform(0.12, 0.18)
        return cls(image.astype(np.float32), disc, (row, column))

    def far_places(self, random: np.random.Generator) -> Places:
        """Of mark and decoy: in the strip, one above the other by chance."""
        gap = int(random.integers(_FAR + 4, SIDE // 2))
        top = int(random.integers(1, SIDE - gap - _FAR))
        left = random.integers(1, _STRIP - _FAR + 1, 2).tolist()
        one, other = (top, left[0]), (top + gap, left[1])
        return in_chance_order(square(one, _FAR), square(other, _FAR), random)

    def near_places(self, random: np.random.Generator) -> Places:
        """Of mark and decoy: inside the disc, side by side or one above the other."""
        row, column = (at - _NEAR // 2 for at in self.centre)
        down, right = ((4, 0), (0, 4))[int(random.integers(2))]
        one, other = (row - down, column - right), (row + down, column + right)
        return in_chance_order(square(one, _NEAR), square(other, _NEAR), random)

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
