"""Distances between the surfaces of two masks, pooled both ways."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree


@dataclass(frozen=True)
class Surfaces:
    """The surface voxels of two masks, neither of them empty.

    A voxel is on the surface where one of its six neighbours, or the image's end, is outside.

    Attributes:
        predicted: (m, 3) indices.
        true: (n, 3) indices.
    """

    predicted: NDArray[np.intp]
    true: NDArray[np.intp]

    @classmethod
    def of(cls, predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> "Surfaces":
        """Of masks (D, H, W)."""
        box = _box(predicted | true)
        return cls(*(np.argwhere(_surface(mask[box])) for mask in (predicted, true)))

    def distances(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m + n,) from every surface voxel of the one to the nearest of the other.

        Args:
            steps: (3, 3) a row for a step along D, H and W, orthogonal or not: that of
                :attr:`segtrace.data.files.geometry.Grid.steps` for distances in mm, the identity
                for those in voxels.
        """
        points = (np.concatenate([self.predicted, self.true]) + 1) @ steps
        # Away from 0: beside it scipy splits at denormal numbers, which the scripts flush to 0, so
        # that it would split for ever.
        lowest = points.min(axis=0)
        points += np.where(lowest > 0, 0, 1 - lowest)
        predicted, true = np.split(points, [len(self.predicted)])
        # A k-d tree of surfaces finds what a distance transform of the box does, mostly in less
        # time, and does not ask for orthogonal axes.
        return np.concatenate([KDTree(true).query(predicted)[0], KDTree(predicted).query(true)[0]])


def hd95(distances: NDArray[np.float64]) -> float:
    """The 95th percentile of the distances both ways together, as medpy's ``hd95``.

    MONAI's takes the larger of the two percentiles of one way each: another number.
    """
    return float(np.percentile(distances, 95))


def surface_dice(distances: NDArray[np.float64], tolerance: float) -> float:
    """The share of surface voxels, of both together, that lie within the tolerance of the other.

    Nikolov et al. 2018, with voxels in the place of areas, as MONAI's without sub-voxels.
    """
    return float((distances <= tolerance).mean())


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner: NDArray[np.bool_] = binary_erosion(mask)
    return mask & ~inner


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Where it lies; what is outside is empty, as the end of an image is."""
    axes = range(mask.ndim)
    lies = [np.flatnonzero(mask.any(tuple(a for a in axes if a != axis))) for axis in axes]
    return tuple(slice(int(at[0]), int(at[-1]) + 1) for at in lies)
