"""What is cut to test the maps: edges, what maps mark, what edges carry."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from segtrace.activation import OrganLike
from segtrace.attribution import targets
from segtrace.attribution.flow import Flow
from segtrace.attribution.trace import trace
from segtrace.causal.baselines import Baselines
from segtrace.causal.faithfulness.deletion import deletion
from segtrace.causal.faithfulness.ranking import CELLS, GRADIENT_NORM, Ranking, rankings, sizes_of
from segtrace.causal.faithfulness.verdict import Verdict, verdicts
from segtrace.causal.necessity import Necessity, necessity
from segtrace.causal.patching import carry
from segtrace.causal.route import route
from segtrace.labelled import Dataset, tensor
from segtrace.measures.places import body_of
from segtrace.network.edges import Edge
from segtrace.network.sites import Site
from segtrace.network.stages import Stage
from segtrace.progress import OnProgress
from segtrace.tracking.explained import Network, traced

FRACTIONS = (0.1,)
"""Parts of a stage's cells that are removed."""
DRAWS = 3
"""Shifted and random patterns a map."""


@dataclass(frozen=True)
class FaithfulnessCuts:
    """A network on its slices, with all that testing its maps by cuts needs.

    Attributes:
        network: network, slices and settings.
        truth: (N, H, W) label map of the slices.
        channels: organ -> channel, of the organs that are judged.
        baselines: means over training slices.
        seed: of all draws.
    """

    network: Network
    truth: Tensor
    channels: Mapping[str, OrganLike]
    baselines: Baselines
    seed: int

    def necessity(self, places: tuple[Site, ...], progress: OnProgress | None) -> Necessity:
        """Dice lost under the kind of cut that no predictor is built on."""
        return necessity(
            self.network.net,
            [place for place in places if isinstance(place, Edge)] or places,
            self.network.probes.images,
            self.truth,
            self.channels,
            cases=self.network.probes.cases,
            cut="resample",
            seed=self.seed,
            activation=self.network.settings.activation,
            progress=progress,
        )

    def verdicts(
        self, stages: list[Stage], untrained: Network | None, progress: OnProgress | None
    ) -> Iterator[Verdict]:
        """On the places that each rule marks at these stages."""
        return verdicts(
            deletion(
                self.network.net,
                self._flow(self.network),
                stages,
                self.network.probes.images,
                self.truth,
                self.channels,
                self.baselines,
                cases=self.network.probes.cases,
                fractions=FRACTIONS,
                draws=DRAWS,
                seed=self.seed,
                untrained=None if untrained is None else self._flow(untrained),
                body=body_of(self.network.probes.images),
                activation=self.network.settings.activation,
                progress=progress,
            )
        )

    def _flow(self, network: Network) -> Flow:
        settings = replace(network.settings, organs=list(self.channels), region="gt")
        probes, channels = self.network.probes, self.network.channels
        return traced(Network(network.net, network.stages, probes, channels, settings)).flow

    def rankings(
        self, own: Mapping[str, Edge], lost: Necessity, untrained: Network | None
    ) -> list[Ranking]:
        """Of the edges: by maps and shares, against gradient, depth and the untrained maps."""
        lost = Necessity(lost.data.sel(organ=list(self.channels)))
        sizes = self._sizes(self.network, own)
        controls = {name: sizes.pop(name) for name in (GRADIENT_NORM, CELLS)}
        controls |= {"depth": _depths(own)}
        if untrained is not None:
            before = self._sizes(untrained, own)
            before = {name: size for name, size in before.items() if name not in controls}
            controls |= {f"map size, {rule}, untrained": values for rule, values in before.items()}
        passed = route(
            self.network.net,
            self.network.probes.images,
            self.truth,
            self.channels,
            self.baselines,
            edges=own,
            activation=self.network.settings.activation,
        )
        predictors = {f"map size, {rule}": values for rule, values in sizes.items()}
        # The route lists edges stage by stage, the cuts in the order of the table.
        predictors["share of the score"] = tensor(passed.shares.sel(edge=list(own)))
        return rankings(lost, predictors, controls)

    def _sizes(self, network: Network, own: Mapping[str, Edge]) -> dict[str, Tensor]:
        known, rules = network.settings.activation, network.settings.rules
        organs = targets.organs(self.channels, "gt", self.truth, known)
        images = self.network.probes.images
        return sizes_of(trace(network.net, {}, images, organs, rules, edges=own, activation=known))

    def carried(self, edges: list[Edge]) -> Dataset:
        """What each edge carries to another case's slice."""
        probes = self.network.probes
        return carry(
            self.network.net,
            edges,
            probes.images,
            self.truth,
            self.channels,
            cases=probes.cases,
            seed=self.seed,
            activation=self.network.settings.activation,
        )


def _depths(own: Mapping[str, Edge]) -> Tensor:
    """(E,) how far up the decoder stage stands that each edge enters."""
    stages = list(dict.fromkeys(edge.stage for edge in own.values()))
    return torch.tensor([float(stages.index(edge.stage)) for edge in own.values()])
