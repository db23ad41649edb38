"""Kernel-weighted contribution: a channel weighs by what is lost without it and kept by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from segtrace.activation import PROBABILITY
from segtrace.attribution.targets import Target
from segtrace.attribution.weights import Weights
from segtrace.causal.batches import Clock
from segtrace.explainers.channels import (
    Weighed,
    alone,
    beside,
    channels_at,
    in_time,
    parts,
    stages_of,
    without,
)
from segtrace.explainers.explainer import Budget, checked_seconds
from segtrace.explainers.scores import Scores, scoring
from segtrace.explainers.stage_maps import StageMaps, measured
from segtrace.network import guards
from segtrace.network.cached_forward import CachedForward, Timetable
from segtrace.network.hooks import edit, observe
from segtrace.network.sites import Site
from segtrace.tracking.explained import Network

SCORE = "prob"
"""Whatever score is explained elsewhere: the smaller of two probabilities is what is kept."""


@guards.fields(max_seconds=guards.optional(guards.a_number))
@dataclass(frozen=True)
class KernelWeighted:
    """Mullan and Sonka 2023, a map a stage, with no gradient in it.

    The map is Σ_k w_k |A^k| / max|A|, w_k = d_k i_k / Σ P, never negative: P the organ's
    probability in the network as it is, d_k = Σ (P - min(P without k, P)) what is lost when channel
    k of the stage is set to zero, i_k = Σ min(P of k alone, P) what is kept when all others are.
    The sums run over the region that is explained; the paper's is ``all``. It takes two forward
    passes a slice and channel, of what lies behind the stage. Theirs are the convolutions, and a
    kernel set to zero leaves its bias; ours are the stages' outputs. (In their paper of 2022 a
    random kernel takes the channel's place.)

    Attributes:
        max_seconds: a stage that is not done by then is left out; ``None`` for no limit.

    Raises:
        InputError: no time at all.
    """

    name: ClassVar[str] = "kernel_weighted"
    title: ClassVar[str] = "Kernel-weighted contribution"
    equation: ClassVar[str] = (
        "Kernel-weighted contribution (Mullan and Sonka 2023), Σ_k w_k |A_k| / max|A| with w_k = "
        "d_k i_k / Σ P: d_k the probability P lost without channel k, i_k that kept by it alone"
    )
    papers: ClassVar[tuple[str, ...]] = ("mullan2023",)
    of_volumes: ClassVar[bool] = True

    max_seconds: float | None = 600.0

    def __post_init__(self) -> None:
        checked_seconds(self.max_seconds)

    def explain(
        self,
        network: Network,
        targets: Mapping[str, Target],
        budget: Budget,
        epoch: int | None = None,
    ) -> StageMaps:
        """Cut channel after channel; see :class:`~segtrace.explainers.explainer.Explainer`.

        Raises:
            InputError: a network that returns probabilities; not even one stage is done in time.
        """
        with scoring(
            network, targets, budget, self.title, SCORE, volumes=self.of_volumes
        ) as scores:
            sites = stages_of(scores.net, network)
            count, timetable = channels_at(scores, sites), Timetable.of(scores.net, scores.x[:1])
            done = in_time(
                scores,
                self.name,
                sites,
                2 * len(scores.x) * sum(count.values()),
                lambda clock, site: _maps(scores, clock, site, count[site], timetable),
                "name another stage, stages=[head]",
            )
        explained = measured(self, done.flow, network, epoch)
        return StageMaps(self, explained, done.left_out, done.passes, scores.seconds, done.weights)


def contribution(whole: Tensor, without: Tensor, alone: Tensor, weights: Weights) -> Tensor:
    """(n,) d i / ΣP of one channel; NaN where the organ has no probability at all in its region.

    Args:
        whole: (n, C, *image) P, the probabilities of the network as it is.
        without: those without the channel.
        alone: those with it alone.
        weights: which of them are summed.
    """
    lost = weights.score(whole - torch.minimum(without, whole))
    return lost * weights.score(torch.minimum(alone, whole)) / weights.score(whole)


def _maps(
    scores: Scores, clock: Clock, site: Site, channels: int, timetable: Timetable
) -> Weighed | None:
    """See :data:`~segtrace.explainers.channels.Maps`."""
    found, weights, net = [], [], scores.net
    probability = PROBABILITY[scores.activation]
    for mine in parts(len(scores.x)):
        x = scores.x[mine]
        cached = CachedForward.of(net, x, timetable, [site])
        activation = observe(net, [site], x).activations[site.name].abs()
        highest = activation.amax(tuple(range(1, activation.ndim)), keepdim=True)
        scaled = activation / torch.where(highest > 0, highest, 1.0)
        whole, weighed, kernels = probability(cached.logits), torch.zeros(()), []
        for k in torch.arange(channels).split(1):
            if scores.is_over():
                return None
            with edit(net, {site: without(k)}):
                rest = probability(cached.run(site))
            with edit(net, {site: alone(k)}):
                own = probability(cached.run(site))
            weight = torch.stack(
                [contribution(whole, rest, own, one[mine]) for one in scores.weights.values()]
            )
            kernels.append(weight[..., None])
            weighed = weighed + beside(weight, scaled[:, k].sum(1))
            clock.step(2 * len(x))
        found.append(weighed)
        weights.append(torch.cat(kernels, -1))
    return torch.cat(found, 1).cpu(), torch.cat(weights, 1).cpu()
