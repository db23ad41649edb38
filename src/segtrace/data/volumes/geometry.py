"""From a file's voxel grid to a volume of another spacing, and back.

A volume is (D, H, W) as a stack of slices is: plane 0 is the most caudal, row 0 anterior, column 0
the patient's right. It covers what the file covers, so that its voxels are those of the file made
larger or smaller, and any grid of cells that covers it can be laid back on the file's voxels.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from segtrace.data.files.geometry import Grid, Triple
from segtrace.errors import InputError

Size = tuple[int, int, int]


@dataclass(frozen=True)
class VolumeGeometry:
    """What was done to a file's voxels, so that it can be undone.

    Attributes:
        grid: the file's own grid.
        shape: planes, rows and columns after resizing.
    """

    grid: Grid
    shape: Size

    @classmethod
    def fit(cls, grid: Grid, spacing: Triple | None, where: str) -> "VolumeGeometry":
        """As many voxels as come nearest to a spacing.

        Args:
            grid: the file's.
            spacing: mm along left-right, front-back, feet-head; ``None`` for the file's own.
            where: the file, for messages.

        Raises:
            InputError: a spacing is asked for, and the file's is not known.
        """
        own = (grid.depth, *grid.rows_columns)
        if spacing is None:
            return cls(grid, own)
        if not np.isfinite(grid.spacing).all():
            raise InputError(
                f"{where}: the mm of its voxels are not known, so that they cannot be made "
                f"{' x '.join(f'{mm:g}' for mm in spacing)} mm; repair the file's header"
            )
        along = zip(own, grid.spacing[::-1], spacing[::-1], strict=True)
        planes, rows, columns = (max(1, round(n * mm / asked)) for n, mm, asked in along)
        return cls(grid, (planes, rows, columns))

    @property
    def spacing(self) -> Triple:
        """Size of a voxel in mm (plane step, row step, column step); NaN if unknown."""
        planes, rows, columns = (
            mm * n / made
            for mm, n, made in zip(self.grid.spacing[::-1], self._source, self.shape, strict=True)
        )
        return planes, rows, columns

    @property
    def sides_known(self) -> bool:
        """Whether the file says where the patient's right, front and feet are."""
        return self.grid.sides_known

    def affine(self) -> NDArray[np.float64] | None:
        """(4, 4) from the volume's (plane, row, column) to RAS mm; ``None`` where not known."""
        if self.grid.affine is None:
            return None
        stored = np.zeros((4, 4))  # (plane, row, column) of the volume -> (i, j, k) of the file
        stored[3, 3] = 1
        for axis, (along, flip) in enumerate(self.grid.axes):
            own = 2 - along  # x runs along the columns, z along the planes
            step = self._source[own] / self.shape[own]
            first = step / 2 - 0.5  # both cover the same, from the edge of the first voxel on
            stored[axis, own] = flip * step
            stored[axis, 3] = first if flip > 0 else self._source[own] - 1 - first
        return np.array(self.grid.affine) @ stored

    @property
    def _source(self) -> Size:
        return self.grid.depth, *self.grid.rows_columns

    def resize_images(self, stack: NDArray[np.float32]) -> NDArray[np.float32]:
        """(D, H, W) of the file -> (d, h, w), linear between the centres of voxels.

        Of several channels alike, (D, C, H, W) -> (d, C, h, w).
        """
        if stack.ndim == 4:
            channels = [self.resize_images(stack[:, c]) for c in range(stack.shape[1])]
            return np.stack(channels, axis=1)
        return _resized(stack, self.shape, "linear")

    def resize_labels(self, stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(D, H, W) of the file -> (d, h, w): the voxel that holds the centre."""
        return _resized(stack, self.shape, "nearest")

    def to_source(
        self, stack: NDArray[Any], mode: Literal["nearest", "linear"] = "linear"
    ) -> NDArray[Any]:
        """A stack over the volume -> the file's own voxel grid (i, j, k).

        Args:
            stack: (d, h, w) that covers the volume at any resolution.
            mode: ``"nearest"`` for labels, ``"linear"`` for maps.
        """
        return self.grid.from_slices(_resized(stack, self._source, mode))


def _resized(stack: NDArray[Any], size: Size, mode: str) -> NDArray[Any]:
    if stack.shape == size:
        return stack
    cells = torch.from_numpy(np.ascontiguousarray(stack))[None, None]
    if mode == "nearest":
        return interpolate(cells, size=size, mode="nearest-exact")[0, 0].numpy()
    return interpolate(cells, size=size, mode="trilinear", align_corners=False)[0, 0].numpy()
