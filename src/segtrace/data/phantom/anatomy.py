"""The organs of a generated abdomen, made of the shapes of :mod:`segtrace.data.phantom.fields`.

Millimetres from the mid-line, the middle of the trunk and near the lowest slice, for a patient of
size 1; see there for the axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segtrace.data.phantom.fields import Field, Point, Space, rounded_max


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


def kidney(space: Space, build: Build, side: int) -> tuple[Field, Field]:
    """(whole kidney, the sinus within): one distribution for both sides, the right one lower.

    Args:
        space: where.
        build: of the patient.
        side: -1 the patient's right, 1 the left.
    """
    centre = build.at(side * 59, 42, 98 if side < 0 else 112, spread=5)
    radii = build.radii(29, 26, 55, spread=0.06)
    turn, tilt = build.random.normal(25, 6), build.random.normal(9, 3)
    outer = space.ellipsoid(centre, radii, side * turn, -side * tilt)
    hilum = (centre[0] - side * 17 * build.size, centre[1] - 9 * build.size, centre[2])
    sinus = space.ellipsoid(hilum, (14 * build.size, 9 * build.size, 22 * build.size), side * 25)
    return outer, np.maximum(sinus, outer)


def liver(space: Space, build: Build) -> Field:
    """A wedge under the right dome: thick on the right, thin across the mid-line."""
    s = build.size
    right = space.ellipsoid(build.at(-62, 0, 158), build.radii(88, 92, 80))
    left = space.ellipsoid(build.at(12, -54, 182), build.radii(66, 36, 36), turn=6, tilt=-14)
    below = (92 + 0.38 * (space.x + 135 * s) - 0.10 * space.y) * np.float32(s) - space.z
    # Towards the spine and the great vessels.
    medial = np.float32(0.85) * space.x + np.float32(0.55) * space.y - np.float32(2.9 * s + 1.1)
    edge = 0.6 * (150 * np.float32(s) - space.z)
    wedge = rounded_max(rounded_max(right, np.float32(0.9) * below, 6), medial, 6)
    lobe = rounded_max(left, edge, 4)
    # The right kidney lies behind the liver, in fat, and never within it.
    fossa = space.ellipsoid((-50 * s, 66 * s, 100 * s), (50 * s, 50 * s, 84 * s))
    return np.minimum(rounded_max(wedge, -fossa, 6), lobe)


def stomach(space: Space, build: Build) -> Field:
    """Fundus under the left dome, body forwards, antrum across to the right."""
    path = build.along(
        [(54, 22, 196), (60, -16, 178), (50, -52, 150), (22, -68, 128), (-14, -58, 126)]
    )
    swell = build.size * np.clip(build.random.normal(1, 0.10), 0.8, 1.25)
    return space.tube(path, [r * swell for r in (30, 33, 27, 20, 13)])


def spleen(space: Space, build: Build) -> Field:
    """A crescent behind the stomach, with a hollow side towards it."""
    centre = build.at(95, 40, 174)
    outer = space.ellipsoid(centre, build.radii(39, 55, 58), turn=-24, tilt=8)
    hollow = (centre[0] - 38 * build.size, centre[1] - 18 * build.size, centre[2] - 4)
    return np.maximum(outer, -space.ellipsoid(hollow, (28 * build.size, 36 * build.size, 50)))


def pancreas(space: Space, build: Build) -> Field:
    """Head in the duodenum's loop, body over the great vessels, tail to the spleen."""
    path = build.along([(-32, 6, 108), (-22, -6, 122), (2, -16, 132), (34, -8, 142), (74, 24, 158)])
    return space.tube(path, [r * build.size for r in (17, 15.5, 12, 12, 11)])


def gallbladder(space: Space, build: Build) -> Field:
    """A pear at the liver's lower edge."""
    neck = build.at(-46, -38, 126, spread=3)
    end = (neck[0] - 20 * build.size, neck[1] - 24 * build.size, neck[2] - 26 * build.size)
    swell = build.size * np.clip(build.random.normal(1, 0.1), 0.8, 1.15)
    return space.tube([neck, end], [9 * swell, 18 * swell])


def vessels(space: Space, build: Build) -> dict[str, Field]:
    """Aorta, inferior vena cava, portal and splenic vein, oesophagus."""
    s = build.size
    aorta = build.along([(8, 40, -30), (7, 38, 110), (5, 40, 270)], spread=2)
    cava = build.along([(-20, 38, -30), (-20, 34, 120), (-24, 20, 240)], spread=2)
    portal = build.along([(-14, 4, 118), (-20, 0, 138), (-50, -8, 168)], spread=2)
    splenic = [portal[1], *build.along([(20, 2, 142), (56, 22, 152), (86, 34, 166)], spread=2)]
    gullet = build.along([(8, 26, 270), (10, 22, 214), (26, 16, 198), (40, 14, 194)], spread=2)
    r = build.random.normal(1, 0.08, 4).clip(0.85, 1.2) * s
    return {
        "aorta": space.tube(aorta, [8.5 * r[0], 9.5 * r[0], 11 * r[0]]),
        "inferior_vena_cava": space.tube(cava, [9 * r[1], 10 * r[1], 11 * r[1]]),
        "portal_splenic_vein": np.minimum(
            space.tube(portal, [7.5 * r[2], 8.5 * r[2], 7 * r[2]]),
            space.tube(splenic, [6.5 * r[2], 5.5 * r[2], 5 * r[2], 4.5 * r[2]]),
        ),
        "esophagus": space.tube(gullet, [8.5 * r[3]] * 4),
    }


def adrenal(space: Space, build: Build, side: int) -> Field:
    """Two thin limbs that meet in front, like a lambda."""
    s = build.size
    top = build.at(side * 31, 28, 158 if side < 0 else 161, spread=2)
    reach = space.ellipsoid((top[0], top[1] + 8 * s, top[2]), (13 * s, 14 * s, 15 * s))
    limbs = [space.slab(top, (1.0, tilt, 0.1), 2.1 * s, 30 * s) for tilt in (-0.42, 0.42)]
    behind = top[1] - 6 * s - space.y
    return np.maximum(np.maximum(np.minimum(*limbs), reach), behind)


def hepatic_veins(space: Space, build: Build) -> Field:
    """Vessels within the liver, from below the diaphragm outwards."""
    root = build.at(-26, 12, 200, spread=3)
    ends = [(-106, 10, 175), (-78, -48, 165), (-20, -58, 178), (-92, 30, 140), (-60, -24, 145)]
    paths = [[root, build.at(*end, spread=8)] for end in ends]
    return np.minimum.reduce([space.tube(path, [4.5, 2.5]) for path in paths])
