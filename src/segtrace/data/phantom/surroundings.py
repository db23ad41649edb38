"""What lies around the organs of a generated abdomen: trunk, bones, muscles, bowel, mesentery.

Nothing here is labelled; all of it is there so that HU and shape alone do not tell an organ.
"""

import numpy as np

from segtrace.data.phantom.anatomy import Build
from segtrace.data.phantom.fields import Field, Point, Space


def trunk(space: Space, build: Build) -> dict[str, Field]:
    """Skin, muscle wall, cavity, lungs, heart and the table below."""
    a, b = 155 * build.size + build.fat, 104 * build.size + build.fat
    body = space.cylinder((0, 0), (a, b))
    wall = space.cylinder((0, 0), (a - build.fat, b - build.fat))
    cavity = space.cylinder((0, -5), (a - build.fat - 12, b - build.fat - 14))
    back = space.ellipsoid((0, 92 * build.size, 120), (60, 34, 4000))
    right, left, behind = (np.square(at) for at in (space.x + 60, space.x - 60, space.y - 5))
    dome_right = space.z - (226 * build.size - 0.011 * (right + behind))
    dome_left = space.z - (218 * build.size - 0.011 * (left + behind))
    dome = np.where(space.x < 0, dome_right, dome_left).astype(np.float32)
    chest = np.maximum(cavity, -dome)
    top = (
        b + 4 - np.float32(0.0012) * np.square(space.x)
    )  # of the table, which dips under the patient
    return {
        "body": body,
        "wall": wall,
        "cavity": np.maximum(cavity, -back),
        "lungs": np.maximum(chest, 26 - np.abs(space.x)),
        "mediastinum": np.maximum(chest, space.ellipsoid((14, -14, 240), (60, 62, 66))),
        "dome": dome,
        "table": np.minimum(np.abs(space.y - top - 2), np.abs(space.y - top - 28)) - 2,
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
    shell = np.abs(space.cylinder((0, -1), (149 * s, 98 * s))) - np.float32(4.5)
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


def colon(space: Space, build: Build) -> Field:
    """The frame of the large bowel: up on the right, across in front, down on the left."""
    frame = [(-104, 18, -20), (-106, 10, 78), (-68, -66, 84), (0, -82, 78), (68, -74, 104),
             (108, 6, 112), (108, 30, -20)]  # fmt: skip
    radii = [r * build.size for r in (20, 19, 17, 16, 16, 15, 14)]
    return space.tube(build.along(frame, spread=5), radii)


def small_bowel(space: Space, build: Build, loops: int = 12) -> list[Field]:
    """The duodenum around the pancreas' head, and loops at random."""
    c = build.along([(-28, -40, 122), (-52, -8, 112), (-46, 14, 74), (10, 14, 66)], spread=2)
    return [space.tube(c, [12 * build.size] * 4), *(_loop(space, build) for _ in range(loops))]


def _loop(space: Space, build: Build) -> Field:
    start = build.random.uniform((-80, -78, -15), (80, 15, 88))
    bends = build.random.normal(0, 22, (2, 3)) * (1, 1, 0.6)
    path: list[Point] = [
        tuple(point) for point in start + np.vstack([np.zeros(3), bends.cumsum(0)])
    ]
    return space.tube(path, [build.random.uniform(10, 15) * build.size] * 3)


def mesentery(space: Space, build: Build, branches: int = 14) -> Field:
    """The superior mesenteric vessels and thin branches that fan out between the loops."""
    s = build.size
    trunk = build.along([(6, 16, 124), (8, -8, 70), (2, -18, 0)], spread=3)
    fan = []
    for _ in range(branches):
        along = build.random.uniform(0, 1)
        root = (1 - along) * np.array(trunk[1]) + along * np.array(trunk[2])
        end = root + build.random.normal(0, 1, 3) * (45, 22, 25) - (0, 15, 0)
        fan.append(space.tube([tuple(root), tuple(end)], [2.6, 1.6]))
    return np.minimum.reduce([space.tube(trunk, [5.5 * s, 5 * s, 4 * s]), *fan])
