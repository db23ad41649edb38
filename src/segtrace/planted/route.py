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

from segtrace.attribution.passes import SLICES_ON_CPU
from segtrace.causal.baselines import ENOUGH, Baselines, collect
from segtrace.causal.necessity import Necessity, necessity
from segtrace.causal.route import Route, route
from segtrace.labelled import mean, names_along, rows
from segtrace.measures.over_cases import intervals
from segtrace.network.edges import Edge
from segtrace.network.edges import resolve as resolve_edges
from segtrace.network.hooks import Edit, edit
from segtrace.network.sites import Site
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.planted.network import PlantedNetwork, PlantedSlices
from segtrace.report.claims.routes import Routes

COLUMNS = ("edge", "source", "stage", "dice_lost", "dice_lost_low", "dice_lost_high", "cases",
           "class_right", "share")  # fmt: skip
"""Of a row an edge."""
FEW = 4
"""Slices of a case whose score is divided between the edges; an integration takes its time."""


@dataclass(frozen=True)
class PlantedRoute:
    """The route of the class.

    Attributes:
        necessity: of every edge.
        route: how the score divides between the edges of each decoder stage, in the first
            :data:`FEW` slices of each case.
        right: edge -> bool a slice, the class is right with the edge cut; ``""`` for none cut.
    """

    necessity: Necessity
    route: Route
    right: Mapping[str, torch.Tensor]

    def accuracy(self, edge: str = "") -> float:
        """Part of the discs with the right class; 0.5 is chance."""
        return float(self.right[edge].double().mean())

    def sentences(self) -> list[str]:
        """One a class: the same words as on any route diagram."""
        edges, stages = (names_along(self.route.data, axis) for axis in ("edge", "stage"))
        told = Routes(self.necessity, dict(zip(edges, stages, strict=True)))
        return [str(told.of(organ)) for organ in names_along(self.route.data, "organ")]

    def rows(self) -> list[dict[str, Any]]:
        """One row an edge, for a CSV: Dice lost, with its 95 % t interval over cases; accuracy."""
        lost = mean(self.necessity.dice_lost.to_dataset(name="lost"), "organ")["lost"]
        found = intervals(lost, within=(-1.0, 1.0))  # each slice shows one class
        edges = names_along(found, "site")
        shown = found.rename(site="edge", mean="dice_lost", low="dice_lost_low",
                             high="dice_lost_high").assign(
            share=self.route.summary["share"].mean("organ", skipna=False),
            class_right=("edge", [self.accuracy(edge) for edge in edges]),
        )  # fmt: skip
        return rows(shown, ("edge",), COLUMNS)


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
    )


def _right(
    network: PlantedNetwork, slices: PlantedSlices, edge: Edge, means: Baselines
) -> torch.Tensor:
    x = as_input(network.net, slices.images)
    cut: dict[Site, Edit] = {edge: lambda activation: means.like(edge.name, activation)}
    with undisturbed(network.net, x.device), torch.no_grad(), edit(network.net, cut):
        logits = torch.cat([network.net(part).cpu() for part in x.split(SLICES_ON_CPU)])
    return slices.margin(logits) > 0
