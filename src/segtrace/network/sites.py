"""Sites: the places in a network where tensors are recorded or edited, resolved once."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor, nn

from segtrace.errors import InputError, unknown
from segtrace.network import edges as edges_of
from segtrace.network import guards
from segtrace.network import stages as stages_of
from segtrace.network.edges import Edge, EdgesLike
from segtrace.network.joints import settled
from segtrace.network.stages import Stage, StagesLike

Site: TypeAlias = Stage | Edge


class Sites(tuple[Site, ...]):
    """Stages and edges of a network, each name once, checked against the network.

    A tuple of them in this order, to be handed on wherever stages or sites are asked for.
    """

    __slots__ = ()

    @classmethod
    def of(
        cls, net: nn.Module, stages: StagesLike | Sequence[Site], edges: EdgesLike = None
    ) -> "Sites":
        """Those meant, edges ``None`` or ``{}`` for none; with edges there need be no stage.

        Args:
            net: the network itself, not a wrapper.
            stages: see :func:`segtrace.network.stages.resolve`; or sites, resolved.
            edges: see :func:`segtrace.network.edges.resolve`; of the table by their names.

        Raises:
            InputError: a stage or an edge that cannot be found; an edge with the name of a stage.
        """
        found: Sequence[Site] = _resolved(stages)
        for site in found:
            edges_of.check(net, site)
        if not found and (stages or stages is None or not edges):
            named: Any = stages
            found = stages_of.resolve(net, named)
        return _joined(found, edges_of.resolve(net, edges or {}))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages."""
        return tuple(site for site in self if isinstance(site, Stage))

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges."""
        return tuple(site for site in self if isinstance(site, Edge))

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(site.name for site in self)

    def settled(self, net: nn.Module, x: Tensor) -> "Sites":
        """The same, each edge with its part; see :func:`segtrace.network.joints.settled`."""
        return Sites(settled(net, self, x)) if self.edges else self


def _resolved(value: Any) -> tuple[Site, ...]:
    """Sites that are resolved; none where names are given."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return tuple(value) if several and all(isinstance(one, Stage | Edge) for one in value) else ()


@guards.held()
def sites_of(net: nn.Module, stages: StagesLike = None, edges: EdgesLike = None) -> Sites:
    """Stages and edges, in this order, checked against the network.

    Args:
        net: the network itself, not a wrapper.
        stages: see :func:`segtrace.network.stages.resolve`.
        edges: see :func:`segtrace.network.edges.resolve`; ``{}`` for none, ``None`` for all
            that the table knows.

    Raises:
        InputError: a stage or an edge that cannot be found; an edge with the name of a stage.
    """
    return _joined(stages_of.resolve(net, stages), edges_of.resolve(net, edges))


def _joined(sites: Sequence[Site], edges: Sequence[Edge]) -> Sites:
    names = {site.name for site in sites}
    for edge in edges:
        if edge.name in names:
            raise InputError(f"edge {edge.name!r} has the name of a stage; give it another one")
    return Sites((*sites, *edges))


def chosen(sites: Sequence[Site], names: Sequence[str]) -> Sites:
    """The sites of these names.

    Raises:
        InputError: a name that no site has.
    """
    known: Mapping[str, Site] = {site.name: site for site in sites}
    for name in names:
        if name not in known:
            raise unknown("site", name, known, "this network")
    return Sites(known[name] for name in names)
