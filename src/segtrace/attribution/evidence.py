"""The evidence of some slices: every site's gradient becomes maps as soon as it is there."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segtrace.attribution.flow import KAPPA_DEGENERATE, Status, mixes_slices, unnormalised, worst
from segtrace.attribution.forward import SCORES, agreed
from segtrace.attribution.passes import one_by_one, together
from segtrace.attribution.patching import Estimates, inner
from segtrace.attribution.rules import Rule, element_wise, global_average, pieces, weighted_sum
from segtrace.attribution.targets import Target
from segtrace.attribution.weights import Weights
from segtrace.errors import InputError
from segtrace.network.graph import hear_gradients
from segtrace.network.labels import refuse_shares
from segtrace.network.sites import Site


@dataclass(frozen=True)
class Run:
    """One forward pass of n slices."""

    acts: Mapping[str, Tensor]  # site -> as the network made it
    scored: Tensor  # (n, C, *image) φ(logits), with its graph
    logits: Tensor  # (n, C, *image), without
    activation: str

    @classmethod
    def of(
        cls,
        acts: Mapping[str, Tensor],
        logits: Tensor,
        score: str,
        targets: Mapping[str, Target | Tensor],
        asked: str | None,
    ) -> "Run":
        """The pass that :func:`~segtrace.attribution.forward.forward` returned, scored.

        Args:
            acts: site -> activation.
            logits: (n, C, *image), in one graph with them.
            score: a key of :data:`~segtrace.attribution.forward.SCORES`.
            targets: organ -> target, which may know how logits become a prediction.
            asked: ``softmax`` or ``sigmoid``, where the user says so.
        """
        activation = agreed(asked, targets, logits)
        refuse_shares(score, logits, activation)
        return cls(acts, SCORES[score](logits, activation), logits.detach(), activation)

    def backward(self, weights: Tensor, turn: "_Turn") -> None:
        """Tell a turn ∂(Σ weights · φ)/∂A of every site on which the score depends.

        One after the other, from the score on: no two need be in memory at once.
        """
        hear_gradients(self.scored, self.acts, weights, turn.hear)
        if not turn.heard:
            raise InputError(f"the score depends on none of the sites {', '.join(self.acts)}")


@dataclass(frozen=True)
class Wanted:
    """What is asked of a run."""

    sites: Sequence[Site]
    rules: Sequence[Rule]
    image: Sequence[int]
    which: slice  # of all slices
    heard: Sequence[Site]  # the sites, and those of which there is but an estimate
    estimates: Estimates | None

    @property
    def element_wise(self) -> int | None:
        """The rule whose map sums to Σ G ⊙ A, if there is one."""
        found = (r for r, one in enumerate(self.rules)
                 if one.weigh is element_wise and one.reference is None)  # fmt: skip
        return next(found, None)

    def moved(self, run: Run) -> dict[str, Tensor]:
        """Site -> A - Ā, where its product with the gradient is wanted and no map sums to it."""
        if self.estimates is None:
            return {}
        known = 0 if self.element_wise is None else len(self.sites)
        return {
            site.name: self.estimates.moved(
                site.name, site.channels_first(run.acts[site.name].detach())
            )
            for site in self.heard[known:]
        }


@dataclass(frozen=True)
class Evidence:
    """What a flow holds, of some slices. S sites, R rules, O organs, N slices."""

    maps: dict[str, Tensor]  # site -> (R, O, N, *cells)
    kappa: Tensor  # (S, O, N)
    gradient_l1: Tensor  # (S, O, N)
    disconnected: Tensor  # (S, O, N)
    normalised: Tensor  # (S, O, N)
    scores: Tensor  # (O, N)
    region_px: Tensor  # (O, N)
    finite: Tensor  # (1, N) all logits of the slice are
    lost: Tensor  # (E, O, N) estimates

    @classmethod
    def of(
        cls,
        run: Run,
        weights: Sequence[Weights],
        wanted: Wanted,
    ) -> "Evidence":
        """What a run shows of every organ that is present; ``weights``: organ by organ.

        Several organs share a backward pass, unless one slice's gradient turns up in another.
        """
        evidence = cls.blank(run, weights, wanted)
        present = (evidence.region_px > 0).cpu()
        if mixes_slices(run.scored) or evidence._fill(run, weights, wanted, together(present)):
            evidence = cls.blank(run, weights, wanted)
            evidence._fill(run, weights, wanted, one_by_one(present))
        return evidence

    def _fill(
        self,
        run: Run,
        weights: Sequence[Weights],
        wanted: Wanted,
        turns: Iterable[Tensor],
    ) -> bool:
        """Explain the organs of each turn; whether a slice without one got a gradient."""
        mixed, moved = False, wanted.moved(run)
        for organs in turns:
            turn = _Turn(self, run, wanted, organs, moved)
            run.backward(_seed(run.scored, weights, organs), turn)
            for s, site in enumerate(wanted.sites):
                if site.name not in turn.heard:
                    self.disconnected[s, turn.organs, turn.slices] = True
            mixed |= turn.mixed
        return mixed

    @classmethod
    def blank(cls, run: Run, weights: Sequence[Weights], wanted: Wanted) -> "Evidence":
        """What holds of empty regions."""
        sites, rules = wanted.sites, len(wanted.rules)
        bare = unnormalised(run.acts, run.scored)
        scored = run.scored.detach()
        region_px = torch.stack([w.pixels(scored) for w in weights])
        shape = (len(sites), *region_px.shape)
        maps = {}
        for site in sites:
            activation = site.channels_first(run.acts[site.name].detach())
            cells = activation.shape[2:]
            maps[site.name] = activation.new_zeros(rules, *region_px.shape, *cells)
        normalised = torch.tensor([site.name not in bare for site in sites])
        return cls(
            maps=maps,
            kappa=scored.new_full(shape, torch.nan),
            gradient_l1=scored.new_zeros(shape),
            disconnected=torch.zeros(shape, dtype=torch.bool, device=scored.device),
            normalised=normalised[:, None, None].expand(shape).to(scored.device),
            scores=torch.stack([w.score(scored) for w in weights]),
            region_px=region_px,
            finite=_finite(scored, tuple(range(1, scored.ndim)))[None],
            lost=scored.new_zeros(len(wanted.heard), *region_px.shape),
        )

    @classmethod
    def joined(cls, parts: Sequence["Evidence"]) -> "Evidence":
        """Several slices' evidence as one's; slices are the third axis of maps, the last else."""
        if len(parts) == 1:  # of a volume, whose maps are large
            return parts[0]
        maps = {name: torch.cat([p.maps[name] for p in parts], 2) for name in parts[0].maps}
        names = [name for name in cls.__dataclass_fields__ if name != "maps"]
        rest = {name: torch.cat([getattr(p, name) for p in parts], -1) for name in names}
        return cls(maps=maps, **rest)

    def status(
        self, sites: Sequence[Site], rules: Sequence[Rule], gradient_cut: Collection[str]
    ) -> Tensor:
        """(S, R, O, N) the worst status that applies to each map."""
        averages = torch.tensor([rule.averages for rule in rules], device=self.kappa.device)
        degenerate = (self.kappa < KAPPA_DEGENERATE) | self.normalised  # (S, O, N)
        degenerate = degenerate[:, None] & averages[:, None, None]  # (S, R, O, N)
        maps = [self.maps[site.name].flatten(3) for site in sites]
        numbers = (self.finite & (self.scores + self.gradient_l1).isfinite())[:, None]
        finite = torch.stack([_finite(m, (3,)) for m in maps]) & numbers
        cut = torch.tensor([site.name in gradient_cut for site in sites])
        holds = {
            Status.DEAD: torch.stack([m.amax(3) <= 0 for m in maps]),
            Status.GAP_DEGENERATE: degenerate,
            Status.GRADIENT_CUT: cut[:, None, None, None],
            Status.DISCONNECTED: self.disconnected[:, None],
            Status.ABSENT: self.region_px == 0,
            Status.NONFINITE: ~finite,
        }
        return worst(holds, degenerate.shape, degenerate.device)


@dataclass
class _Turn:
    """A backward pass that reduces every site's gradient to maps as soon as it is there.

    Attributes:
        into: where the maps go.
        run: the forward pass.
        wanted: what is asked of it.
        turn: (n,) the organ of each slice; -1 for none.
        moved: see :meth:`Wanted.moved`.
        heard: the sites so far.
        mixed: whether a slice without an organ got a gradient.
    """

    into: Evidence
    run: Run
    wanted: Wanted
    turn: Tensor
    moved: Mapping[str, Tensor]
    heard: set[str] = field(default_factory=set)
    mixed: bool = False

    @property
    def slices(self) -> Tensor:
        """Those that have an organ."""
        return (self.turn >= 0).nonzero()[:, 0]

    @property
    def organs(self) -> Tensor:
        """Theirs."""
        return self.turn[self.slices]

    def hear(self, name: str, gradient: Tensor) -> None:
        """Take the gradient of a site."""
        self.heard.add(name)
        s = [site.name for site in self.wanted.heard].index(name)
        site, at = self.wanted.heard[s], (s, self.organs, self.slices)
        gradient = site.channels_first(gradient)
        if name in self.moved:
            self.into.lost[at] = inner(gradient, self.moved[name])[self.slices]
        if s < len(self.wanted.sites):
            self._reduce(site, at, gradient)

    def _reduce(self, site: Site, at: tuple[int, Tensor, Tensor], gradient: Tensor) -> None:
        into, wanted, (_, organs, slices) = self.into, self.wanted, at
        activation = site.channels_first(self.run.acts[site.name].detach())
        cells = activation.shape[2:]
        stride = tuple(i / c for i, c in zip(wanted.image, cells, strict=True))
        alpha = global_average(gradient)  # Eq. 3: once, for Seg-Grad-CAM and for kappa
        for r, rule in enumerate(wanted.rules):
            moved = activation
            if rule.reference is not None:
                moved = activation - rule.reference(site.name, activation, wanted.which)
            if rule.weigh is global_average:
                found = weighted_sum(alpha, moved)
            else:
                found = _untouched(rule, moved, gradient, stride)
            into.maps[site.name][r, organs, slices] = found[slices]
            if wanted.estimates is not None and r == wanted.element_wise:
                lost = wanted.estimates.lost(site.name, found, activation, alpha)
                into.lost[at] = lost[slices]
        l1 = _l1(gradient)
        signed = alpha.flatten(1).abs().sum(1) * activation[0, 0].numel()
        into.gradient_l1[at] = l1[slices]
        into.kappa[at] = (signed / l1).clamp(max=1)[slices]
        self.mixed |= bool((l1[self.turn < 0] > 0).any())


def _seed(scored: Tensor, weights: Sequence[Weights], turn: Tensor) -> Tensor:
    """∂S/∂φ: each slice's weights of the organ whose turn it is, none for -1."""
    seed = torch.zeros_like(scored)
    for n, organ in enumerate(turn.tolist()):
        if organ >= 0:
            for channel, plane in weights[organ].planes.items():
                seed[n, channel] = plane[n]
    return seed


def _l1(gradient: Tensor) -> Tensor:
    """(n,) Σ|G| of (n, K, *cells); five times as fast as vector_norm."""
    axes = tuple(range(1, gradient.ndim))
    sums = [piece.abs().sum(axes) for (piece,) in pieces(gradient.ndim - 2, gradient)]
    return torch.stack(sums).sum(0)


def _finite(numbers: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Whether all are, along some axes; a NaN is both the least and the largest."""
    return numbers.amin(axes).isfinite() & numbers.amax(axes).isfinite()


def _untouched(rule: Rule, activation: Tensor, gradient: Tensor, stride: Sequence[float]) -> Tensor:
    """The map of a rule, which must leave the gradient as it is: it goes on to deeper sites."""
    written = gradient._version
    found = rule(activation, gradient, tuple(stride))
    if gradient._version != written:
        raise InputError(
            f"rule {rule.name!r} writes into the gradient; let it make a tensor of its own, "
            "gradient.relu() for gradient.relu_()"
        )
    return found
