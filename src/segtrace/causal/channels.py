"""Which channels of a stage carry an organ: cut in groups, each alone and then together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtrace.causal.batches import SLICES, Batches
from segtrace.causal.outcome import Judge
from segtrace.causal.replacement import Replacement
from segtrace.measures.over_cases import by_case
from segtrace.network.cached_forward import CachedForward, Timetable
from segtrace.network.hooks import Edit, edit
from segtrace.network.sites import Site

STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""So many groups are cut together, and all of them."""
LEAST = 0.05
"""Dice. Where the cut of all channels costs less, they carry nothing to be shared out."""


@dataclass(frozen=True)
class ChannelLosses:
    """Dice lost by cuts of some of a stage's channels. G groups, O organs, N slices.

    Attributes:
        groups: the channels of each.
        alone: (G, O, N) Dice lost where one group is cut.
        steps: how many groups were cut together.
        by_order: (O, steps, O, N) Dice lost where those were cut that one organ's losses put first
            (first axis), by every organ.
        random: (steps, O, N) the same in random orders, mean over the draws.
    """

    groups: tuple[Tensor, ...]
    alone: Tensor
    steps: tuple[int, ...]
    by_order: Tensor
    random: Tensor

    @property
    def own(self) -> Tensor:
        """(steps, O, N) of every organ in its own order."""
        return self.by_order.diagonal(0, 0, 2).movedim(-1, 1)

    @property
    def others(self) -> Tensor:
        """(steps, O, N) in the orders of the other organs, mean over these; NaN without another."""
        return self._over_others(self.by_order)

    @property
    def apart(self) -> Tensor:
        """(steps, O, N) how much more two organs lose in their own orders than in each other's.

        Half of it, mean over the other organs: of channels that all organs need alike it is 0,
        whichever order happens to be the better one.
        """
        own = self.own
        other = own[None].transpose(0, 2).expand_as(self.by_order)  # [k, :, o] of k in its own
        both = (own - self.by_order + other - self.by_order.transpose(0, 2)) / 2
        return self._over_others(both)

    def _over_others(self, values: Tensor) -> Tensor:
        """The mean of (O, steps, O, N) over the first axis but for the organ itself."""
        itself = torch.eye(len(values), dtype=torch.bool)[:, None, :, None]
        return values.masked_fill(itself, torch.nan).nanmean(0)


def passes(groups: int, organs: int, draws: int) -> int:
    """Forward passes of a slice from the stage on.

    Args:
        groups: of channels: each is cut alone once.
        organs: each has an order of its own, in which groups are cut together.
        draws: random orders beside them.
    """
    return groups + len(steps_of(groups)) * (organs + draws)


def steps_of(groups: int) -> tuple[int, ...]:
    """How many groups are cut together."""
    return (*(step for step in STEPS if step < groups), groups)


def channel_losses(
    net: nn.Module,
    site: Site,
    x: Tensor,
    judge: Judge,
    replacement: Replacement,
    groups: Sequence[Tensor],
    cases: Sequence[str],
    *,
    draws: int = 3,
    step: Callable[[int], None] = lambda _: None,
) -> ChannelLosses:
    """Cut groups of a site's channels, each alone, and then ever more of them together.

    Together they are cut from the costliest on. The order of a case is that of the mean losses of
    the other half of the cases (every second), so that no case chooses what it is judged by; of a
    single case it is its own.

    Args:
        net: the network itself, undisturbed, without gradients.
        site: where.
        x: (N, C, *image).
        judge: of its prediction.
        replacement: what stands in the place of cut channels.
        groups: the channels of each.
        cases: name of each slice's case.
        draws: random orders, always the same.
        step: told how many slices have gone through the network.
    """
    timetable = Timetable.of(net, x[:1])
    parts = list(
        Batches(SLICES).over(len(x), lambda part: CachedForward.of(net, x[part], timetable, [site]))
    )
    count = sum(map(len, groups))
    belongs = torch.zeros(len(groups), count, dtype=torch.bool)
    for g, own in enumerate(groups):
        belongs[g, own] = True
    whole = torch.cat([judge.whole(run.logits, part).dice for part, run in parts], 1)

    def lost(cut: Tensor) -> Tensor:  # (N, K) -> (O, N)
        found = []
        for part, run in parts:
            with edit(net, {site: _edit(site, replacement, part, cut[part])}):
                found.append(judge.of(run.run(site), part).dice)
            step(part.stop - part.start)
        return whole - torch.cat(found, 1)

    alone = torch.stack([lost(own.expand(len(x), -1)) for own in belongs])
    orders = [_order(alone[:, o], cases) for o in range(len(whole))]
    generator = torch.Generator().manual_seed(0)
    orders += [torch.rand(len(x), len(groups), generator=generator).argsort(1)
               for _ in range(draws)]  # fmt: skip
    steps = steps_of(len(groups))
    found = torch.stack(
        [torch.stack([lost(belongs[order[:, :many]].any(1)) for many in steps]) for order in orders]
    )  # (orders, steps, O, N)
    by_order, random = found[: len(whole)], found[len(whole) :].mean(0)
    return ChannelLosses(tuple(groups), alone, steps, by_order, random)


def _edit(site: Site, replacement: Replacement, part: slice, cut: Tensor) -> Edit:
    def edited(activation: Tensor) -> Tensor:
        chosen = cut.to(activation.device).reshape(*cut.shape, *[1] * (activation.ndim - 2))
        return torch.where(chosen, replacement(site.name, activation, part, 0), activation)

    return edited


def _order(alone: Tensor, cases: Sequence[str]) -> Tensor:
    """(N, G) groups from the costliest on, for every slice by the half of cases it is not in."""
    each, names = by_case(alone, cases), list(dict.fromkeys(cases))  # (G, C)
    ranked = []
    for case in cases:
        half = names.index(case) % 2
        rest = each[:, [n for n in range(len(names)) if n % 2 != half or len(names) == 1]]
        ranked.append(rest.nanmean(1).nan_to_num(nan=0.0).argsort(descending=True, stable=True))
    return torch.stack(ranked)


def share(losses: ChannelLosses, cases: Sequence[str], part: float = 0.9) -> list[int | None]:
    """For each organ the fewest groups, of those tried, whose cut costs so much of its Dice.

    Args:
        losses: of a site's channels.
        cases: name of each slice's case.
        part: in (0, 1], of the Dice that the cut of all channels costs, a mean over cases.

    Returns:
        Organ by organ a number of groups; ``None`` where all channels cost less than :data:`LEAST`.
    """
    mean = by_case(losses.own, cases).nanmean(-1)  # (steps, O)
    found: list[int | None] = []
    for curve in mean.T.tolist():
        pairs = zip(losses.steps, curve, strict=True)
        enough = [many for many, lost in pairs if lost >= part * curve[-1]]
        found.append(enough[0] if curve[-1] >= LEAST else None)
    return found


def beyond(losses: ChannelLosses, cases: Sequence[str]) -> Tensor:
    """(O, 3, C) what each organ loses in its own order, beyond what its channels must be beyond.

    The others' orders, what two organs lose alike (:attr:`ChannelLosses.apart`), and random ones;
    mean over the steps but the last, at which all orders have cut all. Of one half of the cases,
    whose orders the other half has given: where both halves choose for each other, what they find
    by chance agrees, and signs that are flipped case by case do not know that.
    """
    own = losses.own
    each = [own - losses.others, losses.apart, own - losses.random]
    found = torch.stack([by_case(one[:-1].mean(0), cases) for one in each], 1)
    return found[..., 1::2]
