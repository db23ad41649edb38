"""What images are moved along beside an organ's gradient: chance, and networks that hold nothing.

In straight lines: by one step, since what is compared then is a direction; or, for what becomes of
the prediction, by as many steps as the ascent had.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.causal.batches import SLICES, Batches
from segtrace.explainers.couteaux2019.ascent import Ascent
from segtrace.explainers.couteaux2019.trajectory import Recorder
from segtrace.network.logits import logits_at

SHUFFLED = 19
"""Networks of the same weights in another order: the fewest that 5 % can be told of."""
BRIGHTNESS = ("mean", "sd")
"""What is compared of the values in an organ's region as it was at step 0."""


@dataclass(frozen=True)
class Lines:
    """By how much numbers change along straight lines; NaN where a region is empty.

    Attributes:
        own: (2, O, N) :data:`BRIGHTNESS` in the region of step 0, one step along the organ's own
            gradient.
        shuffled: (K, 2, O, N) along those of networks whose weights are in another order.
        chance: (R, 2, O, N) along directions drawn by chance.
        untrained: (2, O, N) along that of the untrained network; ``None`` where it is not known.
        by_chance: (R, features, O, N) of the organ's region as the network predicts it after as
            many steps as the ascent had.
        by_untrained: (features, O, N) the same; ``None`` where it is not known.
    """

    own: Tensor
    shuffled: Tensor
    chance: Tensor
    untrained: Tensor | None
    by_chance: Tensor
    by_untrained: Tensor | None

    def without(self, mask: Tensor) -> "Lines":
        """NaN in the place of what a mask (O, N) holds."""
        held: dict[str, Any] = {name: one if one is None else one.masked_fill(mask, torch.nan)
                for name, one in vars(self).items()}  # fmt: skip
        return Lines(**held)


def passes(slices: int, organs: int, draws: int, *, untrained: bool) -> int:
    """Of one slice, forward with or without backward."""
    return slices * (organs * (1 + SHUFFLED + 2 * untrained) + draws)


@dataclass(frozen=True)
class Controls:
    """Moves the slices and looks.

    Attributes:
        ascent: how they move.
        steps: of the ascent.
        record: what measures regions.
        width: what 1 of the input is, in the unit of values.
        seed: of all draws.
        stepped: hears how many slices more are done.
    """

    ascent: Ascent
    steps: int
    record: Recorder
    width: float
    seed: int
    stepped: Callable[[int], None]

    def run(self, draws: int, untrained: nn.Module | None) -> Lines | None:
        """All of them; ``None`` where the time is over before.

        Args:
            draws: directions by chance.
            untrained: the network before its training.
        """
        scores, shuffles = self.ascent.scores, []
        own = self._brightness(self._along(None))
        if untrained is not None:
            along = self._along(untrained)
            before, by_untrained = self._brightness(along), self._looked(along)
        for k in range(SHUFFLED):
            if scores.is_over():
                return None
            net = shuffled(scores.net, self.seed + k)
            shuffles.append(self._brightness(self._along(net)))
        drawn = [dict.fromkeys(scores.weights, self._drawn(self.seed + r)) for r in range(draws)]
        looks = [self._looked(along) for along in drawn]
        chance = [self._brightness(along) for along in drawn]
        return Lines(
            own, torch.stack(shuffles), torch.stack(chance),
            None if untrained is None else before, torch.stack(looks),
            None if untrained is None else by_untrained,
        )  # fmt: skip

    def _along(self, net: nn.Module | None) -> dict[str, Tensor]:
        """Organ -> the gradient that a network has of its score at the slices."""
        x, found = self.ascent.scores.x, {}
        for organ in self.ascent.scores.weights:

            def run(part: slice, organ: str = organ) -> Tensor:
                return self.ascent.gradient(organ, x[part], part, net)[2]

            parts = []
            for part, along in Batches(SLICES).over(len(x), run):
                parts.append(along)
                self.stepped(part.stop - part.start)
            found[organ] = torch.cat(parts)
        return found

    def _drawn(self, seed: int) -> Tensor:
        """One direction for all slices, whichever there are."""
        x = self.ascent.scores.x
        chance = torch.Generator().manual_seed(seed)
        along = torch.randn(x.shape[1:], generator=chance, dtype=torch.float64)
        return along.to(x).expand_as(x)

    def _brightness(self, along: dict[str, Tensor]) -> Tensor:
        """(2, O, N) how mean and sd change with a step where each organ was at step 0."""
        x, found = self.ascent.scores.x, []
        for organ, direction in along.items():
            end, mask = self.ascent.moved(x, direction, slice(None)), self.record.start[organ].mask
            before, after = (_mean_and_sd(one[:, 0].double(), mask) for one in (x, end))
            found.append(self.width * (after - before))
        return torch.stack(found, 1).cpu()

    def _looked(self, along: dict[str, Tensor]) -> Tensor:
        """(features, O, N) change of each organ's predicted region after all steps."""
        x, names = self.ascent.scores.x, [*self.record.start]
        known: dict[int, Tensor] = {}  # a direction by chance serves all organs
        for direction in along.values():
            if id(direction) not in known:
                end = self.ascent.moved(x, direction, slice(None), self.steps)
                known[id(direction)] = self._change(end)
        return torch.stack(
            [known[id(one)][:, names.index(organ)] for organ, one in along.items()], 1
        )

    def _change(self, x: Tensor) -> Tensor:
        """(features, Q, N) of every predicted region, less those of the slices as they are."""
        scores, parts = self.ascent.scores, []
        for part, logits in Batches(SLICES).over(len(x), lambda p: logits_at(scores.net, x[p])):
            before = self.record.numbers(scores.logits[part], scores.x[part], part)
            parts.append(self.record.numbers(logits, x[part], part) - before)
            self.stepped(part.stop - part.start)
        return torch.cat(parts, -1)


def shuffled(net: nn.Module, seed: int) -> nn.Module:
    """A copy whose every tensor of numbers holds them in another order: it has learnt nothing."""
    copy, chance = deepcopy(net), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*copy.parameters(), *copy.buffers()):
            if tensor.is_floating_point():
                order = torch.randperm(tensor.numel(), generator=chance).to(tensor.device)
                tensor.copy_(tensor.flatten()[order].view_as(tensor))
    return copy


def _mean_and_sd(values: Tensor, mask: Tensor) -> Tensor:
    """(2, N) over masks (N, *image); NaN where one is empty."""
    cells, flat = mask.flatten(1).double(), values.flatten(1)
    mean = (cells * flat).sum(1) / cells.sum(1)
    spread = (cells * (flat - mean[:, None]).square()).sum(1) / cells.sum(1)
    return torch.stack([mean, spread.sqrt()])
