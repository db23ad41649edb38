"""What SegNBDT found as files, and as a section of the page."""

from functools import cached_property
from pathlib import Path
from typing import Any

from segtrace.explainers.explainer import facts_of
from segtrace.explainers.wan2020.found import Found
from segtrace.explainers.wan2020.removal import rows_of
from segtrace.explainers.wan2020.showing import Figures, figures
from segtrace.explainers.wan2020.words import sentences, table
from segtrace.report.figures.drawing import save_figure
from segtrace.report.files import save_manifest, save_maps
from segtrace.report.page.sections import Section, Shown, embedded
from segtrace.report.tables import save_table


class SegNbdtResult(Found):
    """A :class:`~segtrace.explainers.explainer.Result`."""

    def write(self, folder: Path | str) -> None:
        """Its files.

        ``tree.csv``, ``tree_dice.csv`` (a row a slice and organ), ``tree_dice_cases.csv`` (over
        cases, with intervals), ``sir.csv``, ``maps.npz``, ``measures.csv``, ``manifest.json``, and
        ``figures/segnbdt``: ``tree_{organ}``, ``sir`` and ``sir_decisions``, with captions.
        """
        folder, scene = Path(folder), self.explained.record.scene
        organs = [*self.hierarchy.channels]
        save_table(folder / "tree.csv", self.hierarchy.rows())
        save_table(folder / "tree_dice.csv", self.inference.rows(organs, scene.slices))
        save_table(folder / "tree_dice_cases.csv", self.inference.rows_over_cases(organs))
        save_table(folder / "sir.csv", rows_of(self.erased, scene.cases, scene.slices))
        save_maps(folder / "maps.npz", self.explained.record)
        save_table(folder / "measures.csv", self.explained.rows())
        for name, one in self.figures.items():
            save_figure(folder / "figures" / self.by.name, name, one.figure, one.caption)
        save_manifest(folder / "manifest.json", self.facts)

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            **facts_of(self.by),
            "head": self.hierarchy.head.path,
            "head_is_the_logits": self.hierarchy.head.alone,
            "seconds": round(self.done.seconds, 1),
            "passes": self.done.passes,
            "whole": self.whole,
            "left_out": list(self.done.left_out),
            "erased": self.erased.passes,
            "erased_asked": self.erased.asked,
        }

    @property
    def flow(self) -> None:
        """Its maps are of decisions: there is none that is an organ's own."""

    @cached_property
    def figures(self) -> Figures:
        """By the names of their files, drawn once."""
        return figures(self)

    def section(self) -> Section:
        """The tree of every organ, the Dice of its inference, and what erased organs cost."""
        shown = tuple(Shown(embedded(one.figure), one.shown) for one in self.figures.values())
        return Section(self.by.title, tuple(sentences(self)), shown, (table(self),))
