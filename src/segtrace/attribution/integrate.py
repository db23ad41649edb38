"""Integrated gradients at stages, and jointly over the edges that enter a decoder stage.

Attribution patching is the same path with one step, at its end, and takes one trace for all sites.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from segtrace.activation import predicted
from segtrace.attribution.flow import Flow, Status, mixes_slices, worst
from segtrace.attribution.forward import SCORES, Output, TargetsLike, agreed, named, weights_of
from segtrace.attribution.passes import one_by_one, together
from segtrace.attribution.patching import patching_rule, standing
from segtrace.attribution.trace import trace
from segtrace.errors import InputError, unknown
from segtrace.network import edges as edges_of
from segtrace.network import guards
from segtrace.network.altering import Alteration, altering
from segtrace.network.edges import EdgesLike
from segtrace.network.graph import (
    DETACHED,
    INFERENCE,
    REENTRANT,
    check,
    check_all,
    gradients_of,
)
from segtrace.network.hooks import observe
from segtrace.network.joints import settled
from segtrace.network.labels import refuse_shares
from segtrace.network.logits import logits_at
from segtrace.network.sites import Site, Sites
from segtrace.network.stages import StagesLike
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped

INTEGRATED = "integrated"
COMPLETE = 0.05
"""A map whose sum misses the change of the score by more than this share is ``incomplete``."""


@guards.held(stages=guards.places_or_sites)
def integrate(
    net: nn.Module,
    stages: StagesLike | Sequence[Site],
    image: Tensor,
    target: TargetsLike,
    baseline: Mapping[str, Tensor],
    steps: int = 16,
    *,
    joint: bool = False,
    edges: EdgesLike = None,
    score: str = "logit",
    output: Output | None = None,
    activation: str | None = None,
) -> Flow:
    """Layer integrated gradients: how the change of the score spreads over a stage.

    With the baseline Ā (a channel's mean over training slices) and the stage's value A, the map is
    Σ_k (A - Ā)_k ⊙ Σ_s w_s ∂S/∂A_k (Ā + u_s² (A - Ā)), u_s = (s - ½)/n and w_s = 2 u_s/n: Eq. 1 of
    Sundararajan et al. 2017 at a hidden layer, by the midpoint rule over u, the root of the way.
    Steps are short near the baseline, where the scores of trained U-Nets bend most: six leave less
    of an error than eight equal ones. Its sum is S(A) - S(Ā) but for the error of the rule, which
    is part of the result. With ``joint``, the path runs over all edges of a decoder stage at once,
    skip and up together: their sums divide S - S(Ā) between the two routes, to 100 % but for the
    error.

    Do use it where one gradient saturates or a number must add up, and to compare routes. Do not
    use it at every epoch: it costs ``steps`` forward and backward passes a stage (50 times a trace,
    say). A share of the score is no share of Dice: cut the edge to see that.

    Args:
        net: as in :func:`segtrace.trace`.
        stages: as there; with ``joint`` the decoder stages whose edges are meant, ``None`` for all.
        image: as there.
        target: as there. The region is that of the undisturbed network along the whole path.
        baseline: stage (with ``joint``: edge) -> (K,) value of each channel. Use a stored mean over
            training slices: a mean over the slices at hand would let a slice's map depend on them.
        steps: n of the midpoint rule.
        joint: integrate over the edges of each decoder stage together.
        edges: as in :func:`segtrace.network.edges.resolve`; read with ``joint``.
        score: as in :func:`segtrace.trace`.
        output: as there.
        activation: as there.

    Returns:
        A flow with the one rule ``integrated``, whose stages are the stages, or with ``joint`` the
        edges; with ``change``, ``completeness_error`` and the status ``incomplete``.

    Raises:
        InputError: see the parameters; a baseline of another network; non-finite logits.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 1))
    >>> everywhere, mean = torch.ones(1, 2, 8, 8), {"enc": torch.zeros(4)}
    >>> flow = integrate(net, {"enc": "0"}, torch.rand(1, 1, 8, 8), everywhere, mean)
    >>> bool(flow.completeness_error < 0.01)
    True
    """
    net, path = unwrapped(net), _points(steps)
    groups = _junctions(net, stages, edges) if joint else [[site] for site in Sites.of(net, stages)]
    return _integrated(net, groups, image, target, baseline, path, score, output, activation)


@guards.held(stages=guards.places_or_sites)
def attribution_patching(
    net: nn.Module,
    stages: StagesLike | Sequence[Site],
    image: Tensor,
    target: TargetsLike,
    baseline: Mapping[str, Tensor],
    *,
    edges: EdgesLike = None,
    score: str = "logit",
    output: Output | None = None,
    activation: str | None = None,
) -> Flow:
    """What cutting each site would cost, read off one gradient: Σ_k G_k ⊙ (A_k - A'_k).

    The map's sum is the first order of S(A) - S(A'), the score lost when A' is put in the site's
    place. Exact where the network behind the site is linear; how far off it is elsewhere, a cut
    says (:func:`segtrace.causal.necessity.necessity`; ``explainer=[attribution_patching]`` holds
    the two against each other). All sites and organs share the passes of one trace.

    Args:
        net: as in :func:`segtrace.trace`.
        stages: as there; ``{}`` where edges alone are meant.
        image: as there.
        target: as there.
        baseline: site -> A': (K,) a value a channel, (K, *cells) a map, or (N, K, *cells).
        edges: as in :func:`segtrace.trace`.
        score: as there.
        output: as there.
        activation: as there.

    Returns:
        A flow with the one rule ``attribution_patching``.

    Raises:
        InputError: see :func:`segtrace.trace`; a baseline that is missing or of another network.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 1, bias=False))
    >>> everywhere, mean = torch.ones(1, 2, 8, 8), {"enc": torch.zeros(4)}
    >>> flow = attribution_patching(net, {"enc": "0"}, torch.rand(1, 1, 8, 8), everywhere, mean)
    >>> torch.allclose(flow.maps["enc"].sum(), flow.scores.sum(), rtol=1e-3)
    True
    """
    rule = patching_rule(standing(baseline))
    return trace(net, stages, image, target, [rule], score,
                 edges=edges, output=output, activation=activation)  # fmt: skip


def _points(steps: int) -> list[tuple[float, float]]:
    """Shares of the way from the baseline to the value, and the weights of their gradients."""
    roots = [(step + 0.5) / steps for step in range(steps)]
    return [(root**2, 2 * root / steps) for root in roots]


def _integrated(
    net: nn.Module,
    groups: list[list[Site]],
    image: Tensor,
    target: TargetsLike,
    baseline: Mapping[str, Tensor],
    points: Sequence[tuple[float, float]],
    score: str,
    output: Output | None,
    activation: str | None,
) -> Flow:
    """The gradients at some points of the way from the baseline, weighed, times the way."""
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    targets = named(target)
    x = as_input(net, image)
    with undisturbed(net, x.device):
        places = settled(net, [place for group in groups for place in group], x)
        standing = iter(places)
        groups = [[next(standing) for _ in group] for group in groups]
        seen = observe(net, places, x, output, own_layout=True)
        values, logits = {place: seen.activations[place.name] for place in places}, seen.logits
        if not logits.isfinite().all():
            raise InputError("the logits are not finite: there is no score to divide")
        known = agreed(activation, targets, logits)
        weights = torch.stack(
            [weights_of(name, t, logits, known).dense(logits) for name, t in targets.items()]
        )
        refuse_shares(score, logits, known)
        path = _Path(lambda: SCORES[score](logits_at(net, x, output), known), net, weights, points)
        start = {place: _start(place, values[place], baseline) for place in places}
        scores = path.scored(SCORES[score](logits, known))
        found = [path.along(group, values, start, scores) for group in groups]
    return _flow(found, values, weights, logits, scores, tuple(targets), score, known)


def _junctions(
    net: nn.Module, stages: StagesLike | Sequence[Site], edges: EdgesLike
) -> list[list[Site]]:
    """The edges of each decoder stage asked for, in one group each."""
    groups: dict[str, list[Site]] = {}
    for edge in edges_of.resolve(net, edges):
        groups.setdefault(edge.stage, []).append(edge)
    if not groups:
        raise InputError("no edge is named; give at least one")
    asked = groups if stages is None else stages
    names = [one if isinstance(one, str) else one.name for one in asked]
    for name in names:
        if name not in groups:
            raise unknown("decoder stage with edges", name, groups, "this network")
    return [groups[name] for name in names]


def _start(place: Site, value: Tensor, baseline: Mapping[str, Tensor]) -> Tensor:
    """The baseline in the place's own layout; what is no cell (a class token) stays as it is."""
    if place.name not in baseline:
        raise unknown("baseline of", place.name, baseline, "the baseline")
    mean = baseline[place.name]
    start = value.clone()
    inside = place.channels_first(start)  # a view
    if mean.shape != inside.shape[1:2]:
        raise InputError(
            f"the baseline of {place.name!r} has shape {tuple(mean.shape)}; this network has "
            f"({inside.shape[1]},) channels there: it belongs to another network"
        )
    inside.copy_(mean.to(start).reshape(-1, *[1] * (inside.ndim - 2)).expand_as(inside))
    return start


class _MixedError(Exception):
    """A slice that was not explained got a gradient: slices influence each other."""


class _Path:
    """The straight path from the baseline to the value at some places, all others undisturbed."""

    def __init__(
        self,
        score: Callable[[], Tensor],
        net: nn.Module,
        weights: Tensor,
        points: Sequence[tuple[float, float]],
    ) -> None:
        self.score = score
        self.net = net
        self.weights = weights  # (O, N, C, *image)
        self.present = (weights != 0).flatten(2).any(2).cpu()  # (O, N)
        self.points = points  # shares of the way, and their weights
        self.apart = False  # one organ a pass, since slices influence each other
        self.graded = False  # the score depends on the network

    def scored(self, scores: Tensor) -> Tensor:
        """(O, N) the score of every organ, from φ(logits)."""
        return (self.weights * scores).flatten(2).sum(2)

    def along(
        self,
        places: Sequence[Site],
        values: Mapping[Site, Tensor],
        start: Mapping[Site, Tensor],
        scores: Tensor,
    ) -> tuple[dict[Site, Tensor], Tensor]:
        """Mean gradient (O, N, …) at each place along the path, and the score's change (O, N)."""
        try:
            total = self._total(places, values, start)
        except _MixedError:
            self.apart = True
            total = self._total(places, values, start)
        with torch.no_grad(), self._standing({p: start[p] for p in places}):
            change = scores - self.scored(self.score())
        if not self.graded and change.any():
            raise InputError(DETACHED)
        maps = {p: total[p] * (values[p] - start[p]) for p in places}
        return maps, change

    def _total(
        self, places: Sequence[Site], values: Mapping[Site, Tensor], start: Mapping[Site, Tensor]
    ) -> dict[Site, Tensor]:
        """Mean gradient (O, N, …) at each place along the path."""
        total = {p: values[p].new_zeros(len(self.weights), *values[p].shape) for p in places}
        for share, weight in self.points:
            here = {p: torch.lerp(start[p], values[p], share).requires_grad_() for p in places}
            # Checkpointed parts run again in the backward pass: the tensors must still stand there.
            with self._standing(here, graded=True):
                scored = self.score()
                self.graded = scored.requires_grad
                for turn, gradients in self._gradients(scored, here):
                    slices = (turn >= 0).nonzero()[:, 0]
                    for place, gradient in gradients.items():
                        total[place][turn[slices], slices] += weight * gradient[slices]
        return total

    def _gradients(
        self, scored: Tensor, here: Mapping[Site, Tensor]
    ) -> Iterator[tuple[Tensor, dict[Site, Tensor]]]:
        """Each slice's organ (N,), -1 for none, and gradients where its score depends on them."""
        if not scored.requires_grad:
            return
        check(scored, {place.name: tensor for place, tensor in here.items()})
        apart = self.apart or mixes_slices(scored)
        for turn in (one_by_one if apart else together)(self.present):
            seed = torch.zeros_like(scored)
            slices = (turn >= 0).nonzero()[:, 0]
            seed[slices] = self.weights[turn[slices], slices]
            gradients = gradients_of(scored, list(here.values()), seed)
            pairs = zip(here, gradients, strict=True)
            found = {place: gradient for place, gradient in pairs if gradient is not None}
            check_all(scored, {place.name for place in here} - {place.name for place in found})
            if not apart and any(g[turn < 0].any() for g in found.values()):
                raise _MixedError
            yield turn, found

    @contextmanager
    def _standing(self, tensors: Mapping[Site, Tensor], graded: bool = False) -> Iterator[None]:
        """Let tensors stand in the places during the block, whose passes need gradients or not."""

        def stand(place: Site) -> Alteration:
            def put(_: Tensor) -> Tensor:
                if graded and torch.is_inference_mode_enabled():
                    raise InputError(INFERENCE)
                if graded and not torch.is_grad_enabled():
                    raise InputError(f"{place.name!r} {REENTRANT}")
                return tensors[place].clone()  # which the network may write into

            return put

        with altering(self.net, {place: stand(place) for place in tensors}):
            yield


def _flow(
    found: Sequence[tuple[dict[Site, Tensor], Tensor]],
    values: Mapping[Site, Tensor],
    weights: Tensor,
    logits: Tensor,
    scores: Tensor,
    organs: tuple[str, ...],
    score: str,
    activation: str,
) -> Flow:
    maps, gradient_l1, changes, sums = {}, [], [], []
    for group, change in found:
        total = torch.stack([product.flatten(2).sum(2) for product in group.values()]).sum(0)
        for place, product in group.items():
            first = place.channels_first(product.flatten(0, 1)).sum(1)  # (O · N, *cells)
            maps[place.name] = first.unflatten(0, scores.shape)[None]
            gradient_l1.append(product.flatten(2).abs().sum(2))
            changes.append(change)
            sums.append(total)
    change, total = torch.stack(changes), torch.stack(sums)
    error = (total - change).abs() / change.abs()
    flat = torch.stack([m.flatten(3).amax(3) for m in maps.values()])  # (S, 1, O, N)
    region_px = (weights != 0).any(2).flatten(2).sum(2)
    reached = torch.stack(gradient_l1)
    holds = {
        Status.DEAD: flat <= 0,
        Status.INCOMPLETE: ~(error <= COMPLETE)[:, None],
        Status.DISCONNECTED: (reached == 0)[:, None] & (change == 0)[:, None],
        Status.ABSENT: region_px == 0,
        Status.NONFINITE: ~flat.isfinite(),
    }
    return Flow(
        maps=maps,
        kappa=torch.full_like(change, torch.nan),
        gradient_l1=reached,
        status=worst(holds, flat.shape, flat.device),
        scores=scores,
        region_px=region_px,
        prediction=predicted(logits, activation),
        rules=(INTEGRATED,),
        organs=organs,
        score=score,
        change=change,
        completeness_error=error,
        activation=activation,
    )
