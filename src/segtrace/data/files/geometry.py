"""From a file's voxel grid to square slices in radiological convention, and back.

A stack of slices is (D, H, W): slice 0 is the most caudal, row 0 anterior, column 0 the patient's
right. That is the transpose, slice by slice, of a volume whose axes run to the patient's left,
posterior and superior (LPS+).
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from nibabel import orientations
from numpy.typing import DTypeLike, NDArray
from torch.nn import functional

from segtrace.data.files.splines import step, zoomed
from segtrace.errors import InputError

Triple = tuple[float, float, float]
_LPS = orientations.axcodes2ornt("LPS")
_IDENTITY = ((0, 1), (1, 1), (2, 1))
_ROUNDED = 1e-5  # headers store float32, and DICOM six digits


@dataclass(frozen=True)
class Grid:
    """A file's own voxel grid, in plain values.

    Attributes:
        shape: (i, j, k) as stored.
        affine: 4x4, voxel -> RAS mm, row by row; None where the file has none.
        axes: per stored axis (its LPS axis, +1 or -1), as ``nibabel.orientations`` writes it.
        spacing: voxel size in mm along left-right, front-back, foot-head; NaN if unknown.
        sides_known: the file says which axis runs from the patient's right to the left, which
            from front to back and which from the feet up; else it is read as if it did.
    """

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...] | None = None
    axes: tuple[tuple[int, int], ...] = _IDENTITY
    spacing: Triple = (float("nan"),) * 3
    sides_known: bool = False

    @classmethod
    def from_affine(
        cls, shape: tuple[int, int, int], affine: NDArray[Any], where: str, unit: float = 1.0
    ) -> "Grid":
        """The grid of a file; an oblique one is read along its nearest anatomical axes.

        Args:
            shape: (i, j, k) as stored.
            affine: 4x4, voxel -> RAS.
            where: the file, for messages.
            unit: mm of the affine's unit.

        Raises:
            InputError: an affine that is not finite or folds an axis away.
        """
        affine = np.asarray(affine, dtype=np.float64)
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.isfinite(affine).all() or _folded(affine[:3, :3], sizes):
            raise InputError(
                f"{where}: the affine cannot be inverted (a voxel of "
                f"{' x '.join(f'{size:.4g}' for size in sizes)} mm); repair the file's header"
            )
        source = orientations.io_orientation(affine)
        axes = orientations.ornt_transform(source, _LPS).astype(int)
        spacing = np.empty(3)
        spacing[axes[:, 0]] = sizes * unit
        return cls(
            shape=shape,
            affine=tuple(tuple(float(v) for v in row) for row in affine),
            axes=tuple((int(axis), int(flip)) for axis, flip in axes),
            spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
            sides_known=True,
        )

    def doubting(self, sides: bool, spacing: bool) -> "Grid":
        """The same grid, of which the one or the other is not known."""
        known = replace(self, sides_known=self.sides_known and not sides)
        return replace(known, spacing=(float("nan"),) * 3) if spacing else known

    def to_slices(self, volume: NDArray[Any], kind: DTypeLike | None = None) -> NDArray[Any]:
        """(i, j, k) as stored -> (D, H, W), of another kind of numbers if one is given."""
        lps = orientations.apply_orientation(volume, np.array(self.axes))  # (x, y, z)
        return np.ascontiguousarray(lps.transpose(2, 1, 0), kind)  # (z, y, x)

    def from_slices(self, stack: NDArray[Any]) -> NDArray[Any]:
        """(D, H, W) -> (i, j, k) as stored; undoes :meth:`to_slices`."""
        source = np.empty((3, 2))
        for axis, (target, flip) in enumerate(self.axes):
            source[target] = (axis, flip)
        return np.ascontiguousarray(
            orientations.apply_orientation(stack.transpose(2, 1, 0), source)
        )

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel; NaN if unknown."""
        return math.prod(self.spacing) / 1000 * self.filled

    @property
    def filled(self) -> float:
        """A voxel's volume over that of a box with its edges: 1 where its axes are orthogonal."""
        ways = self._ways
        return 1.0 if ways is None else float(abs(np.linalg.det(ways)))

    @property
    def steps(self) -> NDArray[np.float64]:
        """(3, 3) mm of a step along planes, rows and columns, a row for each; NaN if unknown.

        Orthogonal axes are turned onto the coordinates' own, which no distance sees.
        """
        ways, lengths = self._ways, np.array(self.spacing[::-1])
        if ways is None:
            return np.diag(lengths)
        steps = np.empty((3, 3))
        for way, (axis, flip) in zip(ways, self.axes, strict=True):
            steps[2 - axis] = flip * way  # (x, y, z) -> (z, y, x)
        return steps * lengths[:, None]

    @property
    def rows_columns(self) -> tuple[int, int]:
        """(H, W) of a slice before padding."""
        return self._along[1], self._along[0]

    @property
    def depth(self) -> int:
        """Number of slices."""
        return self._along[2]

    def to_plain(self) -> dict[str, Any]:
        """Dicts, lists and numbers alone: for JSON and for checkpoints."""
        plain = asdict(self)
        plain["affine"] = self.affine and [list(row) for row in self.affine]
        plain["axes"] = [list(axis) for axis in self.axes]
        return plain | {key: list(plain[key]) for key in ("shape", "spacing")}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Grid":
        """Undoes :meth:`to_plain`."""
        affine = plain["affine"]
        return cls(
            shape=tuple(plain["shape"]),
            affine=affine and tuple(tuple(row) for row in affine),
            axes=tuple(tuple(axis) for axis in plain["axes"]),
            spacing=tuple(plain["spacing"]),
            sides_known=plain.get("sides_known") is True,
        )

    @property
    def _ways(self) -> NDArray[np.float64] | None:
        """Unit vectors along the stored axes, a row each; ``None`` where they are orthogonal."""
        if self.affine is None:
            return None
        axes = np.asarray(self.affine)[:3, :3].T
        ways: NDArray[np.float64] = axes / np.linalg.norm(axes, axis=1, keepdims=True)
        return None if np.allclose(ways @ ways.T, np.eye(3), rtol=0, atol=_ROUNDED) else ways

    @property
    def _along(self) -> dict[int, int]:
        """Voxels along each LPS axis."""
        return {axis: n for (axis, _), n in zip(self.axes, self.shape, strict=True)}


@dataclass(frozen=True)
class Geometry:
    """What was done to a file's slices, so that it can be undone.

    Attributes:
        grid: the file's own grid.
        square: (rows, columns) after centred padding; as many mm high as wide.
        size: rows and columns after resizing.
        cubic: resized as TransUNet's program does it, see
            :mod:`segtrace.data.files.splines`, and not padded.
    """

    grid: Grid
    square: tuple[int, int]
    size: int
    cubic: bool = False

    @classmethod
    def fit(cls, grid: Grid, size: int, *, cubic: bool = False) -> "Geometry":
        """Pad the shorter side until a slice is square in mm (in voxels if mm are unknown)."""
        rows, columns = grid.rows_columns
        if cubic:
            return cls(grid, (rows, columns), size, cubic=True)
        dx, dy = grid.spacing[:2]
        if not np.isfinite([dx, dy]).all():
            dx = dy = 1.0
        side = max(rows * dy, columns * dx)
        square = (max(rows, round(side / dy)), max(columns, round(side / dx)))
        return cls(grid, square, size)

    @property
    def spacing(self) -> tuple[float, float]:
        """Size of a resized pixel in mm (row step, column step); NaN if unknown."""
        dx, dy = self.grid.spacing[:2]
        rows, columns = self.square
        if self.cubic:
            return dy * step(rows, self.size), dx * step(columns, self.size)
        return dy * rows / self.size, dx * columns / self.size

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel; NaN if unknown."""
        rows, columns = self.spacing
        return rows * columns * self.grid.spacing[2] / 1000 * self.grid.filled

    @property
    def sides_known(self) -> bool:
        """Whether the file says where the patient's right, front and feet are."""
        return self.grid.sides_known

    @property
    def _offset(self) -> tuple[int, int]:
        rows, columns = self.grid.rows_columns
        return (self.square[0] - rows) // 2, (self.square[1] - columns) // 2

    def resize_images(self, stack: NDArray[np.float32]) -> NDArray[np.float32]:
        """(D, H, W) in [0, 1], padded with 0 -> (D, size, size): antialiased bilinear.

        Slices of several channels alike, (D, C, H, W).

        Cubic, as the published protocol has it, overshoots [0, 1], and is left so; bilinear cannot.
        """
        planes, shape = stack.reshape(-1, *stack.shape[-2:]), (self.size, self.size)
        if self.cubic:
            small = zoomed(planes, shape, order=3)
        else:
            small = _interpolate(torch.from_numpy(self.pad(planes)), shape, "linear").numpy()
        return small.reshape(*stack.shape[:-2], *shape)

    def resize_labels(self, stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(D, H, W) -> (D, size, size): the nearest voxel, no half-pixel shift to the image."""
        if self.cubic:
            return zoomed(stack, (self.size, self.size), order=0)
        padded = torch.from_numpy(self.pad(stack))
        return _interpolate(padded, (self.size, self.size), "nearest").numpy()

    def pad(self, stack: NDArray[Any], fill: float = 0) -> NDArray[Any]:
        """(D, H, W) -> (D, rows, columns): square in mm, at the file's own resolution.

        What is square already is handed back as it is.
        """
        if self.square == self.grid.rows_columns:
            return stack
        (top, left), (rows, columns) = self._offset, self.grid.rows_columns
        below, right = self.square[0] - rows - top, self.square[1] - columns - left
        return np.pad(stack, ((0, 0), (top, below), (left, right)), constant_values=fill)

    def to_source(
        self, stack: NDArray[Any], mode: Literal["nearest", "linear"] = "linear"
    ) -> NDArray[Any]:
        """A stack over the square slices -> the file's own voxel grid (i, j, k).

        Args:
            stack: (D, h, w) that covers the square slices at any resolution.
            mode: ``"nearest"`` for labels, ``"linear"`` for maps.
        """
        cells = torch.from_numpy(np.ascontiguousarray(stack))
        full = (self._unzoomed if self.cubic else self._enlarged)(cells, mode)
        (top, left), (rows, columns) = self._offset, self.grid.rows_columns
        return self.grid.from_slices(full[:, top : top + rows, left : left + columns])

    def _enlarged(self, cells: torch.Tensor, mode: str) -> NDArray[Any]:
        return _interpolate(cells, self.square, mode).numpy()

    def _unzoomed(self, cells: torch.Tensor, mode: str) -> NDArray[Any]:
        """Cells tile the network's image, whose outer pixels have the centres of the file's."""
        image = (self.size, self.size)
        if cells.shape[1:] != image:
            cells = _interpolate(cells, image, mode)
        if mode == "nearest":
            return zoomed(cells.numpy(), self.square, order=0)
        return functional.interpolate(
            cells[:, None], size=self.square, mode="bilinear", align_corners=True
        )[:, 0].numpy()

    def to_plain(self) -> dict[str, Any]:
        """Dicts, lists and numbers alone: for JSON and for checkpoints."""
        return asdict(self) | {"grid": self.grid.to_plain(), "square": list(self.square)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Geometry":
        """Undoes :meth:`to_plain`."""
        return cls(
            grid=Grid.from_plain(plain["grid"]),
            square=tuple(plain["square"]),
            size=plain["size"],
            cubic=plain.get("cubic") is True,
        )


def _folded(axes: NDArray[np.float64], sizes: NDArray[np.float64]) -> bool:
    """Whether two of the axes are one, or one is none."""
    return not abs(np.linalg.det(axes)) > 1e-6 * sizes.prod()


def _interpolate(stack: torch.Tensor, shape: tuple[int, int], mode: str) -> torch.Tensor:
    if mode == "nearest":
        # The pixel whose area holds the centre: consistent with align_corners=False.
        return functional.interpolate(stack[:, None], size=shape, mode="nearest-exact")[:, 0]
    return functional.interpolate(
        stack[:, None], size=shape, mode="bilinear", align_corners=False, antialias=True
    )[:, 0]
