"""Ablation-CAM: a channel weighs as much as the score loses when it is set to zero."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

import torch
from torch import Tensor, nn

from segtrace.activation import predicted
from segtrace.attribution.forward import SCORES, agreed, weights_of
from segtrace.attribution.targets import Target
from segtrace.attribution.weights import Weights
from segtrace.causal.batches import SLICES, Clock, seconds_per_slice
from segtrace.errors import InputError
from segtrace.explainers.explainer import Budget
from segtrace.explainers.stage_maps import StageMaps, flow_of, measured
from segtrace.network.hooks import edit, observe
from segtrace.network.labels import refuse_shares
from segtrace.network.logits import logits_at
from segtrace.network.sites import Site, Sites, chosen
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
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
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InputError(f"max_seconds={self.max_seconds}; give more than 0, or null")

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
        start, net = perf_counter(), unwrapped(network.net)
        x, score = as_input(net, network.probes.images), network.settings.score
        with undisturbed(net, x.device), torch.no_grad(), budget.shown(self.title) as tell:
            sites = _stages(net, network)
            logits = torch.cat([logits_at(net, part) for part in x.split(SLICES)])
            known = agreed(network.settings.activation, targets, logits)
            refuse_shares(score, logits, known)
            weights = {organ: weights_of(organ, one, logits, known)
                       for organ, one in targets.items()}  # fmt: skip
            cuts = {site: self._cuts(net, site, x) for site in sites}
            passes = len(x) * sum(map(len, cuts.values()))
            clock = Clock(passes, seconds_per_slice(net, x[:SLICES]), tell)
            task = _Task(net, x, logits, [*weights.values()], score, known, clock)
            maps = {}
            for site in sites:
                found = task.maps(site, cuts[site], lambda: budget.is_over(start))
                if found is None:
                    break
                maps[site.name] = found
        if not maps:
            raise InputError(
                f"{self.title}: {budget.max_seconds:g} s are over before a stage is done; give "
                "more max_seconds, or more channels at_once"
            )
        flow = flow_of(
            self.name,
            score,
            maps,
            {
                organ: one.score(SCORES[score](logits, known)).cpu()
                for organ, one in weights.items()
            },
            torch.stack([one.pixels(logits) for one in weights.values()]).cpu(),
            predicted(logits, known).cpu(),
            known,
        )
        left_out = tuple(name for name in sites.names if name not in maps)
        return StageMaps(self, measured(flow, network, epoch), left_out, perf_counter() - start)

    def _cuts(self, net: nn.Module, site: Site, x: Tensor) -> tuple[Tensor, ...]:
        """The channels of each cut."""
        channels = observe(net, [site], x[:1]).activations[site.name].shape[1]
        return torch.arange(channels).split(self.at_once)


def _stages(net: nn.Module, network: Network) -> Sites:
    """Those of the network, or of them those that the settings name."""
    stages = Sites.of(net, network.stages)
    names = network.settings.stages
    return stages if names is None else chosen(stages, names)


@dataclass(frozen=True)
class _Task:
    """The network as it is, on its slices; ``weights`` one an organ."""

    net: nn.Module
    x: Tensor
    logits: Tensor
    weights: list[Weights]
    score: str
    activation: str
    clock: Clock

    def maps(
        self, site: Site, cuts: tuple[Tensor, ...], is_over: Callable[[], bool]
    ) -> Tensor | None:
        """(O, N, *cells) of a stage; ``None`` where the time is over before."""
        parts = []
        for mine in _parts(len(self.x)):
            activation = observe(self.net, [site], self.x[mine]).activations[site.name]
            whole = self._scores(mine, self.logits[mine])
            weighed = torch.zeros(())
            for channels in cuts:
                if is_over():
                    return None
                with edit(self.net, {site: _without(channels)}):
                    cut = self._scores(mine, logits_at(self.net, self.x[mine]))
                lost = (whole - cut) / whole.abs() / len(channels)  # (O, n)
                own = activation[:, channels].sum(1)  # (n, *cells)
                weighed = weighed + lost.reshape(*lost.shape, *[1] * (own.ndim - 1)) * own
                self.clock.step(len(self.x[mine]))
            parts.append(weighed)
        return torch.cat(parts, 1).cpu()

    def _scores(self, mine: slice, logits: Tensor) -> Tensor:
        """(O, n) of some slices, whose regions are those of the network as it is."""
        scored = SCORES[self.score](logits, self.activation)
        return torch.stack([one[mine].score(scored) for one in self.weights])


def _parts(slices: int) -> Iterator[slice]:
    for first in range(0, slices, SLICES):
        yield slice(first, min(first + SLICES, slices))


def _without(channels: Tensor) -> Callable[[Tensor], Tensor]:
    def edited(activation: Tensor) -> Tensor:
        found = activation.clone()
        found[:, channels] = 0
        return found

    return edited
