"""Maps of windows as one map of the image, at the stage's own resolution.

A map has one value a cell, and a cell covers its part of a window: ``window / cells`` voxels along
each axis. The stitched map has cells of (nearly) that size over the whole image. Each of them is
the mean over its voxels x and over the windows w that see them,

    L(g) = Σ_w Σ_(x in g) I_w(x) L_w(c_w(x)) / Σ_w Σ_(x in g) I_w(x),

with the weights I_w by which the inferer blends logits and the cell c_w(x) of the window in which
x lies. Where the cells of windows meet those of the image this is a weighted mean of cells; where
they do not, since a window starts within one, a voxel counts by the part of it that is in either.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from segtrace.attribution.sliding.windows import Windows

SAME = 1e-6
"""Voxels by which two edges of cells may differ and be one."""


class Pieces(NamedTuple):
    """A window's cells along an axis, cut where a cell of the image begins.

    Attributes:
        cell: (P,) the window's cell that each piece lies in.
        onto: (P,) the image's, counted from ``first``.
        voxels: (P, window) the part of every voxel of the window that lies in each.
        first: cell of the image.
        reached: cells of the image that the window reaches.
    """

    cell: Tensor
    onto: Tensor
    voxels: Tensor
    first: int
    reached: int


def cells_of(image: int, window: int, cells: int) -> int:
    """Cells of a stitched map along an axis: as fine as those of a window's map.

    Args:
        image: voxels of the image.
        window: voxels of a window.
        cells: of a window's map.

    >>> cells_of(image=512, window=96, cells=6)
    32
    """
    return max(1, round(image * cells / window))


@lru_cache(maxsize=1024)
def pieces(image: int, window: int, cells: int, start: int) -> Pieces:
    """How the cells of a window's map lie on those of the stitched map, along an axis.

    Args:
        image: voxels of the image.
        window: voxels of a window.
        cells: of a window's map.
        start: first voxel of the window; below 0 where the image is padded for it.
    """
    own, whole = window / cells, image / cells_of(image, window, cells)
    low, high = max(start, 0), min(start + window, image)
    edges = [start + own * n for n in range(cells + 1)]
    edges += [whole * n for n in range(cells_of(image, window, cells) + 1)]
    ends = [float(low)]
    for edge in sorted(edges):
        if ends[-1] + SAME < edge < high - SAME:
            ends.append(edge)
    spans = list(pairwise([*ends, float(high)]))
    middle = torch.tensor([(a + b) / 2 for a, b in spans], dtype=torch.float64)
    onto = (middle / whole).long()
    voxel = start + torch.arange(window, dtype=torch.float64)
    begin, end = torch.tensor(spans, dtype=torch.float64).T[..., None]
    overlap = torch.minimum(end, voxel + 1) - torch.maximum(begin, voxel)
    first = int(onto[0])
    return Pieces(((middle - start) / own).long(), onto - first, overlap.clamp(min=0), first,
                  int(onto[-1]) - first + 1)  # fmt: skip


class Stitched:
    """Maps of an image that grow window by window.

    Args:
        windows: on the image.
        cells: site -> cells of its map in a window.
        shape: of the maps before their cells.
        kind: their precision.
    """

    def __init__(
        self,
        windows: Windows,
        cells: Mapping[str, Sequence[int]],
        shape: Sequence[int],
        kind: torch.dtype = torch.float32,
    ) -> None:
        self._windows, self._weights = windows, windows.weights.to(kind)
        sizes = {
            site: [cells_of(*one) for one in zip(windows.image, windows.size, own, strict=True)]
            for site, own in cells.items()
        }
        self._cells = {site: tuple(own) for site, own in cells.items()}
        self._sums = {site: torch.zeros(*shape, *size, dtype=kind) for site, size in sizes.items()}
        self._counts = {grid: torch.zeros([cells_of(*one) for one in zip(
            windows.image, windows.size, grid, strict=True)], dtype=kind)
            for grid in set(self._cells.values())}  # fmt: skip

    def add(self, start: Sequence[int], maps: Mapping[str, Tensor] | None) -> None:
        """The maps (*shape, *cells) of a window; ``None`` of one that has no evidence, zeros."""
        for grid, count in self._counts.items():
            parts = [pieces(*one) for one in zip(
                self._windows.image, self._windows.size, grid, start, strict=True)]  # fmt: skip
            weights = _weighed(self._weights, parts)
            place: Any = (..., *(slice(p.first, p.first + p.reached) for p in parts))
            count[place] += _gathered(weights, parts)
            for site in (name for name, own in self._cells.items() if maps and own == grid):
                found = _spread((maps or {})[site].to(weights), parts) * weights
                self._sums[site][place] += _gathered(found, parts)

    def maps(self) -> dict[str, Tensor]:
        """The means; all windows were added, and what was summed up is used up."""
        return {site: sums.div_(self._counts[self._cells[site]])
                for site, sums in self._sums.items()}  # fmt: skip


def _weighed(weights: Tensor, parts: Sequence[Pieces]) -> Tensor:
    """(*pieces) the sum of the voxels' weights over each piece."""
    for axis, part in enumerate(parts):
        voxels = part.voxels.to(weights)
        weights = torch.tensordot(voxels, weights, ([1], [axis])).movedim(0, axis)
    return weights


def _spread(maps: Tensor, parts: Sequence[Pieces]) -> Tensor:
    """(…, *pieces) the value of the cell that each piece lies in."""
    for axis, part in enumerate(parts, -len(parts)):
        if not torch.equal(part.cell, torch.arange(maps.shape[axis])):
            maps = maps.index_select(axis, part.cell)
    return maps


def _gathered(values: Tensor, parts: Sequence[Pieces]) -> Tensor:
    """(…, *cells of the image) the sum over the pieces of each."""
    for axis, part in enumerate(parts, -len(parts)):
        if len(part.onto) != part.reached:
            shape = [*values.shape]
            shape[axis] = part.reached
            values = values.new_zeros(shape).index_add_(axis, part.onto, values)
    return values
