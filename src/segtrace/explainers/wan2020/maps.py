"""The maps of the decisions that lead to organs, as a flow whose organs are decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from segtrace.attribution.aggregate import aggregate, with_merged
from segtrace.attribution.flow import Flow
from segtrace.attribution.targets import Target
from segtrace.attribution.trace import trace
from segtrace.explainers.channels import stages_of
from segtrace.explainers.scores import Scores
from segtrace.explainers.wan2020.hierarchy import Decision, DecisionTarget
from segtrace.network.sites import Site, Sites, chosen
from segtrace.report.scene import FINAL
from segtrace.tracking.explained import Network

RULES = ("grad_pam", "seg_grad_cam")


def decision_name(organ: str, decision: Decision) -> str:
    """What stands for an organ in tables and files.

    >>> decision_name("liver", Decision(2, (0,), (1,), 1.0))
    'liver, decision 2'
    """
    return f"{organ}, decision {decision.number}"


def stages_for(net: nn.Module, network: Network, named: Sequence[str] | None) -> Sites:
    """The stages named; else the last decoder stage and the one below it, or the last two.

    The head, whose maps are the logits again, only where nothing else is known.
    """
    if named is not None:
        return chosen(Sites.of(net, network.stages), named)
    stages = stages_of(net, network)
    found = [site for site in stages if site.name != FINAL] or [*stages]
    return Sites([site for site in found if site.name.startswith("dec")][-2:] or found[-2:])


def maps_of(
    scores: Scores,
    sites: Sequence[Site],
    target: Target,
    organ: str,
    path: Sequence[Decision],
    *,
    against: bool,
) -> Flow:
    """The maps of every decision that leads to an organ."""
    targets = {decision_name(organ, one): DecisionTarget(target, one, against) for one in path}
    given = scores.net, sites, scores.x, targets, RULES
    return trace(*given, scores.score, activation=scores.activation).cpu()


def together(flows: Mapping[str, Flow], combine: str | None) -> Flow:
    """The flows of several organs as one, with a map over several stages where one is asked for."""
    one, *_ = flows.values()
    along_organs = ("kappa", "gradient_l1", "status", "scores", "region_px")
    joined: dict[str, Any] = {
        name: torch.cat([getattr(flow, name) for flow in flows.values()], -2)
        for name in along_organs
    }
    maps = {
        stage: torch.cat([flow.maps[stage] for flow in flows.values()], 1) for stage in one.stages
    }
    names = tuple(name for flow in flows.values() for name in flow.organs)
    whole = replace(one, maps=maps, organs=names, **joined)
    if combine is None or len(maps) == 1:
        return whole
    return with_merged(whole, {combine: aggregate(whole, whole.stages, combine)})
