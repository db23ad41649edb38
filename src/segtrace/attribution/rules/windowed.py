"""Seg-XRes-CAM: the gradient pooled in windows, every cell given the value of its window.

Where the window divides the stage both ways of tiling are the same.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from segtrace.attribution.rules.plain import GRADIENT
from segtrace.attribution.rules.rule import Rule, Stride
from segtrace.errors import InputError, unknown
from segtrace.network import guards


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


@guards.held(mode=guards.a_name, unit=guards.a_name, tiling=guards.a_name)
def seg_xres_cam(
    window: int = 2,
    mode: Literal["mean", "max"] = "mean",
    unit: Literal["cells", "pixels"] = "cells",
    tiling: Literal["blocks", "authors"] = "blocks",
) -> Rule:
    """Seg-XRes-CAM, Σ_k Pool_w(∂S/∂A^k) ⊙ A^k (Hasany et al. 2023b), as a rule.

    Between the two others: window 1 is ``grad_pam``, a mean window that covers the stage is
    ``seg_grad_cam``. The gradient is pooled in blocks of w cells and each block's value stands in
    all of its cells. Where the window does not divide the stage, the two ways of tiling differ:

    * ``blocks``: blocks at the far edges may be smaller; their mean is over the cells that are
      there, and each cell keeps the value of the block it lies in.
    * ``authors``: as the program of Hasany et al. computes it, to compare with published maps.
      The far edges are padded with zeros, and the pooled grid is stretched over the stage, so
      that a cell can get the value of a block it does not lie in (at 7 x 7, the bottleneck of
      224 pixels, with windows of 2 the maps' cosine to those of ``blocks`` is some 0.6); a
      window larger than the stage is no ``seg_grad_cam``.

    Do use ``mean`` and ``pixels``, which look through windows of one size at every stage. Do not
    use ``max`` for numbers: it is not linear in the region, and one cell's gradient multiplies
    its neighbours' activations. Blocks are fixed to the grid: maps do not move along with an
    image that moves by less than a window.

    Args:
        window: side of the blocks.
        mode: ``mean`` or ``max`` over a block.
        unit: whether ``window`` counts cells of the stage or pixels of the input, the latter
            rounded to at least one cell.
        tiling: ``blocks`` or ``authors``, see above.

    Raises:
        InputError: a window below 1, an unknown mode, unit or tiling.

    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> seg_xres_cam(2)(activation, gradient)
    tensor([[3.5000, 4.5000, 0.5000, 1.5000]])
    """
    if not isinstance(window, int) or window < 1:
        raise InputError(f"the window of seg_xres_cam is {window!r}; give a whole number from 1")
    for option, given, allowed in (
        ("mode", mode, ("mean", "max")),
        ("unit", unit, ("cells", "pixels")),
        ("tiling", tiling, TILINGS),
    ):
        if given not in allowed:
            raise unknown(f"{option} of seg_xres_cam", given, allowed)

    def pooled(gradient: Tensor, stride: Stride) -> Tensor:
        side = [window if unit == "cells" else max(1, round(window / s)) for s in stride]
        return TILINGS[tiling](gradient, side, mode)

    authors = tiling == "authors"
    suffix = "_max" * (mode == "max") + "px" * (unit == "pixels") + "_authors" * authors
    return Rule(
        f"seg_xres_cam_{window}{suffix}",
        pooled,
        title=f"Seg-XRes-CAM, {mode} of {window} {unit}" + ", the authors' tiling" * authors,
        equation="Seg-XRes-CAM (Hasany et al., 2023): L = ReLU(Σ_k P(G_k) ⊙ A_k) with "
        f"{GRADIENT} pooled over windows by P, here the {mode} of {window} x {window} {unit}"
        + ", padded and stretched as in the authors' program"
        * authors,
        papers=("hasany2023",),
    )
