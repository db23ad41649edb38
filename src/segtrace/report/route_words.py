"""The route of an organ as a list of branches, and in one plain sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from segtrace.causal.faithfulness.verdict import LEAST_LOSS
from segtrace.causal.necessity import Necessity
from segtrace.causal.route import Route
from segtrace.errors import InputError, unknown
from segtrace.labelled import names_along, rows
from segtrace.report.captions import plain

NEEDED = 0.1
"""Dice. An edge whose cut costs this much or more is called a way in."""


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
    columns = ("edge", "source", "stage", "share", "lost", "error")
    return tuple(Branch(*row.values()) for row in rows(shown, ("edge",), columns))


def sentence(organ: str, found: Sequence[Branch], dice: float = 1.0) -> str:
    """Where the organ enters, whether it travels up, and whether the bottleneck is needed.

    Args:
        organ: the organ.
        found: the edges.
        dice: of the whole network: what it does not find cannot be lost.

    >>> found = [
    ...     Branch("skip_1", "enc2", "dec1", 0.9, 0.5, 0.0),
    ...     Branch("up_1", "enc3", "dec1", 0.1, 0.0, 0.0),
    ...     Branch("up_2", "dec1", "dec2", 1.0, 0.8, 0.0),
    ... ]
    >>> print(sentence("left_kidney", found))
    The left kidney enters by the skip of enc2 and travels up; the bottleneck is not needed.
    """
    if not dice >= NEEDED:
        return (
            f"The {plain(organ)} is not found (Dice {dice:.2f}): cutting can take nothing away and "
            "says nothing."
        )
    decoders = {branch.stage for branch in found}
    skips = [b for b in found if b.source not in decoders and not _is_deepest(b, found)]
    ways_in = sorted((b for b in skips if b.lost >= NEEDED), key=lambda b: -b.lost)
    deepest = [b for b in found if _is_deepest(b, found)]
    subject = f"The {plain(organ)}"
    if not ways_in and not any(b.lost >= NEEDED for b in found):
        most = max(b.lost for b in found)
        return f"{subject} hangs on no single edge: no cut costs more than {most:.2f} Dice."
    bottleneck = _bottleneck(deepest)
    if not ways_in:
        return f"{subject} enters by no single skip; {bottleneck}."
    *others, last = [b.source or b.name for b in ways_in]
    names = f"{', '.join(others)} and {last}" if others else last
    way = f"by the {'skips' if others else 'skip'} of {names}"
    if not all(b.source for b in ways_in):  # an edge of the user's that says not where it is from
        way = f"over {names}"
    climbs = any(b.lost >= NEEDED for b in found if b.source in decoders)
    return f"{subject} enters {way}{' and travels up' * climbs}; {bottleneck}."


def _is_deepest(branch: Branch, found: Sequence[Branch]) -> bool:
    """Whether it brings the bottleneck into the first decoder stage: the last of its edges."""
    first = [b for b in found if b.stage == found[0].stage]
    return branch is first[-1]


def _bottleneck(deepest: Sequence[Branch]) -> str:
    lost = max(b.lost for b in deepest)
    if lost < LEAST_LOSS:
        return "the bottleneck is not needed"
    return f"without the bottleneck {lost:.2f} Dice is lost"
