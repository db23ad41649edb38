"""Which cells a map marks, and the passes of a deletion that removes them.

Of one site at a time, for all rules, organs and slices.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.passes import together
from segtrace.causal.outcome import Judge
from segtrace.causal.replacement import Replacement
from segtrace.measures.places import rim_of
from segtrace.measures.resize import pooled
from segtrace.network.cached_forward import CachedForward
from segtrace.network.hooks import edit
from segtrace.network.sites import Site


def counts(maps: Tensor, fraction: float, allowed: Tensor) -> Tensor:
    """How many cells each map marks.

    Args:
        maps: (n, *cells) signed.
        fraction: of all cells, in (0, 1]; at least one cell is meant.
        allowed: (n, *cells) bool, cells that may be marked.

    Returns:
        (n,) whole numbers, never more than cells of that map are positive and allowed; so 0 too.
    """
    most = max(1, round(fraction * maps[0].numel()))
    positive = (maps > 0) & allowed
    return positive.flatten(1).sum(1).clamp(max=most)


def marked(maps: Tensor, count: Tensor, allowed: Tensor, generator: torch.Generator) -> Tensor:
    """The cells where a map is largest: (n, *cells) bool, ``count`` (n,) of them in each slice.

    Args:
        maps: (n, *cells) signed maps; which of equal cells are taken is drawn.
        count: see :func:`counts`.
        allowed: (n, *cells) cells that may be marked; a slice with too few marks none.
        generator: of the draws.
    """
    values = maps.double().masked_fill(~allowed, -torch.inf).flatten(1)
    mixed = torch.rand(values.shape, generator=generator).argsort(1)
    order = mixed.gather(1, values.gather(1, mixed).argsort(dim=1, descending=True, stable=True))
    first = torch.arange(values.shape[1]) < count[:, None]
    marks = torch.zeros_like(first).scatter_(1, order, first)
    enough = allowed.flatten(1).sum(1) >= count
    return (marks & enough[:, None]).view_as(allowed)


def shifted(marks: Tensor, allowed: Tensor, generator: torch.Generator) -> Tensor:
    """Every pattern of marked cells moved to where most of it is allowed: a null of the same shape.

    The best of :data:`MOVES` moves by chance, none of them zero or around an edge; what still falls
    elsewhere goes to allowed cells by chance, so that as many cells are marked.

    Args:
        marks: (n, *cells) bool.
        allowed: (n, *cells) bool, where they may go.
        generator: of the moves.

    Returns:
        (n, *cells) bool; none of a slice where fewer cells are allowed than were marked.
    """
    found = torch.zeros_like(marks)
    for n, (pattern, free) in enumerate(zip(marks, allowed, strict=True)):
        own = pattern.nonzero()
        if not len(own):
            continue
        size = torch.tensor(pattern.shape)
        moves = [torch.randint(-side + 1, side, (MOVES,), generator=generator) for side in size]
        at = own + torch.stack(moves, 1)[:, None]  # moves, cells, axes
        inside = ((at >= 0) & (at < size)).all(-1)
        flat = (at.clamp(min=0).minimum(size - 1) * _strides(size)).sum(-1)
        lands = inside & free.flatten()[flat] & torch.stack(moves, 1).any(1)[:, None]
        best = int(lands.sum(1).argmax())
        placed = torch.zeros(free.numel(), dtype=torch.bool)
        placed[flat[best][lands[best]]] = True
        rest = (free.flatten() & ~placed).nonzero()[:, 0]
        drawn = torch.randperm(len(rest), generator=generator)[: len(own) - int(placed.sum())]
        placed[rest[drawn]] = True
        found[n] = placed.view_as(free) & (placed.sum() == len(own))
    return found


def _strides(size: Tensor) -> Tensor:
    """What a step along each axis is in a row of all cells."""
    return torch.cat([size.flip(0).cumprod(0).flip(0)[1:], torch.ones(1, dtype=torch.long)])


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


MOVES = 64
"""Moves of a pattern that are tried."""
WAYS = ("map", "shifted", "random", "image", "norm", "untrained")
"""What says which cells are removed: the map; its own pattern, moved within the body; chance; the
brightest cells of the image and those where the activation is largest, which know nothing of what
is explained; the map of the untrained network, where that is given."""
UNMARKED = (Status.DEAD, Status.DISCONNECTED, Status.ABSENT, Status.NONFINITE)

Step = Callable[[int], None]
"""Told how many slices have gone through the network."""


def usable(flow: Flow, site: Site) -> Tensor:
    """(R, O, N) bool: which maps of a stage can mark cells, by their status (:data:`UNMARKED`)."""
    status = flow.status[flow.stages.index(site.name)].cpu()
    return ~torch.isin(status, torch.tensor(UNMARKED))


def passes(flow: Flow, sites: Sequence[Site], fractions: int, draws: int, untrained: bool) -> int:
    """How many slices go through the network for these sites and one place."""
    patterns = 3 + 2 * draws + untrained
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
        body: (N, *image) bool, where tissue is; controls stay there.
        step: told of progress.
    """

    runs: Sequence[tuple[slice, CachedForward]]
    replacement: Replacement
    judge: Judge
    fractions: tuple[float, ...]
    draws: int
    seed: int
    body: Tensor
    step: Step

    def left(self, flow: Flow, site: Site, place: str, untrained: Flow | None) -> Tensor:
        """(R, O, ways, N) Dice left at one site, mean over fractions and draws; NaN where unmarked.

        Args:
            flow: the maps.
            site: whose cells are removed.
            place: ``anywhere``, or ``outside`` the organ and its rim.
            untrained: the same maps of the untrained network, if known.
        """
        maps, marking = flow.maps[site.name].cpu(), usable(flow, site)
        allowed = self._allowed(place, maps.shape[3:])
        tissue = pooled(self.body.float(), tuple(maps.shape[3:])) >= 0.5
        blind = self._blind(site, tuple(maps.shape[3:]))
        found = torch.full((*maps.shape[:2], len(WAYS), maps.shape[2]), torch.nan).double()
        for r in range(len(maps)):
            for turn in together(marking[r]):
                slices = (turn >= 0).nonzero()[:, 0]
                at = (r, turn[slices], slices)
                told = {name: values[slices] for name, values in blind.items()}
                if untrained is not None:
                    told["untrained"] = untrained.maps[site.name].cpu()[at]
                own = allowed[at[1:]]
                ways = self._ways(site, maps[at], told, own, own & tissue[slices], turn)
                if untrained is not None:
                    ways[-1].masked_fill_(~usable(untrained, site)[at], torch.nan)
                found[r, turn[slices], :, slices] = ways.T
        return found

    def _blind(self, site: Site, grid: tuple[int, ...]) -> dict[str, Tensor]:
        """(N, *cells) what knows the image, and what knows the network but not the organ."""
        norms = []

        def look(activation: Tensor) -> Tensor:
            norms.append(activation.double().norm(dim=1).cpu())
            return activation

        for _, run in self.runs:
            with edit(run.net, {site: look}):
                run.run(site)
        image = torch.cat([run.x[:, 0].float().cpu() for _, run in self.runs])
        return {"image": pooled(image, grid), "norm": pooled(torch.cat(norms).float(), grid)}

    def _allowed(self, place: str, grid: Sequence[int]) -> Tensor:
        """(O, N, h, w) cells that may be removed."""
        masks = self.judge.masks.cpu()
        if place == "anywhere":
            return torch.ones(*masks.shape[:2], *grid, dtype=torch.bool)
        return torch.stack([outside(mask, grid) for mask in masks])

    def _ways(
        self,
        site: Site,
        maps: Tensor,
        told: Mapping[str, Tensor],
        allowed: Tensor,
        tissue: Tensor,
        turn: Tensor,
    ) -> Tensor:
        """(ways, n) Dice left of the slices whose turn it is; controls mark as many cells."""
        generator = torch.Generator().manual_seed(self.seed)
        left: dict[str, list[Tensor]] = {way: [] for way in WAYS}
        for fraction in self.fractions:
            count = counts(maps, fraction, allowed)
            own = marked(maps, count, allowed, generator)
            patterns = [("map", own)]
            for name, values in told.items():
                patterns.append((name, marked(values, count, tissue, generator)))
            for _ in range(self.draws):
                patterns.append(("shifted", shifted(own, tissue, generator)))
                chance = scattered(maps, generator)
                patterns.append(("random", marked(chance, count, tissue, generator)))
            for name, marks in patterns:
                left[name].append(self._dice(site, marks, turn))
        nothing = torch.full((len(maps),), torch.nan).double()
        return torch.stack([torch.stack(found).mean(0) if found else nothing
                            for found in left.values()])  # fmt: skip

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
