"""Routes: how the score divides between what came over the skip and what came from below."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution import targets
from segtrace.attribution.flow import Flow
from segtrace.attribution.forward import Output
from segtrace.attribution.integrate import integrate
from segtrace.attribution.passes import SLICES_ON_CPU, per_pass
from segtrace.causal import guards
from segtrace.causal.baselines import Baselines
from segtrace.causal.batches import Clock
from segtrace.causal.outcome import Judge
from segtrace.errors import InputError
from segtrace.labelled import DataArray, Dataset, Form, Result, names_along, tensor
from segtrace.measures.energy import nan_where, ratio
from segtrace.network.cached_forward import CachedForward, Timetable
from segtrace.network.edges import Edge, EdgesLike, resolve
from segtrace.network.joints import settled
from segtrace.network.logits import logits_at
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import OnProgress

LEAST_CHANGE = 0.01
"""Of the summed score. Of a smaller change there are no shares."""
STEPS = 6
"""Steps of the joint integration; the error they leave is part of the result."""


@dataclass(frozen=True, eq=False)
class Route(Result):
    """What came over each edge of a decoder stage.

    Attributes:
        data: axes ``edge``, ``organ`` and ``slice``. ``part``: of the score's change, what came
            over the edge; NaN where the organ is absent. ``change``: score minus score with all
            edges of that stage at their means. ``stage``: the decoder stage that the edge enters.
            ``source``: the stage that it comes from; empty where it is not known.
    """

    form = Form(
        {"part": "edge organ slice", "change": "edge organ slice"},
        {"edges": "edge", "stages": "stage edge", "sources": "source edge", "organs": "organ"},
    )

    @cached_property
    def summary(self) -> Dataset:
        """Over the slices; axes edge and organ.

        ``share``: Σ part / Σ change, adds to 1 over the edges of a stage but for ``sum_error``, by
        which they miss it. Beyond [0, 1] where the edges work against each other; NaN where the
        stage changes next to nothing. A share of the score is no share of Dice: see ``necessity``.
        ``change``: Σ change.
        """
        part, change = (tensor(self.data[name]).nansum(2) for name in ("part", "change"))
        share = nan_where(change.abs() < LEAST_CHANGE, ratio(part, change))
        stages = names_along(self.data, "stage")
        together = [torch.tensor([other == stage for other in stages]) for stage in stages]
        error = torch.stack([(share[mine].sum(0) - 1).abs() for mine in together])
        numbers = {"share": share, "sum_error": error, "change": change}
        axes = ("edge", "organ")
        return self.data.drop_dims("slice").assign({n: (axes, v) for n, v in numbers.items()})

    @property
    def shares(self) -> DataArray:
        """The share of every slice; edge, organ, slice."""
        part, change = (tensor(self.data[name]) for name in ("part", "change"))
        return self.data["part"].copy(data=ratio(part, change))


@guards.held(
    guards.aligned,
    baselines=guards.BASELINES,
    edges=guards.some_or_none,
    batch=guards.optional(guards.a_count),
)
def route(
    net: nn.Module,
    images: Tensor,
    truth: Tensor,
    channels: Mapping[str, OrganLike],
    baselines: Baselines,
    *,
    edges: EdgesLike = None,
    region: str = "gt",
    score: str = "logit",
    steps: int = STEPS,
    batch: int | None = None,
    output: Output | None = None,
    activation: str | None = None,
    progress: OnProgress | None = None,
) -> Route:
    """Integrate over all edges of each decoder stage at once, from their stored means.

    Costs ``steps`` forward and, for each organ, backward passes a decoder stage and slice, of what
    lies behind the stage's edges. What comes over the only edge of a stage is all of the change.

    Args:
        net: the network.
        images: (N, C, *image) preprocessed slices.
        truth: (N, *image) label map, or masks (N, C, *image).
        channels: organ -> channel, see :func:`segtrace.attribution.targets.organs`.
        baselines: stored means over training slices, of the edges.
        edges: see :func:`segtrace.network.edges.resolve`.
        region: of the explained score, see :func:`segtrace.attribution.targets.organ`.
        score: φ, a key of :data:`segtrace.attribution.forward.SCORES`.
        steps: of the rule, see :func:`segtrace.attribution.integrate.integrate`.
        batch: slices per pass, by default 4, or one volume; decides memory alone.
        output: picks the logits from what the network returns.
        activation: of the logits; ``None`` where the number of channels says it.
        progress: called with an estimate once the first batch of a stage is through, and after
            that one and every other.

    Raises:
        InputError: edges that cannot be found, baselines that are missing or of another network,
            an organ that is in none of the slices.
    """
    net, batch = unwrapped(net), per_pass(images, SLICES_ON_CPU, batch)
    x = as_input(net, images)
    with undisturbed(net, x.device):
        judge = Judge.at(net, x, channels, truth, score, activation, output).checked()
    by_stage: dict[str, list[Edge]] = {}
    for edge in _settled(net, resolve(net, edges), images):
        by_stage.setdefault(edge.stage, []).append(edge)
    if not by_stage:
        raise InputError("no edge is named; give at least one")
    known = {edge.name: edge for own in by_stage.values() for edge in own}
    flows: dict[str, list[Flow]] = {stage: [] for stage in by_stage}
    clock: Clock | None = None
    costs = [1.0]  # of the stages, beside each other
    # One stage and a few slices at a time: a map of every edge, organ and slice is much to hold.
    for part in (slice(first, first + batch) for first in range(0, len(images), batch)):
        target = targets.organs(judge.organs, region, judge.truth[part], judge.activation)
        cached = _recorded(net, images[part], list(by_stage.values()), output)
        if clock is None and progress is not None:
            costs = _costs(cached, list(by_stage.values()), steps)
        for stage, own in by_stage.items():
            began = time.perf_counter()
            with cached.standing(*own):
                found = integrate(
                    net,
                    [stage],
                    images[part],
                    target,
                    baselines.channels,
                    _steps(own, steps),
                    joint=True,
                    edges=known,
                    score=score,
                    output=output,
                )
            flows[stage].append(found.cpu())
            if clock is None:  # a forward pass says too little of what gradients of organs take
                first = (time.perf_counter() - began) / len(images[part])
                usual = first * sum(costs) / costs[0] / len(costs)
                clock = Clock(len(images) * len(by_stage), usual, progress, began)
            clock.step(len(images[part]))
    entering = [edge for own in by_stage.values() for edge in own]
    return Route.of(
        edges=[edge.name for edge in entering],
        stages=[edge.stage for edge in entering],
        sources=[edge.source for edge in entering],
        organs=channels,
        part=torch.cat([torch.cat([_parts(f) for f in flows[s]], 2) for s in by_stage]),
        change=torch.cat([torch.cat([_changes(f) for f in flows[s]], 2) for s in by_stage]),
    )


def _settled(net: nn.Module, edges: Sequence[Edge], images: Tensor) -> tuple[Edge, ...]:
    x = as_input(net, images[:1])
    with undisturbed(net, x.device):
        return settled(net, edges, x)


def _recorded(
    net: nn.Module, images: Tensor, joints: Sequence[Sequence[Edge]], output: Output | None
) -> CachedForward:
    """What lies before the edges of any decoder stage, run once: three forward passes."""
    x = as_input(net, images)
    with undisturbed(net, x.device):
        return CachedForward.of(net, x, Timetable.of(net, x), joints, output)


def _steps(edges: Sequence[Edge], steps: int) -> int:
    """What comes over the only edge of a stage is all of the change: one step tells it."""
    return steps if len(edges) > 1 else 1


def _costs(cached: CachedForward, joints: Sequence[Sequence[Edge]], steps: int) -> list[float]:
    """Seconds of the forward passes of every stage: the deeper, the more lies behind its edges."""
    found = []
    with undisturbed(cached.net, cached.x.device), torch.no_grad():
        for own in joints:
            with cached.standing(*own):
                began = time.perf_counter()
                logits_at(cached.net, cached.x, cached.output)
                found.append((time.perf_counter() - began) * _steps(own, steps))
    return found


def _parts(flow: Flow) -> Tensor:
    """(E, O, n) sum of each edge's map; all of the change where the stage has one edge alone."""
    if len(flow.stages) == 1:
        return _changes(flow)
    sums = torch.stack([flow.maps[edge][0].flatten(2).double().sum(2) for edge in flow.stages])
    return _where_present(flow, sums)


def _changes(flow: Flow) -> Tensor:
    """(E, O, n) the score's change, the same for all edges of the stage."""
    if flow.change is None:
        raise TypeError("the flow is not integrated")
    return _where_present(flow, flow.change)


def _where_present(flow: Flow, values: Tensor) -> Tensor:
    absent = (flow.region_px == 0).expand(len(flow.stages), -1, -1)
    return values.double().masked_fill(absent, torch.nan)
