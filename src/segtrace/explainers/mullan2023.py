"""Kernel-weighted contribution: a channel weighs by what is lost without it and kept by it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

import torch
from torch import Tensor, nn

from segtrace.activation import PROBABILITY, predicted
from segtrace.attribution.forward import agreed, weights_of
from segtrace.attribution.targets import Target
from segtrace.attribution.weights import Weights
from segtrace.causal.batches import SLICES, Clock, seconds_per_slice
from segtrace.errors import InputError
from segtrace.explainers.explainer import Budget
from segtrace.explainers.stage_maps import StageMaps, flow_of, measured
from segtrace.network.cached_forward import CachedForward, Timetable
from segtrace.network.hooks import edit, observe
from segtrace.network.labels import refuse_shares
from segtrace.network.logits import logits_at
from segtrace.network.sites import Site, Sites, chosen
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.tracking.explained import Network

SCORE = "prob"
"""Whatever score is explained elsewhere: the smaller of two probabilities is what is kept."""


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

    max_seconds: float | None = 600.0

    def __post_init__(self) -> None:
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
            InputError: a network that returns probabilities; not even one stage is done in time.
        """
        start, net = perf_counter(), unwrapped(network.net)
        x = as_input(net, network.probes.images)
        with undisturbed(net, x.device), torch.no_grad(), budget.shown(self.title) as tell:
            sites = Sites.of(net, network.stages)
            if network.settings.stages is not None:
                sites = chosen(sites, network.settings.stages)
            logits = torch.cat([logits_at(net, part) for part in x.split(SLICES)])
            known = agreed(network.settings.activation, targets, logits.shape[1])
            refuse_shares(SCORE, logits, known)
            weights = {organ: weights_of(organ, one, logits, known)
                       for organ, one in targets.items()}  # fmt: skip
            seen = observe(net, sites, x[:1]).activations
            passes = 2 * len(x) * sum(one.shape[1] for one in seen.values())
            clock = Clock(passes, seconds_per_slice(net, x[:SLICES]), tell)
            task = _Task(net, x, Timetable.of(net, x[:1]), [*weights.values()], known, clock)
            maps = {}
            for site in sites:
                found = task.maps(site, lambda: budget.is_over(start))
                if found is None:
                    break
                maps[site.name] = found
        if not maps:
            raise InputError(
                f"{self.title}: {budget.max_seconds:g} s are over before a stage is done; give "
                "more max_seconds, or name another stage, stages=[head]"
            )
        probability = PROBABILITY[known](logits)
        flow = flow_of(
            self.name,
            SCORE,
            maps,
            {organ: one.score(probability).cpu() for organ, one in weights.items()},
            torch.stack([one.pixels(logits) for one in weights.values()]).cpu(),
            predicted(logits, known).cpu(),
            known,
        )
        left_out = tuple(name for name in sites.names if name not in maps)
        return StageMaps(self, measured(flow, network, epoch), left_out, perf_counter() - start)


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


@dataclass(frozen=True)
class _Task:
    """The network as it is, on its slices; ``weights`` one an organ."""

    net: nn.Module
    x: Tensor
    timetable: Timetable
    weights: list[Weights]
    activation: str
    clock: Clock

    def maps(self, site: Site, is_over: Callable[[], bool]) -> Tensor | None:
        """(O, N, *cells) of a stage; ``None`` where the time is over before."""
        parts = []
        for mine in _parts(len(self.x)):
            x = self.x[mine]
            cached = CachedForward.of(self.net, x, self.timetable, [site])
            activation = observe(self.net, [site], x).activations[site.name]
            cells = tuple(range(1, activation.ndim))
            scaled = activation.abs() / activation.abs().amax(cells, keepdim=True)
            whole = PROBABILITY[self.activation](cached.logits)
            total = torch.zeros(())
            for k in range(activation.shape[1]):
                if is_over():
                    return None
                without = self._cut(cached, site, _without(k))
                alone = self._cut(cached, site, _alone(k))
                found = [contribution(whole, without, alone, one[mine]) for one in self.weights]
                weight = torch.stack(found)  # (O, n)
                total = (
                    total + weight.reshape(*weight.shape, *[1] * (len(cells) - 1)) * scaled[:, k]
                )
                self.clock.step(2 * len(x))
            parts.append(total)
        return torch.cat(parts, 1).cpu()

    def _cut(self, cached: CachedForward, site: Site, kept: Callable[[Tensor], Tensor]) -> Tensor:
        with edit(self.net, {site: kept}):
            return PROBABILITY[self.activation](cached.run(site))


def _parts(slices: int) -> Iterator[slice]:
    for first in range(0, slices, SLICES):
        yield slice(first, min(first + SLICES, slices))


def _without(k: int) -> Callable[[Tensor], Tensor]:
    def edited(activation: Tensor) -> Tensor:
        found = activation.clone()
        found[:, k] = 0
        return found

    return edited


def _alone(k: int) -> Callable[[Tensor], Tensor]:
    def edited(activation: Tensor) -> Tensor:
        found = torch.zeros_like(activation)
        found[:, k] = activation[:, k]
        return found

    return edited
