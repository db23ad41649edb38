"""A gradient pooled in windows, every cell given the value of its window: Seg-XRes-CAM's weights.

Where the window divides the stage both ways of tiling are the same.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn


def in_blocks(gradient: Tensor, side: Sequence[int], mode: str) -> Tensor:
    """(N, K, *cells) with every cell replaced by the mean or max of the block it lies in.

    Blocks at the far edges may be smaller; the mean is over the cells that are there.
    """
    cells = gradient.shape[2:]
    kernel = tuple(min(s, size) for s, size in zip(side, cells, strict=True))
    blocks: Tensor = _pool(mode, len(cells))(gradient, kernel, ceil_mode=True)
    for axis, (size, k) in enumerate(zip(cells, kernel, strict=True), 2):
        block = torch.arange(size, device=gradient.device) // k
        blocks = blocks.index_select(axis, block)
    return blocks


def padded_and_stretched(gradient: Tensor, side: Sequence[int], mode: str) -> Tensor:
    """The same as the authors' program computes it.

    Zeros are added at the far edges up to whole windows, so that means there are diluted and
    maxima are at least 0, and the pooled grid is stretched over the stage, nearest centre first:
    with 7 cells in windows of 2 they read the windows 0 0 1 2 2 3 3.
    """
    cells = gradient.shape[2:]
    missing = [-size % s for s, size in zip(side, cells, strict=True)]
    padding = [end for more in reversed(missing) for end in (0, more)]  # the last axis first
    blocks = _pool(mode, len(cells))(nn.functional.pad(gradient, padding), tuple(side))
    return nn.functional.interpolate(blocks, size=cells, mode="nearest-exact")


def _pool(mode: str, axes: int) -> Callable[..., Tensor]:
    pool: Callable[..., Tensor] = getattr(
        nn.functional, f"{'avg' if mode == 'mean' else 'max'}_pool{axes}d"
    )
    return pool


TILINGS: Mapping[str, Callable[[Tensor, Sequence[int], str], Tensor]] = {
    "blocks": in_blocks,
    "authors": padded_and_stretched,
}
"""Name -> (gradient (N, K, *cells), side of the window along each axis, mode) -> the same shape."""
