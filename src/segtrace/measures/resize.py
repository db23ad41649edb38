"""Resizing as matrices, so that sums over a resized map can be taken without resizing it.

A map L (h, w) is shown and measured on the image's grid as U(L) = A_h L A_wᵀ: bilinear with
``align_corners=False``, which is linear and separable. Hence, for a mask m (H, W),

    Σ_m U(L) = <A_h L A_wᵀ, m> = <L, A_hᵀ m A_w>.

The adjoint mask A_hᵀ m A_w is computed once a mask and grid; every rule and stage on that grid then
costs one inner product at its own resolution, exactly. A volume has one axis and one matrix more.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from segtrace.attribution.aggregate import on_grid
from segtrace.attribution.rules import pieces

Grid = tuple[int, ...]
"""Cells, or pixels, along each axis: rows and columns, of a volume planes before them."""
IMAGE = {1: "W", 2: "H, W", 3: "D, H, W"}
"""Axes of an image -> how a shape names them."""


@lru_cache(maxsize=256)
def bilinear_matrix(cells: int, pixels: int) -> Tensor:
    """A (pixels, cells) float64: what each cell gives to each pixel; rows sum to 1."""
    units = torch.eye(cells, dtype=torch.float64)[None]
    return interpolate(units, size=pixels, mode="linear", align_corners=False)[0].T.contiguous()


@lru_cache(maxsize=256)
def area_matrix(cells: int, pixels: int) -> Tensor:
    """P (cells, pixels) float64: the mean over the part of the image under each cell.

    Exact also where ``pixels`` is no multiple of ``cells``: a pixel counts by the part of it that
    lies under the cell. Rows sum to 1.
    """
    edges = torch.arange(cells + 1, dtype=torch.float64)[:, None] * pixels / cells
    pixel = torch.arange(pixels, dtype=torch.float64)
    overlap = torch.minimum(edges[1:], pixel + 1) - torch.maximum(edges[:-1], pixel)
    return overlap.clamp(min=0) * cells / pixels


def along(matrices: Sequence[Tensor], fields: Tensor) -> Tensor:
    """Fields (…, *image) with a matrix (cells, pixels) applied along each of the last axes."""
    *before, beside = (matrix.to(fields) for matrix in matrices)
    fields = fields @ beside.T
    # From the last axis on: what is left becomes smaller, and no axis has to change its place.
    for behind, matrix in enumerate(reversed(before), 1):
        cells = fields.shape[-behind:]
        fields = (matrix @ fields.flatten(-behind)).unflatten(-1, cells)
    return fields


def resized(maps: Tensor, size: Grid) -> Tensor:
    """U(L): maps (…, *cells) on the image's grid (…, *image)."""
    return maps if maps.shape[-len(size) :] == size else on_grid(maps, size)


def adjoint(masks: Tensor, grid: Grid) -> Tensor:
    """Uᵀ(m): masks (…, *image) -> (…, *cells) weights, with Σ U(L) m = Σ L Uᵀ(m)."""
    image = masks.shape[-len(grid) :]
    if image == grid:
        return masks
    return along([bilinear_matrix(*pair).T for pair in zip(grid, image, strict=True)], masks)


def pooled(masks: Tensor, grid: Grid) -> Tensor:
    """The perfect map of a grid: masks (…, *image) averaged over its cells, in [0, 1]."""
    image = masks.shape[-len(grid) :]
    if image == grid:
        return masks
    return along([area_matrix(*pair) for pair in zip(grid, image, strict=True)], masks)


def total(fields: Tensor, axes: int = 2) -> Tensor:
    """Σ over the last axes, those of the grid: (…, *cells) -> (…) float64."""
    return _over_rows(lambda piece: piece.sum(-1), axes, fields)


def total_of_sizes(fields: Tensor, axes: int = 2) -> Tensor:
    """The same of the absolute values."""
    return _over_rows(lambda piece: piece.abs().sum(-1), axes, fields)


def inner(maps: Tensor, weights: Tensor, axes: int = 2) -> Tensor:
    """Σ map · weight over the grid, (…, *cells) -> (…) float64; broadcasts over leading axes."""
    return _over_rows(torch.linalg.vecdot, axes, maps, weights)


def _over_rows(of: Callable[..., Tensor], axes: int, *fields: Tensor) -> Tensor:
    """What is made of each row of some fields (…, *cells), summed: (…) float64."""
    # Along the rows in the fields' own precision: over all cells float64 costs five times as much.
    if axes == 1:
        return of(*fields).double()
    rows = torch.cat([of(*piece) for piece in pieces(axes, *fields)], 1 - axes)
    return rows.sum(tuple(range(1 - axes, 0)), dtype=torch.float64)
