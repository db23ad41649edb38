"""One forward pass, one backward pass an organ, every site and rule: a :class:`Flow`."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from segtrace.activation import predicted
from segtrace.attribution.flow import (
    KAPPA_DEGENERATE,
    Flow,
    Status,
    mixes_slices,
    unnormalised,
    worst,
)
from segtrace.attribution.forward import (
    SCORES,
    Output,
    TargetsLike,
    agreed,
    forward,
    named,
    weights_of,
)
from segtrace.attribution.patching import Estimates, inner
from segtrace.attribution.rules import (
    MapOf,
    Rule,
    element_wise,
    global_average,
    pieces,
    weighted_sum,
)
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.attribution.targets import Target
from segtrace.attribution.weights import Weights
from segtrace.errors import InputError, unknown
from segtrace.network import guards
from segtrace.network.edges import EdgesLike
from segtrace.network.graph import hear_gradients
from segtrace.network.labels import refuse_shares
from segtrace.network.proposal.proposal import proposed
from segtrace.network.sites import Site, Sites
from segtrace.network.stages import StagesLike, known
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped

VOLUMES = 5
"""Axes of a batch of volumes."""
SLICES_ON_CPU = 4
"""Slices per forward pass on a CPU, whose caches larger batches outgrow (see ``make bench``)."""


@guards.held(
    batch=guards.optional(guards.a_count),
    stages=guards.places_or_sites,
    edges=guards.places_or_proposed,
    estimates=guards.optional(guards.instance(Estimates, "segtrace.attribution.Estimates(means)")),
)
def trace(
    net: nn.Module,
    stages: StagesLike | Sequence[Site] | Literal["proposed"],
    image: Tensor,
    target: TargetsLike,
    rules: Iterable[str | Rule | MapOf] = ("seg_grad_cam",),
    score: str = "logit",
    *,
    edges: EdgesLike | Literal["proposed"] = None,
    output: Output | None = None,
    gradient_cut: Collection[str] = (),
    batch: int | None = None,
    activation: str | None = None,
    estimates: Estimates | None = None,
) -> Flow:
    """Evidence maps of every site for every organ: Eq. 1-3 of Hasany et al. 2023 and relatives.

    Every slice goes forward once and backward once an organ that is present in it, shared by all
    sites and rules, no deeper than the shallowest site. The network is left as it was: weights,
    ``.grad``, buffers, train/eval flags, hooks, random state, autocast and grad mode.

    Args:
        net: the network; wrappers of ``torch.compile`` and DDP are looked through. Of a classifier
            the logits (N, classes) are those of one pixel: ``targets.organ(c, "all")`` is its
            class c, for which ``seg_grad_cam`` is Grad-CAM (Selvaraju et al. 2017).
        stages: name -> module path (or ``{"module": …, "layout": …}``), a list of names of a
            known network, or ``None`` for all of its stages; or sites that are resolved, see
            :class:`~segtrace.network.sites.Sites`. ``{}`` where edges alone are meant.
            ``"proposed"`` takes what :func:`segtrace.describe` proposes, and says it.
        image: (N, C, *image) preprocessed slices, or volumes. Half precision is raised to float32.
        target: organ -> target; or one target, which is then called ``target``. See
            :mod:`segtrace.attribution.targets`; a tensor is a target too.
        rules: names, :class:`~segtrace.attribution.rules.Rule` objects, or functions
            (activation, gradient) -> map.
        score: φ, a key of :data:`~segtrace.attribution.forward.SCORES`.
        edges: name -> :class:`~segtrace.network.edges.Edge` or its plain values, or a list of
            names of a known network: maps of these too, behind the stages. ``None`` for none;
            ``"proposed"`` beside proposed stages.
        output: picks the logits (N, channels, *image) from what the network returns: an index, a
            key, a field or a function. Of several outputs one of the image's size needs none. It
            may enlarge them, as SegNBDT's program does with coarser ones before it asks for a
            pixel: ``lambda out: torch.nn.functional.interpolate(out, size=(224, 224))``.
        gradient_cut: stages known to have a wrong gradient (from ``describe``); of the network,
            in the table of known ones also those that are not traced.
        batch: slices per pass; by default 4 on a CPU and all at once elsewhere, and volumes one by
            one. Slices do not influence each other in evaluation mode, so this decides speed and
            memory, and results up to rounding. For a network in which they do (attention over the
            slices of a batch), give N.
        activation: ``softmax`` or ``sigmoid``, how logits become a prediction, see
            :mod:`segtrace.activation`; ``None`` for what the target says, or else of one channel a
            sigmoid, of several a softmax.
        estimates: also what cutting every site would cost, to first order; of these means.

    Raises:
        InputError: see the parameters; the message names the value and what was allowed.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> everywhere = torch.ones(1, 2, 8, 8)
    >>> flow = trace(net, {"enc": "1", "head": "2"}, torch.rand(1, 1, 8, 8), everywhere)
    >>> flow.maps["enc"].shape  # (rule, organ, slice, h, w)
    torch.Size([1, 1, 1, 8, 8])
    """
    net = unwrapped(net)
    x = as_input(net, image)
    stages, edges, guess = proposed(net, x, stages, edges, output)
    if guess is not None:
        warnings.warn(guess.line, stacklevel=3)
    places = Sites.of(net, stages, edges)
    _check_cut(net, places, gradient_cut)
    chosen = resolve_rules(rules)
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    targets = named(target)
    with undisturbed(net, x.device):
        beside = [] if estimates is None else estimates.beside
        heard = Sites((*places, *(s for s in beside if s.name not in places.names)))
        heard = heard.settled(net, x)
        places = Sites(heard[: len(places)])
        runs = [
            _Run.of(*forward(net, heard, part.requires_grad_(), output), score, targets, activation)
            for part in x.split(_batch(x, batch))
        ]
        logits, activation = torch.cat([run.logits for run in runs]), runs[0].activation
        weights = [weights_of(name, t, logits, activation) for name, t in targets.items()]
        parts, first = [], 0
        while runs:  # a run's graph is freed once it is explained
            run = runs.pop(0)
            mine = slice(first, first := first + len(run.logits))
            own = [w[mine] for w in weights]
            wanted = _Wanted(places, chosen, x.shape[2:], mine, heard, estimates)
            parts.append(_Evidence.of(run, own, wanted))
    evidence = _Evidence.joined(parts)
    return Flow(
        maps=evidence.maps,
        kappa=evidence.kappa,
        gradient_l1=evidence.gradient_l1,
        status=evidence.status(places, chosen, gradient_cut),
        scores=evidence.scores,
        region_px=evidence.region_px,
        prediction=predicted(logits, activation),
        rules=tuple(rule.name for rule in chosen),
        methods={rule.name: rule for rule in chosen},
        organs=tuple(targets),
        score=score,
        activation=activation,
        estimates=None if estimates is None else evidence.lost,
        estimated=() if estimates is None else heard.names,
    )


def _check_cut(net: nn.Module, places: Sequence[Site], cut: Iterable[str]) -> None:
    """Refuse a name that is no site, which would mark nothing as wrong."""
    names = dict.fromkeys(stage.name for stage in (*places, *known(net)))
    for name in cut:
        if name not in names:
            raise unknown("stage", name, names, "gradient_cut: this network")


def per_pass(x: Tensor, slices: int, batch: int | None = None) -> int:
    """What goes through a network at once: what was asked for, or so many slices, or one volume."""
    return int(batch) if batch is not None else slices if x.ndim < VOLUMES else 1


def _batch(x: Tensor, batch: int | None) -> int:
    return per_pass(x, min(len(x), SLICES_ON_CPU) if x.device.type == "cpu" else len(x), batch)


@dataclass(frozen=True)
class _Run:
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
    ) -> "_Run":
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


def together(present: Tensor) -> Iterator[Tensor]:
    """Which organ each slice is explained for in each backward pass.

    Slices do not influence each other, so one pass may serve another organ in every slice: as
    many passes are needed as the fullest slice has organs.

    Args:
        present: (O, N) bool.

    Yields:
        (N,) number of the organ, -1 for a slice that has had all of its organs.

    >>> [organ.tolist() for organ in together(torch.tensor([[True, False], [True, True]]))]
    [[0, 1], [1, -1]]
    """
    organs = [column.nonzero()[:, 0].tolist() for column in present.T]
    for turn in range(max(map(len, organs))):
        yield torch.tensor([own[turn] if turn < len(own) else -1 for own in organs])


def one_by_one(present: Tensor) -> Iterator[Tensor]:
    """The same with one organ a pass, for networks in which slices influence each other."""
    for organ, slices in enumerate(present):
        if slices.any():
            yield torch.where(slices, organ, -1)


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


@dataclass(frozen=True)
class _Wanted:
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

    def moved(self, run: _Run) -> dict[str, Tensor]:
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
class _Evidence:
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
        run: _Run,
        weights: Sequence[Weights],
        wanted: _Wanted,
    ) -> "_Evidence":
        evidence = cls.blank(run, weights, wanted)
        present = (evidence.region_px > 0).cpu()
        if mixes_slices(run.scored) or evidence._fill(run, weights, wanted, together(present)):
            evidence = cls.blank(run, weights, wanted)
            evidence._fill(run, weights, wanted, one_by_one(present))
        return evidence

    def _fill(
        self,
        run: _Run,
        weights: Sequence[Weights],
        wanted: _Wanted,
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
    def blank(cls, run: _Run, weights: Sequence[Weights], wanted: _Wanted) -> "_Evidence":
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
    def joined(cls, parts: Sequence["_Evidence"]) -> "_Evidence":
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


@dataclass
class _Turn:
    """A backward pass that reduces every site's gradient to maps as soon as it is there.

    Attributes:
        into: where the maps go.
        run: the forward pass.
        wanted: what is asked of it.
        turn: (n,) the organ of each slice; -1 for none.
        moved: see :meth:`_Wanted.moved`.
        heard: the sites so far.
        mixed: whether a slice without an organ got a gradient.
    """

    into: _Evidence
    run: _Run
    wanted: _Wanted
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
