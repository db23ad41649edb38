"""The two stages of MiSuRe: dilate what is predicted until it is kept; then shrink the mask."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from segtrace.attribution.passes import SLICES_ON_CPU
from segtrace.causal.batches import Batches, Clock
from segtrace.explainers.hasany2024.pairs import Pairs
from segtrace.network.graph import check, gradients_of

BACKWARD = 2
"""Forward passes that a backward pass takes as long as."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Masks (n, H, W) of pairs (n,) -> (n,) what is to be small."""


def dilated(pairs: Pairs, keep: float, window: int, clock: Clock) -> tuple[Tensor, Tensor, int]:
    """Stage 1: the first of P_c, P_c dilated, dilated twice … that keeps the prediction.

    Args:
        pairs: organs on slices.
        keep: Dice to P_c from which on it is kept.
        window: pixels of the square that dilates, an odd number.
        clock: hears of every pass.

    Returns:
        (P, H, W) the masks; (P,) their Dice, NaN where the time was over before; the number of
        passes. A mask that shows the whole slice is the last: below ``keep`` nothing is enough.
    """
    masks, kept = pairs.own.clone(), pairs.own.new_full((len(pairs),), torch.nan).double()
    open_, passes = torch.arange(len(pairs), device=masks.device), 0
    while len(open_) and not pairs.scores.is_over():
        found = pairs.kept(masks.__getitem__, open_)
        clock.step(len(open_))
        passes += len(open_)
        ended = (found >= keep) | masks[open_].flatten(1).all(1)
        kept[open_[ended]] = found[ended]
        open_ = open_[~ended]
        masks[open_] = max_pool2d(masks[open_, None], window, 1, window // 2)[:, 0]
    return masks, kept, passes


def minimised(
    pairs: Pairs, first: Tensor, loss: Loss, rate: float, steps: int, clock: Clock
) -> tuple[Tensor, int]:
    """Stage 2: masks in [0, 1], each of its own loss, by AdamW from the first ones on.

    Returns:
        (P, H, W) the masks, and after how many steps; fewer where the time was over.
    """
    masks, every = first.clone(), torch.arange(len(first), device=first.device)
    optimiser = torch.optim.AdamW([masks], lr=rate)
    batches = Batches(SLICES_ON_CPU if masks.device.type == "cpu" else len(first))
    for step in range(steps if len(first) else 0):
        if pairs.scores.is_over():
            return masks, step

        def run(part: slice) -> Tensor:
            with torch.enable_grad():
                mine = masks[part].detach().requires_grad_()
                value = loss(mine, every[part]).sum()
            check(value, {"the mask": mine})
            (gradient,) = gradients_of(value, [mine])
            return torch.zeros_like(mine) if gradient is None else gradient

        masks.grad = torch.cat([one for _, one in batches.over(len(first), run)])
        optimiser.step()
        masks.clamp_(0, 1)
        clock.step((1 + BACKWARD) * len(first))
    return masks, steps


def shrinking(pairs: Pairs, sparsity: float, variation: float) -> Loss:
    """1 - softDice(f(x m + (1 - m) b), P_c) + λ Σ m / |P_c| + v TV(m).

    Args:
        pairs: organs on slices.
        sparsity: λ: what it costs to show as much as the organ. (Their weight, over the number of
            pixels, costs so little that masks grow; as a sum it gives large organs up.)
        variation: v; TV is the sum of |differences| of neighbours over the number of pixels.
    """
    weight = sparsity / pairs.own.flatten(1).sum(1)

    def loss(masks: Tensor, which: Tensor) -> Tensor:
        kept = pairs.soft(pairs.logits(masks, which), which)
        found = 1 - kept + weight[which] * masks.flatten(1).sum(1)
        if variation:
            found = found + variation * rough(masks)
        return found

    return loss


def rough(masks: Tensor) -> Tensor:
    """(n,) total variation of masks (n, H, W), over the number of their pixels."""
    down, right = masks.diff(dim=1).abs(), masks.diff(dim=2).abs()
    return (down.flatten(1).sum(1) + right.flatten(1).sum(1)) / masks[0].numel()
