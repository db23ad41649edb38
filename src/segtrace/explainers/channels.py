"""Cutting a stage's channels: at the stages that were asked for, as far as the time goes."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segtrace.attribution.flow import Flow
from segtrace.causal.batches import SLICES, Clock
from segtrace.explainers.explainer import OutOfTimeError
from segtrace.explainers.scores import Scores
from segtrace.network.hooks import observe
from segtrace.network.sites import Site, Sites, chosen
from segtrace.tracking.explained import Network

Weighed = tuple[Tensor, Tensor]
"""Maps of a stage, (O, N, *cells), and the weights of its channels, (O, N, K)."""
Maps = Callable[[Clock, Site], Weighed | None]
"""Those of a stage; ``None`` where the time is over before."""


def stages_of(net: nn.Module, network: Network) -> Sites:
    """Those of the network, or of them those that the settings name."""
    stages = Sites.of(net, network.stages)
    names = network.settings.stages
    return stages if names is None else chosen(stages, names)


def channels_at(scores: Scores, sites: Sites) -> dict[Site, int]:
    """How many channels each stage has."""
    seen = observe(scores.net, sites, scores.x[:1]).activations
    return {site: seen[site.name].shape[1] for site in sites}


class InTime(NamedTuple):
    """What was done in time.

    Attributes:
        flow: maps of stages.
        weights: stage -> (O, N, K) of its channels.
        left_out: the names of those that the time did not suffice for.
        passes: forward passes of one image.
    """

    flow: Flow
    weights: Mapping[str, Tensor]
    left_out: tuple[str, ...]
    passes: int


def in_time(
    scores: Scores, name: str, sites: Sites, passes: int, maps_of: Maps, remedy: str
) -> InTime:
    """Maps stage after stage, as far as the time goes.

    Args:
        scores: the network on its slices.
        name: of the explainer.
        sites: its stages.
        passes: forward passes of one image, of all stages.
        maps_of: what gives the maps of one.
        remedy: what to give where the time does not suffice for one.

    Raises:
        OutOfTimeError: not even one stage is done in time.
    """
    maps: dict[str, Tensor] = {}
    weights: dict[str, Tensor] = {}
    with scores.clock(passes) as clock:
        for site in sites:
            found = maps_of(clock, site)
            if found is None:
                break
            maps[site.name], weights[site.name] = found
    if not maps:
        raise OutOfTimeError(
            f"{scores.title}: {scores.budget.max_seconds:g} s are over before a stage is done; "
            f"give more max_seconds, or {remedy}"
        )
    left_out = tuple(one for one in sites.names if one not in maps)
    return InTime(scores.flow(name, maps), weights, left_out, clock.done)


def parts(slices: int) -> Iterator[slice]:
    """As many slices at a time as a pass takes."""
    for first in range(0, slices, SLICES):
        yield slice(first, min(first + SLICES, slices))


def beside(weights: Tensor, cells: Tensor) -> Tensor:
    """(O, n) · (n, *cells) -> (O, n, *cells)."""
    return weights.reshape(*weights.shape, *[1] * (cells.ndim - 1)) * cells


def without(channels: Tensor) -> Callable[[Tensor], Tensor]:
    """An activation without those channels."""

    def edited(activation: Tensor) -> Tensor:
        found = activation.clone()
        found[:, channels] = 0
        return found

    return edited


def alone(channels: Tensor) -> Callable[[Tensor], Tensor]:
    """An activation with nothing but those channels."""

    def edited(activation: Tensor) -> Tensor:
        found = torch.zeros_like(activation)
        found[:, channels] = activation[:, channels]
        return found

    return edited
