"""The paper's Figure 1: organs through every stage."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from segtrace.report.captions import epoch_words
from segtrace.report.figures.drawing import save_figure
from segtrace.report.figures.paper import paper_figure
from segtrace.report.page.sections import Section, Shown, embedded
from segtrace.studies.cut_networks import Ablated
from segtrace.studies.slices import Maps, Slices


@dataclass(frozen=True)
class PaperFigure(Slices):
    """Maps of the slices, and the figure in print of every network, by the first rule.

    Attributes:
        failures: see :class:`~segtrace.studies.slices.Slices`, as all others.
    """

    failures: bool | None = False

    def draw(self, maps: Maps, folder: Path) -> None:
        """``figures/paper_figure.png`` and ``.pdf``, and its paragraph in ``caption.txt``."""
        save_figure(folder / "figures", "paper_figure", *self._drawn(maps))

    def sections(self, last: Maps, ablated: Ablated | None) -> tuple[Section, ...]:
        """The figure of the last network, with its paragraph."""
        figure, caption = self._drawn(last)
        heading = f"The paper's figure, {epoch_words(last.explained.record.epoch)}"
        return (Section(heading, figures=(Shown(embedded(figure), caption),)),)

    def _drawn(self, maps: Maps) -> tuple[Figure, str]:
        record = maps.explained.record
        organs, rule = record.organs_here or record.flow.organs, record.flow.rules[0]
        return paper_figure(record, organs, rule, shared=self.shared_scale)
