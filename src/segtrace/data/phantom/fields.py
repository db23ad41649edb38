"""Simple shapes as signed fields over millimetres.

Coordinates are (x, y, z) mm: x from the patient's right to the left, y from front to back, z from
the feet up; x = 0 is the mid-line, y = 0 the middle of the trunk. Every field is negative inside
its shape, in units of about a millimetre near the surface.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segtrace.data.phantom.exact import cosine_and_sine, sum_of_squares

Field = NDArray[np.float32]
Point = tuple[float, float, float]
Box = tuple[slice, slice, slice]

FAR = np.float32(1e3)
"""The value of a field where it was not worth computing: far outside."""

WARP = 25.0
"""mm by which a voxel's warped place may differ from its place in the box."""


def rounded_max(a: Field, b: Field, edge: float) -> Field:
    """The intersection of two shapes, its edge rounded off: never below ``max(a, b)``.

    Args:
        a: (A, B, C) mm.
        b: the same.
        edge: mm; where a = b, the surface draws back by half of it.
    """
    result = np.square(a - b)
    result += np.float32(edge * edge)
    np.sqrt(result, out=result)
    result += a
    result += b
    result *= np.float32(0.5)
    return result


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
        c, s = cosine_and_sine(turn)
        x, y = c * x + s * y, c * y - s * x
        c, s = cosine_and_sine(tilt)
        x, z = c * x + s * z, c * z - s * x
        a, b, d = radii
        distance = np.sqrt(np.square(x / a) + np.square(y / b) + np.square(z / d))
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
        along = (x * axis[0] + y * axis[1] + z * axis[2]) / np.float32(
            sum_of_squares(axis.tolist())
        )
        np.clip(along, 0, 1, out=along)
        dx, dy, dz = x - along * axis[0], y - along * axis[1], z - along * axis[2]
        distance = np.sqrt(dx * dx + dy * dy + dz * dz)
        return distance - (np.float32(r0) + along * np.float32(r1 - r0))

    def slab(self, point: Point, normal: Point, half: float, reach: float) -> Field:
        """A sheet of thickness ``2 * half`` through a point, at least ``reach`` mm every way."""
        box = self._box(np.array(point) - reach, np.array(point) + reach)
        n = np.array(normal, np.float32) / np.float32(math.sqrt(sum_of_squares(normal)))
        x, y, z = (grid[box] - at for grid, at in zip(self._grids, point, strict=True))
        return self._filled(box, np.abs(x * n[0] + y * n[1] + z * n[2]) - np.float32(half))

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
