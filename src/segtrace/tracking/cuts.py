"""Cut a network on its slices: what every stage and edge is worth to every organ."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.activation import predicted
from segtrace.attribution.passes import per_pass
from segtrace.causal.baselines import Baselines
from segtrace.causal.batches import SLICES
from segtrace.causal.necessity import Necessity, necessity
from segtrace.causal.route import Route, route
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.labelled import names_along
from segtrace.network.edges import Edge
from segtrace.network.logits import Output, logits_at
from segtrace.network.stages import Stage
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import OnProgress, counted
from segtrace.report.claims.claim import FOUND, Claim, told
from segtrace.report.claims.recognition import unseen
from segtrace.report.claims.routes import Routes
from segtrace.report.figures.route import Diagram, averaged
from segtrace.report.route_words import branches
from segtrace.tracking.edges import settled_sites
from segtrace.tracking.explained import Network, organs_on, settled

CUT = "channel_mean"
"""What stands in the place of an activation unless something else is said."""


@dataclass(frozen=True)
class Cuts:
    """What every cut cost a network at one epoch, and its route.

    Attributes:
        epoch: finished passes; ``None`` where not known.
        necessity: of all stages and edges.
        route: over the edges; ``None`` for a network whose edges are not known.
        encoders: names of the encoder stages, from the image down.
        left_out: organs that are on none of the slices.
        marks: what the slices are not, in capitals.
        unseen: organs whose prediction fits other cases as well as its own, as far as is known.
    """

    epoch: int | None
    necessity: Necessity
    route: Route | None
    encoders: tuple[str, ...]
    left_out: tuple[str, ...]
    marks: tuple[str, ...]
    unseen: tuple[str, ...] = ()

    @property
    def organs(self) -> list[str]:
        """Those that were judged."""
        return names_along(self.necessity.data, "organ")

    def dice(self, organ: str) -> float:
        """Of the whole network, mean over the cases that hold the organ."""
        return float(self.necessity.whole_dice.sel(organ=organ))

    def diagram(self, organ: str, title: str) -> Diagram:
        """The network as the route picture draws it.

        Raises:
            InputError: there is no route.
        """
        if self.route is None:
            raise InputError("no route: the network's edges are not known")
        lost = self.necessity.lost.sel(organ=organ)
        stages = lost["mean"][lost["place"] == "stage"]
        ends = zip(lost["low"].values.tolist(), lost["high"].values.tolist(), strict=True)
        return Diagram(
            title=title,
            branches=branches(self.route, self.necessity, organ),
            stages=dict(zip(names_along(stages, "site"), stages.values.tolist(), strict=True)),
            dice=self.dice(organ),
            words=str(self.routes.of(organ)),
            ends=dict(zip(names_along(lost, "site"), ends, strict=True)),
            vertices=self.vertices,
        )

    @cached_property
    def mean_diagram(self) -> Diagram:
        """The mean over all organs that are found, or over all where none is.

        Raises:
            InputError: there is no route.
        """
        found = [organ for organ in self.organs if self.dice(organ) >= FOUND]
        if len(found) in (0, len(self.organs)):
            return averaged([self.diagram(organ, "") for organ in self.organs])
        mean = averaged([self.diagram(organ, "") for organ in found])
        return replace(mean, title=f"mean over the {counted(len(found), 'organ')} found")

    @property
    def vertices(self) -> frozenset[str]:
        """The stages and edges that every path runs through."""
        found = self.necessity.data["cut_vertex"]
        return frozenset(names_along(found[found], "site"))

    def sentences(self) -> dict[str, str]:
        """Organ -> what it loses, in one plain sentence."""
        return {organ: str(self.routes.of(organ)) for organ in self.organs}

    def claims(self) -> list[Claim]:
        """See :meth:`~segtrace.report.claims.routes.Routes.claims`."""
        return self.routes.claims()

    def told(self) -> list[str]:
        """The claims as a text prints them, and which sites they tell of in the place of others."""
        return [*told(self.claims()), *filter(None, [self.routes.told_for])]

    @cached_property
    def routes(self) -> Routes:
        """The claims that the cuts bear."""
        entered: dict[str, str] = {}
        if self.route is not None:
            edges, stages = (names_along(self.route.data, axis) for axis in ("edge", "stage"))
            entered = dict(zip(edges, stages, strict=True))
        return Routes(self.necessity, entered, self.unseen)

    def to_plain(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        passed = None if self.route is None else self.route.to_plain()
        return plain | {"necessity": self.necessity.to_plain(), "route": passed}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Cuts":
        """Undoes :meth:`to_plain`.

        Raises:
            InputError: numbers that do not fit their names.
        """
        passed = None if plain["route"] is None else Route.from_plain(plain["route"])
        lost = Necessity.from_plain(plain["necessity"])
        return cls(**{**plain, "necessity": lost, "route": passed})


def in_words(name: str) -> tuple[str, str]:
    """What :func:`cut_network` does to a network, the one after the other."""
    return f"{name}: cutting every stage and edge", f"{name}: integrating along the route"


def cut_network(
    network: Network,
    edges: Mapping[str, Any] | None,
    baselines: Baselines | None,
    epoch: int | None,
    *,
    cut: str = CUT,
    routes: bool = True,
    output: Output | None = None,
    progress: OnProgress | None = None,
) -> Cuts | None:
    """Cut every stage and edge of a network in turn, and integrate along its route.

    Args:
        network: what is cut, and the slices; their organs are judged against the truth.
        edges: name -> edge; ``None`` for the table of known networks, ``{}`` for none.
        baselines: means over training slices; the route and most cuts need them.
        epoch: finished passes.
        cut: see :data:`segtrace.causal.replacement.CUTS`.
        routes: integrate, too, which takes most of the time.
        output: picks the logits from what the network returns.
        progress: told the estimate before, and how far it has come.

    Returns:
        What was found; ``None`` where no organ asked for is on any slice.

    Raises:
        InputError: slices without labels; baselines that are missing or of another network.
    """
    network = settled(network, output)
    net, stages, probes, channels, settings, sliding = network
    if sliding is not None:
        raise InputError(
            "what cuts cost is not measured window by window; cut patches of one window"
        )
    truth = _truth(probes)
    asked, held = organs_on(truth, channels, settings.organs)
    if not held:
        return None
    places = settled_sites(net, stages, edges, probes.images)
    lost = necessity(
        net,
        places,
        probes.images,
        truth,
        held,
        baselines,
        cases=probes.cases,
        cut=cut,
        score=settings.score,
        output=output,
        activation=settings.activation,
        progress=progress,
    )
    own = {place.name: place for place in places if isinstance(place, Edge)}
    passed = None
    if routes and own and baselines is not None:
        passed = route(
            net,
            probes.images,
            truth,
            held,
            baselines,
            edges=own,
            score=settings.score,
            output=output,
            activation=settings.activation,
            progress=progress,
        )
    return Cuts(
        epoch=epoch,
        necessity=lost,
        route=passed,
        encoders=_encoders([place.name for place in places if isinstance(place, Stage)], own),
        left_out=tuple(organ for organ in asked if organ not in held),
        marks=probes.marks,
        unseen=unseen(
            _prediction(net, probes, settings.activation, output), truth, held, probes.cases
        ),
    )


def _prediction(
    net: nn.Module, probes: Probes, activation: str | None, output: Output | None
) -> Tensor:
    """What the whole network predicts."""
    net = unwrapped(net)
    x = as_input(net, probes.images)
    with undisturbed(net, x.device), torch.no_grad():
        logits = (logits_at(net, part, output) for part in x.split(per_pass(x, SLICES)))
        return torch.cat([predicted(part, activation).cpu() for part in logits])


def _truth(probes: Probes) -> Tensor:
    if probes.labels is None:
        raise InputError("cutting is judged against labels, which these slices lack")
    return probes.labels


def _encoders(stages: list[str], edges: Mapping[str, Edge]) -> tuple[str, ...]:
    """The stages that no edge enters and that come before those which edges enter."""
    entered = {edge.stage for edge in edges.values()}
    first = next((k for k, stage in enumerate(stages) if stage in entered), 0)
    return tuple(stages[:first])
