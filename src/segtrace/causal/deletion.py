"""Does the map predict the cut? Remove the places it marks, and places like them.

A map that tells where the evidence is must cost more Dice, when the cells it marks are cut out of
its stage, than as many cells elsewhere: its own pattern shifted, which keeps the shape of its
blobs, and cells drawn at random. Cells in the organ win this game for any map, so it is also played
with cells outside the organ and its rim alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.forward import Output
from segtrace.attribution.undisturbed import as_input, undisturbed, unwrapped
from segtrace.causal.baselines import Baselines
from segtrace.causal.batches import SLICES, Batches
from segtrace.causal.cutting import Site, cutting
from segtrace.causal.marks import marked, outside, scattered, shifted
from segtrace.causal.outcome import Judge
from segtrace.causal.replacement import Replacement, replacing
from segtrace.causal.replay import Replay, Timetable
from segtrace.errors import InputError, unknown

WHERE = ("anywhere", "outside")
WAYS = ("map", "shifted", "random")
UNMARKED = (Status.DEAD, Status.DISCONNECTED, Status.ABSENT, Status.NONFINITE)


@dataclass(frozen=True)
class Deletion:
    """Dice lost when marked cells are removed. S sites, R rules, O organs, N slices.

    Attributes:
        sites: names along S.
        rules: names along R.
        organs: names along O.
        cases: name of each slice's case, along N.
        where: along the first axis, out of :data:`WHERE`.
        fractions: parts of a stage's cells that were removed; Dice lost is the mean over them.
        lost: (W, S, R, O, 3, N) Dice lost, mean over fractions and draws, by the cells that the
            map marks, its shifted pattern, and random cells; NaN where the organ is absent, the
            map marks nothing, or too few cells are outside the organ.
        whole: (O, N) Dice of the network as it is.
    """

    sites: tuple[str, ...]
    rules: tuple[str, ...]
    organs: tuple[str, ...]
    cases: tuple[str, ...]
    where: tuple[str, ...]
    fractions: tuple[float, ...]
    lost: Tensor
    whole: Tensor


def deletion(
    net: nn.Module,
    flow: Flow,
    sites: Sequence[Site],
    images: Tensor,
    truth: Tensor,
    channels: Mapping[str, int],
    baselines: Baselines | None = None,
    *,
    cases: Sequence[str] | None = None,
    where: Sequence[str] = WHERE,
    fractions: Sequence[float] = (0.05, 0.1, 0.2),
    draws: int = 5,
    cut: str = "channel_mean",
    seed: int = 0,
    batch: int = SLICES,
    output: Output | None = None,
) -> Deletion:
    """Remove the marked cells of every map of a flow.

    Costs, for every site, rule, organ, ``where`` and fraction, 1 + 2 ``draws`` passes over the
    slices that hold the organ, of what lies behind the site. Use slices of cases that the network
    was not trained on.

    Args:
        net: the network.
        flow: maps at these sites for these slices and organs.
        sites: the sites, in the flow's order or part of them.
        images: (N, C, H, W) the slices of the flow.
        truth: (N, H, W) label map in channel numbers.
        channels: organ -> channel, of the flow's organs.
        baselines: for the cut, see :func:`segtrace.causal.replacement.replacing`.
        cases: name of each slice's case; by default every slice is one of its own.
        where: ``anywhere``, ``outside`` the organ and its rim, or both.
        fractions: parts of a stage's cells, in (0, 1).
        draws: shifted and random patterns per map.
        cut: what stands in the place of removed cells.
        seed: of the patterns.
        batch: slices per pass; halves when memory runs out.
        output: picks the logits from what the network returns.

    Raises:
        InputError: sites or organs that the flow does not hold; fractions outside (0, 1); an organ
            that is in none of the slices or that the network does not find at all.
    """
    net = unwrapped(net)
    names = tuple(cases) if cases is not None else tuple(str(n) for n in range(len(images)))
    _check(flow, sites, images, channels, names, where, fractions)
    judge = Judge(channels, truth).checked()
    x = as_input(net, images)
    with undisturbed(net, x.device), torch.no_grad():
        timetable = Timetable.of(net, x[:1])
        replacement = replacing(net, sites, x, names, cut, baselines, draws, seed, output)
        runs = list(
            Batches(batch).over(
                len(x), lambda part: Replay.of(net, x[part], timetable, sites, output)
            )
        )
        whole = torch.cat([judge.of(run.logits, part).dice for part, run in runs], 1)
        _refuse_blind(whole, tuple(channels))
        game = _Game(runs, replacement, judge, tuple(fractions), draws, seed)
        lost = torch.stack(
            [
                torch.stack([game.played(flow, site, place, whole) for site in sites])
                for place in where
            ]
        )
    return Deletion(
        sites=tuple(site.name for site in sites),
        rules=flow.rules,
        organs=tuple(channels),
        cases=names,
        where=tuple(where),
        fractions=tuple(fractions),
        lost=lost,
        whole=whole,
    )


def _check(
    flow: Flow,
    sites: Sequence[Site],
    images: Tensor,
    channels: Mapping[str, int],
    cases: Sequence[str],
    where: Sequence[str],
    fractions: Sequence[float],
) -> None:
    for site in sites:
        if site.name not in flow.stages:
            raise unknown("map of", site.name, flow.stages, "this flow")
    for place in where:
        if place not in WHERE:
            raise unknown("place", place, WHERE)
    if tuple(channels) != flow.organs:
        raise InputError(
            f"the flow explains {', '.join(flow.organs)}; give their channels in this order"
        )
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        raise InputError(f"fractions are {tuple(fractions)}; give parts between 0 and 1")
    if not len(cases) == len(images) == flow.scores.shape[1]:
        raise InputError(
            f"{len(images)} slices, {len(cases)} cases, {flow.scores.shape[1]} slices in the flow; "
            "they must be as many"
        )


def _refuse_blind(whole: Tensor, organs: Sequence[str]) -> None:
    for organ, dice in zip(organs, whole, strict=True):
        if not float(dice.nansum()) > 0:
            raise InputError(
                f"the network's Dice for {organ!r} is 0 in every slice: there is nothing to lose, "
                "and no verdict on its maps; leave the organ out"
            )


@dataclass(frozen=True)
class _Game:
    """The passes of one deletion."""

    runs: Sequence[tuple[slice, Replay]]
    replacement: Replacement
    judge: Judge
    fractions: tuple[float, ...]
    draws: int
    seed: int

    def played(self, flow: Flow, site: Site, place: str, whole: Tensor) -> Tensor:
        """(R, O, 3, N) Dice lost at one site."""
        maps = flow.maps[site.name].cpu()  # (R, O, N, h, w)
        status = flow.status[flow.stages.index(site.name)].cpu()  # (R, O, N)
        lost = torch.full((*maps.shape[:2], len(WAYS), maps.shape[2]), torch.nan).double()
        for o, mask in enumerate(self.judge.masks.cpu()):
            allowed = torch.ones(maps.shape[2:], dtype=torch.bool)
            if place == "outside":
                allowed = outside(mask, maps.shape[3:])
            for r in range(len(maps)):
                left = self._left(site, maps[r, o], allowed, o)  # (3, N)
                unmarked = torch.isin(status[r, o], torch.tensor(UNMARKED))
                lost[r, o] = (whole[o] - left).masked_fill(unmarked, torch.nan)
        return lost

    def _left(self, site: Site, maps: Tensor, allowed: Tensor, organ: int) -> Tensor:
        """(3, N) Dice left, mean over fractions and draws."""
        generator = torch.Generator().manual_seed(self.seed)
        ways = []
        for way in WAYS:
            found = [
                self._dice(site, marked(pattern, fraction, allowed), organ)
                for pattern in self._patterns(way, maps, generator)
                for fraction in self.fractions
            ]
            ways.append(torch.stack(found).mean(0))
        return torch.stack(ways)

    def _patterns(self, way: str, maps: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
        if way == "map":
            yield maps
            return
        for _ in range(self.draws):
            yield (shifted if way == "shifted" else scattered)(maps, generator)

    def _dice(self, site: Site, marks: Tensor, organ: int) -> Tensor:
        """(N,) Dice of one organ with marked cells removed; NaN where none is."""
        found = []
        for part, run in self.runs:
            there = marks[part, None].to(run.x.device)

            def remove(activation: Tensor, there: Tensor = there, part: slice = part) -> Tensor:
                instead = self.replacement(site.name, activation, part, 0)
                return torch.where(there, instead, activation)

            with cutting(run.net, {site: remove}):
                found.append(self.judge.of(run.run(site), part).dice[organ])
        nothing = ~marks.flatten(1).any(1).to(found[0].device)
        return torch.cat(found).masked_fill(nothing, torch.nan)
