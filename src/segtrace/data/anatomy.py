"""The shapes of a generated abdomen, as signed fields over millimetres.

Coordinates are (x, y, z) mm: x from the patient's right to the left, y from front to back, z from
the feet up; x = 0 is the mid-line, y = 0 the middle of the trunk. Every field is negative inside
its shape, in units of about a millimetre near the surface.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Point = tuple[float, float, float]
Box = tuple[slice, slice, slice]


FAR = np.float32(1e3)
"""The value of a field where it was not worth computing: far outside."""

WARP = 25.0
"""mm by which a voxel's warped place may differ from its place in the box (5 sigma)."""


@dataclass(frozen=True)
class Space:
    """Warped millimetres of every voxel.

    Attributes:
        axes: unwarped mm along each axis, to find the part of the volume that a shape can reach.
        x: (A, B, C) warped mm; y and z alike.
    """

    axes: tuple[Field, Field, Field]
    x: Field
    y: Field
    z: Field

    def ellipsoid(self, centre: Point, radii: Point, turn: float = 0.0, tilt: float = 0.0) -> Field:
        """Negative inside; ``turn`` about z and ``tilt`` about y in degrees."""
        reach = max(radii) if turn or tilt else np.array(radii)
        box = self._box(np.array(centre) - reach, np.array(centre) + reach)
        x, y, z = (grid[box] - at for grid, at in zip(self._grids, centre, strict=True))
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        x, y = c * x + s * y, c * y - s * x
        c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        x, z = c * x + s * z, c * z - s * x
        a, b, d = radii
        distance = np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / d) ** 2)
        return self._filled(box, (distance - 1) * np.float32(min(radii)))

    def tube(self, points: Sequence[Point], radii: Sequence[float]) -> Field:
        """A bent tube through the points, its radius going from one to the next."""
        field = np.full(self.x.shape, FAR)
        for start, end, r0, r1 in zip(points, points[1:], radii, radii[1:], strict=False):
            ends, reach = np.array([start, end]), max(r0, r1)
            box = self._box(ends.min(0) - reach, ends.max(0) + reach)
            np.minimum(field[box], self._capsule(box, ends, r0, r1), out=field[box])
        return field

    def _capsule(self, box: Box, ends: NDArray, r0: float, r1: float) -> Field:
        axis = (ends[1] - ends[0]).astype(np.float32)
        x, y, z = (grid[box] - at for grid, at in zip(self._grids, ends[0], strict=True))
        along = (x * axis[0] + y * axis[1] + z * axis[2]) / np.float32(axis @ axis)
        np.clip(along, 0, 1, out=along)
        dx, dy, dz = x - along * axis[0], y - along * axis[1], z - along * axis[2]
        distance = np.sqrt(dx * dx + dy * dy + dz * dz)
        return distance - (np.float32(r0) + along * np.float32(r1 - r0))

    def slab(self, point: Point, normal: Point, half: float) -> Field:
        """A sheet of thickness ``2 * half`` through a point."""
        n = np.array(normal, np.float32) / np.float32(np.linalg.norm(normal))
        away = (self.x - point[0]) * n[0] + (self.y - point[1]) * n[1] + (self.z - point[2]) * n[2]
        return np.abs(away) - np.float32(half)

    def cylinder(self, centre: tuple[float, float], radii: tuple[float, float]) -> Field:
        """An upright elliptic cylinder."""
        x = (self.x - np.float32(centre[0])) / np.float32(radii[0])
        y = (self.y - np.float32(centre[1])) / np.float32(radii[1])
        return (np.sqrt(x * x + y * y) - 1) * np.float32(min(radii))

    @property
    def _grids(self) -> tuple[Field, Field, Field]:
        return self.x, self.y, self.z

    def _box(self, low: NDArray, high: NDArray) -> Box:
        bounds = [
            np.searchsorted(axis, (a - WARP, b + WARP))
            for axis, a, b in zip(self.axes, low, high, strict=True)
        ]
        x, y, z = (slice(int(a), int(b)) for a, b in bounds)
        return x, y, z

    def _filled(self, box: Box, values: Field) -> Field:
        field = np.full(self.x.shape, FAR)
        field[box] = values
        return field


@dataclass(frozen=True)
class Build:
    """How one patient differs from another; drawn once a case.

    Attributes:
        size: overall scale of the trunk and its organs.
        fat: mm of fat below the skin.
        random: for the places and sizes of the organs.
    """

    size: float
    fat: float
    random: np.random.Generator

    def at(self, x: float, y: float, z: float, spread: float = 4.0) -> Point:
        """A place, scaled and moved a little."""
        dx, dy, dz = self.random.normal(0, spread, 3)
        return (self.size * x + dx, self.size * y + dy, self.size * z + dz)

    def radii(self, *mm: float, spread: float = 0.07) -> Point:
        """Radii, scaled together and a little apart."""
        factors = self.size * self.random.normal(1, spread) * self.random.normal(1, spread / 2, 3)
        a, b, c = np.array(mm) * np.clip(factors, 0.75, 1.3)
        return (float(a), float(b), float(c))

    def along(self, points: Sequence[Point], spread: float = 3.0) -> list[Point]:
        """A path whose points move together, and a little apart."""
        whole = self.random.normal(0, spread, 3)
        return [
            tuple(self.size * np.array(p) + whole + self.random.normal(0, spread / 2, 3))
            for p in points
        ]


def trunk(space: Space, build: Build) -> dict[str, Field]:
    """Skin, muscle wall, cavity, lungs and bones."""
    a, b = 163 * build.size + build.fat, 100 * build.size + build.fat
    body = space.cylinder((0, 4), (a, b))
    wall = space.cylinder((0, 4), (a - build.fat, b - build.fat))
    cavity = space.cylinder((0, -2), (a - build.fat - 13, b - build.fat - 13))
    back = space.ellipsoid((0, 92 * build.size, 120), (60, 34, 4000))
    dome_right = space.z - (226 * build.size - 0.011 * ((space.x + 62) ** 2 + (space.y - 5) ** 2))
    dome_left = space.z - (218 * build.size - 0.011 * ((space.x - 62) ** 2 + (space.y - 5) ** 2))
    dome = np.where(space.x < 0, dome_right, dome_left).astype(np.float32)
    lungs = np.maximum(np.maximum(cavity, -dome), 26 - np.abs(space.x))
    return {
        "body": body,
        "wall": wall,
        "cavity": np.maximum(cavity, -back),
        "lungs": lungs,
        "mediastinum": np.maximum(
            np.maximum(cavity, -dome), space.ellipsoid((12, -8, 235), (62, 62, 70))
        ),
        "dome": dome,
    }


def bones(space: Space, build: Build) -> dict[str, Field]:
    """Vertebrae with discs and canal, processes, and ribs that slant down to the front."""
    s = build.size
    body = space.ellipsoid((0, 66 * s, 120), (22 * s, 17 * s, 6000))
    level = (space.z + build.random.uniform(0, 30)) % 32
    disc = np.where((level < 7), np.float32(-1), np.float32(1))
    canal = space.ellipsoid((0, 90 * s, 120), (10 * s, 8 * s, 6000))
    arch = space.ellipsoid((0, 92 * s, 120), (16 * s, 12 * s, 6000))
    spinous = np.maximum(space.ellipsoid((0, 112 * s, 120), (5, 16, 6000)), 12 - level)
    wing = np.maximum(space.ellipsoid((0, 86 * s, 120), (44 * s, 6, 6000)), 9 - np.abs(level - 18))
    shell = np.abs(space.cylinder((0, 2), (157 * s, 94 * s))) - np.float32(4.5)
    front = (np.clip(space.y, -70, 90) + 70) / 160  # 0 in front, 1 at the spine
    slant = (space.z - 55 * front) % 30
    ribs = np.maximum(np.maximum(shell, np.abs(slant - 15) - 5), 135 * s - space.z)
    ribs = np.maximum(ribs, -70 * s - space.y)
    column = np.minimum(np.minimum(body, arch), np.minimum(spinous, wing))
    return {"column": column, "disc": np.maximum(body, disc), "canal": canal, "ribs": ribs}


def muscles(space: Space, build: Build) -> Field:
    """Psoas, back muscles and the diaphragm's crura."""
    s = build.size
    psoas = [
        space.tube(
            [(side * 46 * s, 62 * s, -20), (side * 30 * s, 60 * s, 130 * s)], [23 * s, 8 * s]
        )
        for side in (-1, 1)
    ]
    erector = [
        space.ellipsoid((side * 36 * s, 92 * s, 120), (25 * s, 17 * s, 6000)) for side in (-1, 1)
    ]
    crura = [
        space.tube([(side * 16 * s, 50 * s, 120 * s), (side * 14 * s, 36 * s, 215 * s)], [4.5, 6])
        for side in (-1, 1)
    ]
    return np.minimum.reduce([*psoas, *erector, *crura])


def kidney(space: Space, build: Build, side: int) -> tuple[Field, Field]:
    """(parenchyma, sinus fat). Both sides are drawn from one distribution, the right one lower.

    Args:
        space: where.
        build: of the patient.
        side: -1 the patient's right, 1 the left.
    """
    centre = build.at(side * 62, 40, 102 if side < 0 else 116, spread=5)
    radii = build.radii(26, 24, 52)
    turn, tilt = build.random.normal(25, 6), build.random.normal(9, 3)
    outer = space.ellipsoid(centre, radii, side * turn, -side * tilt)
    hilum = (centre[0] - side * 17 * build.size, centre[1] - 9 * build.size, centre[2])
    sinus = space.ellipsoid(hilum, (14 * build.size, 9 * build.size, 22 * build.size), side * 25)
    return np.maximum(outer, -sinus), np.maximum(sinus, outer)


def liver(space: Space, build: Build) -> Field:
    """A wedge under the right dome: thick on the right, thin across the mid-line."""
    s = build.size
    right = space.ellipsoid(build.at(-66, 2, 158), build.radii(88, 86, 76))
    left = space.ellipsoid(build.at(12, -50, 182), build.radii(66, 34, 34), turn=6, tilt=-14)
    below = (92 + 0.38 * (space.x + 135 * s) - 0.10 * space.y) * np.float32(s) - space.z
    medial = (space.x + 6 * s) * 0.85 + (space.y - 2) * 0.55 - 8 * s  # towards spine and vessels
    wedge = np.maximum(np.maximum(right, 0.9 * below), medial)
    lobe = np.maximum(left, 0.6 * (150 * np.float32(s) - space.z))
    return np.minimum(wedge, lobe)


def stomach(space: Space, build: Build) -> Field:
    """Fundus under the left dome, body forwards, antrum across to the right."""
    path = build.along(
        [(56, 22, 196), (62, -14, 178), (52, -48, 150), (22, -62, 128), (-14, -52, 126)]
    )
    swell = build.size * np.clip(build.random.normal(1, 0.10), 0.8, 1.25)
    return space.tube(path, [r * swell for r in (30, 33, 27, 20, 13)])


def spleen(space: Space, build: Build) -> Field:
    """A crescent behind the stomach, with a hollow side towards it."""
    centre = build.at(100, 40, 176)
    outer = space.ellipsoid(centre, build.radii(36, 52, 54), turn=-24, tilt=8)
    hollow = (centre[0] - 38 * build.size, centre[1] - 18 * build.size, centre[2] - 4)
    return np.maximum(outer, -space.ellipsoid(hollow, (28 * build.size, 36 * build.size, 50)))


def pancreas(space: Space, build: Build) -> Field:
    """Head in the duodenum's loop, body over the great vessels, tail to the spleen."""
    path = build.along([(-32, 6, 108), (-22, -6, 122), (2, -16, 132), (34, -8, 142), (74, 24, 158)])
    return space.tube(path, [r * build.size for r in (17, 16, 12.5, 12.5, 11)])


def gallbladder(space: Space, build: Build) -> Field:
    """A pear at the liver's lower edge."""
    neck = build.at(-46, -34, 126, spread=3)
    end = (neck[0] - 20 * build.size, neck[1] - 24 * build.size, neck[2] - 26 * build.size)
    swell = build.size * np.clip(build.random.normal(1, 0.12), 0.8, 1.3)
    return space.tube([neck, end], [9 * swell, 18 * swell])


def vessels(space: Space, build: Build) -> dict[str, Field]:
    """Aorta, inferior vena cava, portal and splenic vein, oesophagus, mesenteric vessels."""
    s = build.size
    aorta = build.along([(8, 40, -30), (7, 38, 110), (5, 40, 270)], spread=2)
    cava = build.along([(-20, 38, -30), (-20, 34, 120), (-24, 20, 240)], spread=2)
    portal = build.along([(-14, 4, 118), (-20, 0, 138), (-50, -8, 168)], spread=2)
    splenic = [portal[1], *build.along([(20, 2, 142), (56, 22, 152), (86, 34, 166)], spread=2)]
    gullet = build.along([(8, 26, 270), (10, 22, 214), (26, 16, 198), (40, 14, 194)], spread=2)
    mesenteric = build.along([(6, 16, 124), (8, -8, 70), (2, -18, 0)], spread=3)
    r = build.random.normal(1, 0.08, 4).clip(0.85, 1.2) * s
    return {
        "aorta": space.tube(aorta, [10 * r[0], 11 * r[0], 13 * r[0]]),
        "inferior_vena_cava": space.tube(cava, [9.5 * r[1], 10.5 * r[1], 11.5 * r[1]]),
        "portal_splenic_vein": np.minimum(
            space.tube(portal, [7.5 * r[2], 8.5 * r[2], 7 * r[2]]),
            space.tube(splenic, [6.5 * r[2], 5.5 * r[2], 5 * r[2], 4.5 * r[2]]),
        ),
        "esophagus": space.tube(gullet, [9 * r[3], 9.5 * r[3], 9 * r[3], 9 * r[3]]),
        "mesenteric": space.tube(mesenteric, [5.5 * s, 5 * s, 4 * s]),
    }


def adrenal(space: Space, build: Build, side: int) -> Field:
    """Two thin limbs that meet in front, like a lambda."""
    s = build.size
    top = build.at(side * 33, 30, 158 if side < 0 else 160, spread=2)
    reach = space.ellipsoid((top[0], top[1] + 8 * s, top[2]), (15 * s, 17 * s, 19 * s))
    limbs = [space.slab(top, (1.0, tilt, 0.1), 2.8 * s) for tilt in (-0.42, 0.42)]
    behind = top[1] - 6 * s - space.y
    return np.maximum(np.maximum(np.minimum(*limbs), reach), behind)


def bowel(space: Space, build: Build) -> list[Field]:
    """Colon and loops of the small bowel, none of which is labelled."""
    s = build.size
    frame = [(-108, 18, -20), (-110, 10, 78), (-70, -62, 84), (0, -78, 78), (70, -70, 104),
             (112, 6, 112), (112, 30, -20)]  # fmt: skip
    colon = space.tube(
        build.along(frame, spread=5), [20 * s, 19 * s, 17 * s, 16 * s, 16 * s, 15 * s, 14 * s]
    )
    duodenum = space.tube(
        build.along([(-28, -40, 122), (-52, -8, 112), (-46, 14, 74), (10, 14, 66)], spread=2),
        [12 * s] * 4,
    )
    loops = []
    for _ in range(7):
        x, y, z = build.random.uniform((-75, -70, -15), (80, 15, 88))
        bend = build.random.normal(0, 22, (2, 3)) * (1, 1, 0.6)
        path = [(x, y, z), (x, y, z) + bend[0], (x, y, z) + bend[0] + bend[1]]
        loops.append(space.tube(path, [build.random.uniform(10, 15) * s] * 3))
    return [colon, duodenum, *loops]
