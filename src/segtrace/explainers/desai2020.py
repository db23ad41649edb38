"""Ablation-CAM: a channel weighs as much as the score loses when it is set to zero."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from segtrace.attribution.targets import Target
from segtrace.causal.batches import SLICES, Clock
from segtrace.errors import InputError
from segtrace.explainers.explainer import Budget, checked_seconds
from segtrace.explainers.scores import Scores, scoring
from segtrace.explainers.stage_maps import StageMaps, measured
from segtrace.network.hooks import edit, observe
from segtrace.network.logits import logits_at
from segtrace.network.sites import Site, Sites, chosen
from segtrace.tracking.explained import Network


@dataclass(frozen=True)
class AblationCam:
    """Desai and Ramaswamy 2020, a map a stage, with no gradient in it.

    The map is Σ_k w_k A^k, signed, w_k = (S - S_k) / |S|: S the score of an organ's region, which
    the network as it is decides, S_k the same with channel k of the stage set to zero. Channels
    that are cut together share what that costs. It takes a forward pass of every slice a cut.

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

    at_once: int = 1
    max_seconds: float | None = 600.0

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise InputError(f"at_once={self.at_once}; cut at least one channel at a time")
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
        with scoring(network, targets, budget, self.title) as scores:
            sites = _stages(scores.net, network)
            cuts = {site: self._cuts(scores, site) for site in sites}
            maps = {}
            with scores.clock(len(scores.x) * sum(map(len, cuts.values()))) as clock:
                for site in sites:
                    found = _maps(scores, clock, site, cuts[site])
                    if found is None:
                        break
                    maps[site.name] = found
            if not maps:
                raise InputError(
                    f"{self.title}: {budget.max_seconds:g} s are over before a stage is done; give "
                    "more max_seconds, or more channels at_once"
                )
            flow = scores.flow(self.name, maps)
        left_out = tuple(name for name in sites.names if name not in maps)
        return StageMaps(self, measured(flow, network, epoch), left_out, scores.seconds)

    def _cuts(self, scores: Scores, site: Site) -> tuple[Tensor, ...]:
        """The channels of each cut."""
        channels = observe(scores.net, [site], scores.x[:1]).activations[site.name].shape[1]
        return torch.arange(channels).split(self.at_once)


def _stages(net: nn.Module, network: Network) -> Sites:
    """Those of the network, or of them those that the settings name."""
    stages = Sites.of(net, network.stages)
    names = network.settings.stages
    return stages if names is None else chosen(stages, names)


def _maps(scores: Scores, clock: Clock, site: Site, cuts: tuple[Tensor, ...]) -> Tensor | None:
    """(O, N, *cells) of a stage; ``None`` where the time is over before."""
    parts, net = [], scores.net
    for mine in _parts(len(scores.x)):
        x = scores.x[mine]
        activation = observe(net, [site], x).activations[site.name]
        whole = scores.of(scores.logits[mine], mine)
        weighed = torch.zeros(())
        for channels in cuts:
            if scores.is_over():
                return None
            with edit(net, {site: _without(channels)}):
                cut = scores.of(logits_at(net, x), mine)
            lost = (whole - cut) / whole.abs() / len(channels)  # (O, n)
            own = activation[:, channels].sum(1)  # (n, *cells)
            weighed = weighed + lost.reshape(*lost.shape, *[1] * (own.ndim - 1)) * own
            clock.step(len(x))
        parts.append(weighed)
    return torch.cat(parts, 1).cpu()


def _parts(slices: int) -> Iterator[slice]:
    for first in range(0, slices, SLICES):
        yield slice(first, min(first + SLICES, slices))


def _without(channels: Tensor) -> Callable[[Tensor], Tensor]:
    def edited(activation: Tensor) -> Tensor:
        found = activation.clone()
        found[:, channels] = 0
        return found

    return edited
