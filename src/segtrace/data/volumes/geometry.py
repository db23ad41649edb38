"""From a file's voxel grid to a volume of another spacing, and back.

A volume is (z, y, x), lying as the slices do: plane 0 is the most caudal, row 0 anterior, column 0
the patient's right. It covers the very box that the file covers, so that outer faces agree and
voxel centres are half a voxel inside.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from nibabel import orientations
from numpy.typing import NDArray
from torch.nn import functional

from segtrace.data.files.geometry import Grid, Triple
from segtrace.errors import InputError

Shape = tuple[int, int, int]
"""Along z, y, x: planes, rows, columns."""


@dataclass(frozen=True)
class VolumeGeometry:
    """What was done to a file's voxels, so that it can be undone.

    Attributes:
        grid: the file's own grid.
        shape: voxels after resampling.
    """

    grid: Grid
    shape: Shape

    @classmethod
    def fit(cls, grid: Grid, spacing: Triple | None, where: str) -> "VolumeGeometry":
        """As many voxels as come nearest to a spacing.

        Args:
            grid: of the file.
            spacing: mm along left-right, front-back, feet-head; ``None`` for the file's own voxels.
            where: the file, for messages.

        Raises:
            InputError: mm are asked for, and the file does not say how large its voxels are.
        """
        own = (grid.depth, *grid.rows_columns)
        if spacing is None:
            return cls(grid, own)
        if not np.isfinite(grid.spacing).all():
            raise InputError(
                f"{where}: how large its voxels are is not known, so it cannot be resampled to "
                f"{list(spacing)} mm; repair its header, or say data.spacing=null"
            )
        both = zip(own, grid.spacing[::-1], spacing[::-1], strict=True)
        z, y, x = (max(1, math.floor(n * has / wanted + 0.5)) for n, has, wanted in both)
        return cls(grid, (z, y, x))

    @property
    def own(self) -> Shape:
        """Voxels of the file, lying as the volume does."""
        return self.grid.depth, *self.grid.rows_columns

    @property
    def spacing(self) -> Triple:
        """Size of a voxel in mm along z, y, x; NaN if unknown."""
        sizes = zip(self.grid.spacing[::-1], self.own, self.shape, strict=True)
        z, y, x = (mm * before / after for mm, before, after in sizes)
        return z, y, x

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel; NaN if unknown."""
        return math.prod(self.spacing) / 1000 * self.grid.filled

    @property
    def sides_known(self) -> bool:
        """Whether the file says where the patient's right, front and feet are."""
        return self.grid.sides_known

    def affine(self, start: Shape = (0, 0, 0)) -> NDArray[np.float64] | None:
        """4x4, from a voxel (z, y, x) to RAS mm as the file says; ``None`` where it does not.

        Args:
            start: voxel of the volume at which counting starts, as for a patch.
        """
        if self.grid.affine is None:
            return None
        steps = np.array(self.own) / self.shape
        to_own = np.diag([*steps, 1.0])
        to_own[:3, 3] = (np.array(start) + 0.5) * steps - 0.5
        turned = np.eye(4)[[2, 1, 0, 3]]  # (z, y, x) -> (x, y, z)
        to_file = orientations.inv_ornt_aff(np.array(self.grid.axes), self.grid.shape)
        found: NDArray[np.float64] = np.array(self.grid.affine) @ to_file @ turned @ to_own
        return found

    def resize_images(self, stack: NDArray[np.float32]) -> NDArray[np.float32]:
        """(D, H, W) of the file -> (z, y, x): linear, antialiased where voxels become larger.

        Of several channels (D, C, H, W) -> (z, C, y, x).
        """
        if stack.ndim > len(self.shape):
            channels = [self.resize_images(stack[:, c]) for c in range(stack.shape[1])]
            return np.stack(channels, axis=1)
        return _linear(torch.from_numpy(np.ascontiguousarray(stack)), self.shape).numpy()

    def resize_labels(self, stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(D, H, W) of the file -> (z, y, x): the voxel that holds the centre."""
        return _nearest(stack, self.shape)

    def to_source(
        self, stack: NDArray[Any], mode: Literal["nearest", "linear"] = "linear"
    ) -> NDArray[Any]:
        """A volume -> the file's own voxel grid (i, j, k).

        Args:
            stack: (z, y, x) that covers the volume at any resolution.
            mode: ``"nearest"`` for labels, ``"linear"`` for maps.
        """
        if mode == "nearest":
            return self.grid.from_slices(_nearest(stack, self.own))
        cells = torch.from_numpy(np.ascontiguousarray(stack))
        return self.grid.from_slices(_linear(cells, self.own).numpy())

    def to_plain(self) -> dict[str, Any]:
        """Dicts, lists and numbers alone: for JSON and for checkpoints."""
        return {"grid": self.grid.to_plain(), "shape": list(self.shape)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "VolumeGeometry":
        """Undoes :meth:`to_plain`."""
        z, y, x = plain["shape"]
        return cls(Grid.from_plain(plain["grid"]), (z, y, x))


def _linear(volume: torch.Tensor, shape: Shape) -> torch.Tensor:
    """(D, H, W) -> (z, y, x): along the plane's axes, and then across planes.

    Linear resampling comes apart into its axes; torch has no antialiasing for three of them.
    """
    planes, rows, columns = shape
    if volume.shape[1:] != (rows, columns):
        volume = _bilinear(volume[:, None], (rows, columns))[:, 0]
    if len(volume) != planes:
        sheet = volume.reshape(1, 1, len(volume), rows * columns)
        volume = _bilinear(sheet, (planes, rows * columns)).reshape(shape)
    return volume


def _bilinear(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return functional.interpolate(
        images, size=size, mode="bilinear", align_corners=False, antialias=True
    )


def _nearest(volume: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """The voxel in which the centre of each new one lies."""
    pairs = zip(volume.shape, shape, strict=True)
    places = [((np.arange(new) + 0.5) * old / new).astype(np.int64) for old, new in pairs]
    return volume[np.ix_(*places)]
