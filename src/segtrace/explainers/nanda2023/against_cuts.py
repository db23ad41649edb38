"""The same cuts for real: how far off the estimates are, and what a map must beat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from segtrace.activation import Organ, organ_of
from segtrace.attribution.flow import Flow
from segtrace.causal.baselines import Baselines
from segtrace.causal.estimate import estimated
from segtrace.causal.faithfulness.estimates import beside_cuts, within_stages
from segtrace.causal.faithfulness.paths import PATCHING, choices, factors, pairs
from segtrace.causal.faithfulness.tally import Tally, tally
from segtrace.causal.necessity import Necessity, necessity
from segtrace.errors import InputError
from segtrace.labelled import Dataset
from segtrace.network.edges import Edge
from segtrace.network.sites import Site
from segtrace.progress import OnProgress
from segtrace.tracking.explained import Network, organs_on

CHECKED = ("gt", "pred")
"""Regions that are whole organs, as a cut is judged on."""


@dataclass(frozen=True)
class Check:
    """Estimates beside cuts.

    Attributes:
        beside: see :func:`~segtrace.causal.faithfulness.estimates.beside_cuts`.
        ranks: Spearman's ρ within decoder stages, of the estimate and of the controls; ``None``
            where no stage has two edges.
        tallies: how often each names the path, skip or up, whose cut costs more Dice; as above.
    """

    beside: Dataset
    ranks: Dataset | None
    tallies: tuple[Tally, ...]


def against_cuts(
    network: Network,
    sites: Sequence[Site],
    flow: Flow,
    baselines: Baselines | None,
    cut: str,
    draws: int,
    progress: OnProgress | None,
) -> Check | None:
    """Cut every site for real; ``None`` where no organ is on any slice.

    Args:
        network: the network and its slices, whose region is one of :data:`CHECKED`.
        sites: those of the flow.
        flow: of the rule of :func:`segtrace.causal.estimate.estimating`.
        baselines: for the cut.
        cut: as of the estimate.
        draws: as there.
        progress: hears how far the cuts have come.
    """
    truth, channels = _truth(network, flow)
    _, held = organs_on(truth, channels, list(flow.organs))
    if not held:
        return None
    settings, probes = network.settings, network.probes
    lost = necessity(network.net, sites, probes.images, truth, held, baselines,
                     cases=probes.cases, cut=cut, draws=draws, score=settings.score,
                     activation=flow.activation, progress=progress)  # fmt: skip
    kept = [flow.organs.index(organ) for organ in held]
    estimate = estimated(flow)[:, kept]
    beside = beside_cuts(estimate, lost)
    found = factors(network.net, sites, probes.images, flow)
    predictors = {PATCHING: estimate} | {name: one[:, kept] for name, one in found.items()}
    return Check(beside, *_within(lost, sites, predictors))


def _within(
    lost: Necessity, sites: Sequence[Site], predictors: Mapping[str, Tensor]
) -> tuple[Dataset | None, tuple[Tally, ...]]:
    """What resolution cannot decide, where there are decoder stages with two edges."""
    edges = {site.name: site for site in sites if isinstance(site, Edge)}
    own = replace(lost, data=lost.data.sel(site=list(edges)))
    which = torch.tensor([isinstance(site, Edge) for site in sites])
    of_edges = {name: values[which] for name, values in predictors.items()}
    vertices = [n for n, v in zip(edges, own.data["cut_vertex"].values, strict=True) if v]
    try:
        pairs(edges, vertices)
    except InputError:  # an architecture without skips
        return None, ()
    ranks = within_stages(own, edges, of_edges)
    try:
        return ranks, tuple(tally([choices(own, edges, of_edges)]))
    except InputError:  # no two cuts cost apart
        return ranks, ()


def _truth(network: Network, flow: Flow) -> tuple[Tensor, dict[str, Organ]]:
    """Where the organs of the region are, and their channels in it."""
    organs = {name: organ_of(network.channels[name], flow.activation) for name in flow.organs}
    if network.settings.region == "pred" or network.probes.labels is None:
        return flow.prediction, {name: Organ(o.channel, o.channel) for name, o in organs.items()}
    return network.probes.labels, organs
