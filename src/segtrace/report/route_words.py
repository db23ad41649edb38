"""The route of an organ as a list of branches."""

from dataclasses import dataclass

from segtrace.causal.faithfulness.verdict import LEAST_LOSS
from segtrace.causal.necessity import Necessity
from segtrace.causal.route import Route
from segtrace.errors import InputError, unknown
from segtrace.labelled import names_along, rows


@dataclass(frozen=True)
class Branch:
    """One edge of the network, for one organ.

    Attributes:
        name: the edge.
        source: the stage it comes from; may be empty.
        stage: the decoder stage it enters.
        share: part of the score's change that came over it; the edges of a stage add to 1.
        lost: Dice lost when it is cut, mean over cases.
        error: by how much the stage's shares miss 1.
    """

    name: str
    source: str
    stage: str
    share: float
    lost: float
    error: float

    @property
    def needed(self) -> bool:
        """Cutting it costs something."""
        return self.lost >= LEAST_LOSS


def branches(route: Route, necessity: Necessity, organ: str) -> tuple[Branch, ...]:
    """The edges of a route with what their cut costs an organ.

    Raises:
        InputError: an organ that one of them lacks, an edge that was not cut.
    """
    for found in (route.data, necessity.data):
        if organ not in (known := names_along(found, "organ")):
            raise unknown("organ", organ, known, "this table")
    cut = names_along(necessity.data, "site")
    for edge in names_along(route.data, "edge"):
        if edge not in cut:
            raise InputError(f"edge {edge!r} was not cut; cut all edges of the route")
    lost = necessity.lost["mean"].rename(site="edge").drop_vars("place")
    shown = route.summary.assign(lost=lost.reindex_like(route.summary)).sel(organ=organ)
    columns = ("edge", "source", "stage", "share", "lost", "sum_error")
    return tuple(Branch(*row.values()) for row in rows(shown, ("edge",), columns))
