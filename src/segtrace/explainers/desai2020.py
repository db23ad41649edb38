"""Ablation-CAM: a channel weighs as much as the score loses when it is set to zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from segtrace.attribution.targets import Target
from segtrace.causal.batches import Clock
from segtrace.explainers.channels import (
    Weighed,
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


@guards.fields(at_once=guards.a_count, max_seconds=guards.optional(guards.a_number))
@dataclass(frozen=True)
class AblationCam:
    """Desai and Ramaswamy 2020, a map a stage, with no gradient in it.

    The map is Σ_k w_k A^k, signed, w_k = (S - S_k) / |S|: S the score of an organ's region, which
    the network as it is decides, S_k the same with channel k of the stage set to zero. Channels
    that are cut together share what that costs. It takes a forward pass of every
    slice a cut, of what lies behind the stage.

    Attributes:
        at_once: channels that are cut together; 1 as in the paper.
        max_seconds: a stage that is not done by then is left out; ``None`` for no limit.

    Raises:
        InputError: no channel at once; no time at all.
    """

    name: ClassVar[str] = "ablation_cam"
    title: ClassVar[str] = "Ablation-CAM"
    equation: ClassVar[str] = (
        "Ablation-CAM (Desai and Ramaswamy 2020), Σ_k w_k A^k with w_k = (S - S_k) / |S|, S_k the "
        "score with channel k set to zero"
    )
    papers: ClassVar[tuple[str, ...]] = ("desai2020",)
    of_volumes: ClassVar[bool] = True

    at_once: int = 1
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
            InputError: not even one stage is done in time.
        """
        with scoring(network, targets, budget, self.title, volumes=self.of_volumes) as scores:
            sites = stages_of(scores.net, network)
            timetable = Timetable.of(scores.net, scores.x[:1])
            cuts = {site: torch.arange(count).split(self.at_once)
                    for site, count in channels_at(scores, sites).items()}  # fmt: skip
            done = in_time(
                scores,
                self.name,
                sites,
                len(scores.x) * sum(map(len, cuts.values())),
                lambda clock, site: _maps(scores, clock, site, cuts[site], timetable),
                "more channels at_once",
            )
        explained = measured(self, done.flow, network, epoch)
        return StageMaps(self, explained, done.left_out, done.passes, scores.seconds, done.weights)


def _maps(
    scores: Scores, clock: Clock, site: Site, cuts: tuple[Tensor, ...], timetable: Timetable
) -> Weighed | None:
    """See :data:`~segtrace.explainers.channels.Maps`."""
    found, weights, net = [], [], scores.net
    for mine in parts(len(scores.x)):
        x = scores.x[mine]
        activation = observe(net, [site], x).activations[site.name]
        cached = CachedForward.of(net, x, timetable, [site])
        whole = scores.of(scores.logits[mine], mine)
        weighed, own = torch.zeros(()), []
        for channels in cuts:
            if scores.is_over():
                return None
            with edit(net, {site: without(channels)}):
                cut = scores.of(cached.run(site), mine)
            lost = (whole - cut) / whole.abs() / len(channels)  # (O, n)
            own.append(lost[..., None].expand(*lost.shape, len(channels)))
            weighed = weighed + beside(lost, activation[:, channels].sum(1))
            clock.step(len(x))
        found.append(weighed)
        weights.append(torch.cat(own, -1))
    return torch.cat(found, 1).cpu(), torch.cat(weights, 1).cpu()
