"""Resizing as matrices, so that sums over a resized map can be taken without resizing it.

A map L (h, w) is shown and measured on the image's grid as U(L) = A_h L A_wᵀ: bilinear with
``align_corners=False``, which is linear and separable. Hence, for a mask m (H, W),

    Σ_m U(L) = <A_h L A_wᵀ, m> = <L, A_hᵀ m A_w>.

The adjoint mask A_hᵀ m A_w is computed once a mask and grid; every rule and stage on that grid then
costs one inner product at its own resolution, exactly.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate


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


def between(left: Tensor, fields: Tensor, right: Tensor) -> Tensor:
    """The product left · field · rightᵀ: left (c, a), fields (…, a, b), right (d, b)."""
    return left.to(fields) @ (fields @ right.to(fields).T)


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """U(L): maps (…, h, w) on the image's grid (…, H, W)."""
    if maps.shape[-2:] == size:
        return maps
    planes = maps.flatten(0, -3)[:, None]
    images = interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return images.view(*maps.shape[:-2], *size)


def adjoint(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Uᵀ(m): masks (…, H, W) -> (…, h, w) weights, with Σ U(L) m = Σ L Uᵀ(m)."""
    if masks.shape[-2:] == grid:
        return masks
    (height, width), (h, w) = masks.shape[-2:], grid
    return between(bilinear_matrix(h, height).T, masks, bilinear_matrix(w, width).T)


def pooled(masks: Tensor, grid: tuple[int, ...]) -> Tensor:
    """The perfect map of a grid: masks (…, *image) averaged over its cells, in [0, 1]."""
    if masks.shape[-len(grid) :] == grid:
        return masks
    matrices = [area_matrix(*pair) for pair in zip(grid, masks.shape[-len(grid) :], strict=True)]
    if len(grid) == 2:
        return between(matrices[0], masks, matrices[1])
    for axis, matrix in enumerate(matrices, masks.ndim - len(grid)):
        masks = (masks.movedim(axis, -1) @ matrix.to(masks).T).movedim(-1, axis)
    return masks


def total(fields: Tensor) -> Tensor:
    """Σ over the grid (…, h, w) -> (…) float64."""
    # Along the rows in the fields' own precision: over all cells float64 costs five times as much.
    return fields.sum(-1).sum(-1, dtype=torch.float64)


def inner(maps: Tensor, weights: Tensor) -> Tensor:
    """Σ map · weight over the grid, (…, h, w) -> (…) float64; broadcasts over leading axes."""
    return torch.linalg.vecdot(maps, weights).sum(-1, dtype=torch.float64)
