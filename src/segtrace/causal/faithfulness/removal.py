"""Which cells a map marks, and the passes of a deletion that removes them.

Of one site at a time, for all rules, organs and slices.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.trace import together
from segtrace.causal.outcome import Judge
from segtrace.causal.replacement import Replacement
from segtrace.measures.places import rim_of
from segtrace.measures.resize import pooled
from segtrace.network.cached_forward import CachedForward
from segtrace.network.hooks import edit
from segtrace.network.sites import Site


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


WAYS = ("map", "shifted", "random", "untrained")
"""What says which cells are removed: the map; its own pattern, moved; chance; the map of the
untrained network, where that is given."""
UNMARKED = (Status.DEAD, Status.DISCONNECTED, Status.ABSENT, Status.NONFINITE)

Step = Callable[[int], None]
"""Told how many slices have gone through the network."""


def usable(flow: Flow, site: Site) -> Tensor:
    """(R, O, N) the maps that mark anything."""
    status = flow.status[flow.stages.index(site.name)].cpu()
    return ~torch.isin(status, torch.tensor(UNMARKED))


def passes(flow: Flow, sites: Sequence[Site], fractions: int, draws: int, untrained: bool) -> int:
    """How many slices go through the network for these sites and one place."""
    patterns = 1 + 2 * draws + untrained
    # The fullest slice of a rule says how many turns it takes.
    turns = sum(int(usable(flow, site).sum(1).amax(1).sum()) for site in sites)
    return turns * patterns * fractions * flow.scores.shape[1]


@dataclass(frozen=True)
class Removal:
    """Removes marked cells, of another organ in every slice at once, as slices do not mix.

    Attributes:
        runs: (which slices, their forward pass), in order.
        replacement: what stands in the place of removed cells.
        judge: of the outcome.
        fractions: parts of a stage's cells that are removed.
        draws: shifted and random patterns per map.
        seed: of the patterns.
        step: told of progress.
    """

    runs: Sequence[tuple[slice, CachedForward]]
    replacement: Replacement
    judge: Judge
    fractions: tuple[float, ...]
    draws: int
    seed: int
    step: Step

    def left(self, flow: Flow, site: Site, place: str, untrained: Flow | None) -> Tensor:
        """(R, O, 4, N) Dice left at one site, mean over fractions and draws; NaN where unmarked.

        Args:
            flow: the maps.
            site: whose cells are removed.
            place: ``anywhere``, or ``outside`` the organ and its rim.
            untrained: the same maps of the untrained network, if known.
        """
        maps, marking = flow.maps[site.name].cpu(), usable(flow, site)
        allowed = self._allowed(place, maps.shape[3:])
        found = torch.full((*maps.shape[:2], len(WAYS), maps.shape[2]), torch.nan).double()
        for r in range(len(maps)):
            for turn in together(marking[r]):
                slices = (turn >= 0).nonzero()[:, 0]
                at = (r, turn[slices], slices)
                others = None
                if untrained is not None:
                    others = untrained.maps[site.name].cpu()[at]
                    sound = usable(untrained, site)[at]
                ways = self._ways(site, maps[at], others, allowed[at[1:]], turn)
                if others is not None:
                    ways[-1].masked_fill_(~sound, torch.nan)
                found[r, turn[slices], :, slices] = ways.T
        return found

    def _allowed(self, place: str, grid: Sequence[int]) -> Tensor:
        """(O, N, h, w) cells that may be removed."""
        masks = self.judge.masks.cpu()
        if place == "anywhere":
            return torch.ones(*masks.shape[:2], *grid, dtype=torch.bool)
        return torch.stack([outside(mask, grid) for mask in masks])

    def _ways(
        self, site: Site, maps: Tensor, untrained: Tensor | None, allowed: Tensor, turn: Tensor
    ) -> Tensor:
        """(4, n) Dice left of the slices whose turn it is."""
        generator = torch.Generator().manual_seed(self.seed)
        ways: list[Tensor] = []
        for way in WAYS:
            found = [
                self._dice(site, marked(pattern, fraction, allowed), turn)
                for pattern in self._patterns(way, maps, untrained, generator)
                for fraction in self.fractions
            ]
            ways.append(torch.stack(found).mean(0) if found else ways[0] * torch.nan)
        return torch.stack(ways)

    def _patterns(
        self, way: str, maps: Tensor, untrained: Tensor | None, generator: torch.Generator
    ) -> Iterator[Tensor]:
        if way == "map":
            yield maps
        elif way == "untrained":
            if untrained is not None:
                yield untrained
        else:
            for _ in range(self.draws):
                yield (shifted if way == "shifted" else scattered)(maps, generator)

    def _dice(self, site: Site, marks: Tensor, turn: Tensor) -> Tensor:
        """(n,) Dice of each slice's organ with marked cells removed; NaN where none is."""
        whole = marks.new_zeros(len(turn), *marks.shape[1:])
        whole[turn >= 0] = marks
        found = []
        for part, run in self.runs:
            there, organ = whole[part, None].to(run.x.device), turn[part]
            if there.any():
                found.append(self._removed(site, run, part, there)[organ, torch.arange(len(organ))])
            else:
                found.append(torch.full((len(organ),), torch.nan).double())
            self.step(len(organ))
        nothing = ~whole.flatten(1).any(1)
        return torch.cat(found).masked_fill(nothing, torch.nan)[turn >= 0]

    def _removed(self, site: Site, run: CachedForward, part: slice, there: Tensor) -> Tensor:
        """(O, n) Dice of every organ without those cells (n, 1, h, w)."""

        def remove(activation: Tensor) -> Tensor:
            instead = self.replacement(site.name, activation, part, 0)
            return torch.where(there, instead, activation)

        with edit(run.net, {site: remove}):
            return self.judge.of(run.run(site), part).dice
