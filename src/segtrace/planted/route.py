"""Which edges carry the class of a disc, in a network trained on planted evidence?

Two questions, for each edge that is cut: how much Dice is lost, outline and class together, as for
any organ; and which part of the discs still have the right class, whatever became of their
outlines. Of the second, chance is one half, exactly: of two twins whose cut network shows the same
logits on the disc, one is right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from segtrace.attribution.trace import SLICES_ON_CPU
from segtrace.causal.baselines import ENOUGH, Baselines, collect
from segtrace.causal.necessity import Necessity, necessity
from segtrace.causal.route import Route, route
from segtrace.measures.over_cases import over_cases
from segtrace.network.edges import Edge
from segtrace.network.edges import resolve as resolve_edges
from segtrace.network.hooks import Edit, edit
from segtrace.network.sites import Site
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.planted.network import PlantedNetwork, PlantedSlices
from segtrace.report.route_words import branches, sentence

FEW = 4
"""Slices of a case whose score is divided between the edges; an integration takes its time."""


@dataclass(frozen=True)
class PlantedRoute:
    """The route of the class. E edges, O classes, N slices.

    Attributes:
        necessity: of every edge.
        route: how the score divides between the edges of each decoder stage, in the first
            :data:`FEW` slices of each case.
        right: edge -> (N,) bool, the class is right with the edge cut; ``""`` for none cut.
        cases: name of each slice's case.
    """

    necessity: Necessity
    route: Route
    right: Mapping[str, torch.Tensor]
    cases: tuple[str, ...]

    def accuracy(self, edge: str = "") -> float:
        """Part of the discs with the right class; 0.5 is chance."""
        return float(self.right[edge].double().mean())

    def sentences(self) -> list[str]:
        """One a class: the same words as on any route diagram."""
        return [
            sentence(organ, branches(self.route, self.necessity, organ))
            for organ in self.route.organs
        ]

    def rows(self) -> list[dict[str, Any]]:
        """One row an edge, for a CSV: Dice lost, with its 95 % t interval over cases; accuracy."""
        lost = self.necessity.dice_lost.nanmean(1)  # (E, N): each slice shows one class
        found = over_cases(lost, self.cases, within=(-1.0, 1.0))
        rows = []
        for e, edge in enumerate(self.necessity.sites):
            rows.append(
                {
                    "edge": edge,
                    "source": self.route.sources[e],
                    "stage": self.route.stages[e],
                    "dice_lost": float(found.mean[e]),
                    "dice_lost_low": float(found.low[e]),
                    "dice_lost_high": float(found.high[e]),
                    "cases": int(found.cases[e]),
                    "class_right": self.accuracy(edge),
                    "share": float(self.route.share()[e].mean()),
                }
            )
        return rows


def planted_route(network: PlantedNetwork) -> PlantedRoute:
    """Cut every edge of a network, on the validation slices, with the tag as in training."""
    slices = network.slices()
    few = slices.first(FEW)
    edges = resolve_edges(network.net)
    seen = PlantedSlices.of(network.source, "train").images
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(0))
    means = collect(network.net, edges, [seen[order[:ENOUGH]]])
    return PlantedRoute(
        necessity=necessity(
            network.net,
            edges,
            slices.images,
            slices.truth,
            network.channels,
            means,
            cases=slices.cases,
        ),
        route=route(network.net, few.images, few.truth, network.channels, means),
        right={"": slices.margin(network.logits(slices)) > 0}
        | {edge.name: _right(network, slices, edge, means) for edge in edges},
        cases=slices.cases,
    )


def _right(
    network: PlantedNetwork, slices: PlantedSlices, edge: Edge, means: Baselines
) -> torch.Tensor:
    x = as_input(network.net, slices.images)
    cut: dict[Site, Edit] = {edge: lambda activation: means.like(edge.name, activation)}
    with undisturbed(network.net, x.device), torch.no_grad(), edit(network.net, cut):
        logits = torch.cat([network.net(part).cpu() for part in x.split(SLICES_ON_CPU)])
    return slices.margin(logits) > 0
