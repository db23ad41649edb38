"""A room is to be segmented where it is open to the way in: what decides are two doors.

After the mazes of Hasany et al. 2024. Two rooms, one above the other, lie between two corridors,
one of which has a **way in** from the edge of the image. Each room has a door to either corridor.
Of the two doors to the corridor with the way in, the **evidence**, one is open and one is walled
up, and the room behind the open one is to be segmented; in the twin they are exchanged. So are, by
chance and alike in both twins, the two doors to the other corridor, the **decoy**: from there no
way leads in. Whoever does not see the evidence segments the same room twice, and is right once.
"""

import numpy as np

from segtrace.planted.images.planted import SIDE, Mask, Planted, noise, square

CLASSES = {"room": 1}
"""Organ -> number in the label map."""

_WALL = 3  # pixels
_DOOR = 8  # rows
_CORRIDOR = 8  # columns
_CONTRAST = 0.3


def maze(random: np.random.Generator, sign: int, tag: str) -> Planted:
    """One image: for 1 the upper room is open, for -1, the twin, the lower one; it has no tag."""
    image = noise(random)
    top, bottom = random.integers(2, 6, 2).tolist()  # rows of ground above and below
    left, right = random.integers(0, 4, 2).tolist()  # columns beside
    middle = int(random.integers(SIDE // 2 - 5, SIDE // 2 + 3))  # the wall between the rooms
    inner = left + _WALL + _CORRIDOR, SIDE - right - _WALL - _CORRIDOR - _WALL
    walls = square((top, left), SIDE - top - bottom, SIDE - left - right)
    corridors = [
        square((top + _WALL, start), SIDE - top - bottom - 2 * _WALL, _CORRIDOR)
        for start in (left + _WALL, SIDE - right - _WALL - _CORRIDOR)
    ]
    spans = (top + _WALL, middle), (middle + _WALL, SIDE - bottom - _WALL)
    width = inner[1] - inner[0] - _WALL
    rooms = [square((start, inner[0] + _WALL), end - start, width) for start, end in spans]
    doors = [[square((int(random.integers(start + 1, end - _DOOR)), column), _DOOR, _WALL)
              for start, end in spans] for column in inner]  # fmt: skip
    way_in = square((int(random.integers(top + _WALL, SIDE - bottom - _WALL - _DOOR)), left),
                    _DOOR, _WALL)  # fmt: skip
    opened, by_chance = int(sign < 0), int(random.integers(2))
    open_: Mask = corridors[0] | corridors[1] | rooms[0] | rooms[1] | way_in
    open_ = open_ | doors[0][opened] | doors[1][by_chance]
    image += (walls & ~open_) * _CONTRAST
    nothing = np.zeros_like(walls)
    planted = Planted(
        image=image.astype(np.float32).clip(0, 1),
        label=rooms[opened].astype(np.uint8),
        far=doors[0][0] | doors[0][1],
        near=nothing,
        far_decoy=doors[1][0] | doors[1][1],
        near_decoy=nothing,
    )
    return planted.mirrored() if random.random() < 0.5 else planted
