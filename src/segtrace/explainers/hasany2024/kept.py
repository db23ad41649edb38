"""What the masks of both stages keep, and what the same masks keep elsewhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.causal.batches import Clock
from segtrace.explainers.hasany2024.pairs import Pairs

CONTROLS: Mapping[str, str] = {
    "dice": "as it was found",
    "organ_alone": "its part on P_c, without what it shows around",
    "context_elsewhere": "its part on P_c, with the rest moved elsewhere",
    "elsewhere": "all of it moved elsewhere",
}
"""Which mask -> what it is, in words."""


@dataclass(frozen=True)
class Kept:
    """The masks of P pairs for which stage 1 was done in time.

    Attributes:
        pairs: organs on slices.
        first: (P, H, W) of stage 1, 0 or 1.
        last: (P, H, W) of stage 2, in [0, 1].
        before: (P,) Dice kept by the first.
        beside: one of :data:`CONTROLS` -> (P,) Dice kept by it, of the last; NaN where the time was
            over, but for the mask as it is.
        steps: of stage 2 that were done.
        passes: forward passes of one image that were made; of stage 2 each with a backward one.
    """

    pairs: Pairs
    first: Tensor
    last: Tensor
    before: Tensor
    beside: Mapping[str, Tensor]
    steps: int
    passes: int

    def spread(self, values: Tensor, fill: float = torch.nan) -> Tensor:
        """(P, …) as (O, N, …), in main memory."""
        scores = self.pairs.scores
        shape = (len(scores.weights), len(scores.x), *values.shape[1:])
        found = values.new_full(shape, fill)
        found[self.pairs.at[:, 0], self.pairs.at[:, 1]] = values
        return found.cpu()

    def numbers(self) -> dict[str, Tensor]:
        """Name -> (O, N): what is kept, by how much of the slice; NaN where there is no mask."""
        sizes = {}
        for stage, masks in (("stage_1", self.first), ("stage_2", self.last)):
            pixels = masks.flatten(1).double().sum(1)
            sizes[f"{stage}_area"] = pixels / masks[0].numel() if len(masks) else pixels
            sizes[f"{stage}_over_organ"] = pixels / self.pairs.own.flatten(1).double().sum(1)
        dice = {"stage_1_dice": self.before, "stage_2_dice": self.beside["dice"]}
        rest = {f"{name}_dice": one for name, one in self.beside.items() if name != "dice"}
        return {name: self.spread(one) for name, one in (dice | sizes | rest).items()}


def controls(
    pairs: Pairs, masks: Tensor, moves: int, seed: int, clock: Clock
) -> tuple[dict[str, Tensor], int]:
    """What masks keep, and what they keep in other places, one of :data:`CONTROLS` each.

    A mask is moved by a quarter to three quarters of both sides, drawn by chance, and comes in
    again at the other end; of ``moves`` moves, the same for all masks, the mean is taken. Where the
    rest alone is moved, what of it comes to lie on P_c is lost behind the mask's own part there.

    Returns:
        name -> (P,) Dice; NaN where the time was over, but for the masks as they are; and the
        passes that it took.
    """
    passes = 0
    every, own = torch.arange(len(pairs), device=masks.device), pairs.own > 0
    height, width = masks.shape[1:]
    chance = torch.Generator().manual_seed(seed)
    by = torch.stack([side // 4 + torch.randint(side // 2 + 1, (moves,), generator=chance)
                      for side in (height, width)], 1).tolist()  # fmt: skip

    def kept(of: Callable[[Tensor], Tensor], *, always: bool = False) -> Tensor:
        nonlocal passes
        if pairs.scores.is_over() and not always:
            return torch.full((len(pairs),), torch.nan).double().to(masks.device)
        found = pairs.kept(of, every)
        clock.step(len(pairs))
        passes += len(pairs)
        return found

    def elsewhere(move: list[int]) -> Tensor:
        return kept(lambda which: masks[which].roll(move, (1, 2)))

    def around(move: list[int]) -> Tensor:
        def placed(which: Tensor) -> Tensor:
            rest = masks[which].masked_fill(own[which], 0).roll(move, (1, 2))
            return torch.where(own[which], masks[which], rest)

        return kept(placed)

    found = {
        "dice": kept(masks.__getitem__, always=True),
        "organ_alone": kept(lambda which: masks[which] * own[which]),
        "context_elsewhere": torch.stack([around(move) for move in by]).mean(0),
        "elsewhere": torch.stack([elsewhere(move) for move in by]).mean(0),
    }
    return found, passes
