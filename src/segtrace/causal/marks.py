"""Places that a map marks, and places like them that it does not."""

from collections.abc import Sequence

import torch
from torch import Tensor

from segtrace.measures.places import rim_of
from segtrace.measures.resize import pooled


def marked(maps: Tensor, fraction: float, allowed: Tensor) -> Tensor:
    """The cells where a map is largest: (n, *cells) bool, ``fraction`` of the cells in each slice.

    Args:
        maps: (n, *cells) signed maps; of equal cells the one that comes first is taken.
        fraction: of all cells, in (0, 1]; at least one cell.
        allowed: (n, *cells) cells that may be marked; a slice with too few marks none.
    """
    count = max(1, round(fraction * maps[0].numel()))
    values = maps.double().masked_fill(~allowed, -torch.inf).flatten(1)
    order = values.argsort(dim=1, descending=True, stable=True)
    marks = torch.zeros_like(values, dtype=torch.bool).scatter_(1, order[:, :count], True)
    enough = allowed.flatten(1).sum(1) >= count
    return (marks & enough[:, None]).view_as(allowed)


def shifted(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Every map (n, *cells) moved around its own edges by a chance distance that is not zero."""
    cells = maps.shape[1:]
    steps = torch.randint(1, max(2, cells.numel()), (len(maps),), generator=generator)
    moved = [
        one.roll(tuple(map(int, torch.unravel_index(step, cells))), tuple(range(one.ndim)))
        for one, step in zip(maps, steps, strict=True)
    ]
    return torch.stack(moved)


def scattered(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Chance numbers in the shape of the maps: what they mark is anywhere."""
    return torch.rand(maps.shape, generator=generator)


def outside(masks: Tensor, grid: Sequence[int]) -> Tensor:
    """Cells (n, *cells) that hold no pixel of the organ or of the rim around it.

    Args:
        masks: (n, *image) bool, where the organ is.
        grid: cells of the stage along each axis.
    """
    near = (masks | rim_of(masks, tuple(grid))).float()
    return pooled(near, tuple(grid)) <= 0
