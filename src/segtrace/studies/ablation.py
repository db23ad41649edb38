"""Which stages and edges does each organ need, and which way does it come?"""

from dataclasses import dataclass

from segtrace.report.page.sections import Section
from segtrace.studies.cut_networks import Ablated
from segtrace.studies.slices import Maps, Slices
from segtrace.tracking.cuts import CUT


@dataclass(frozen=True)
class Ablation(Slices):
    """Maps of the slices, and beside them what it costs to cut each stage and edge.

    Attributes:
        failures: see :class:`~segtrace.studies.slices.Slices`, as all others.
        cut: what stands in the place of an activation.
    """

    failures: bool | None = False
    cut: str | None = CUT

    def sections(self, last: Maps, ablated: Ablated | None) -> tuple[Section, ...]:
        """What each organ needs, of the last network that was cut."""
        return () if ablated is None else (ablated.section(),)
