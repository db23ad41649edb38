"""What explainers that give a map of the image have in common: files, caption, section."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from segtrace.attribution.flow import INPUT, Flow
from segtrace.explainers.explainer import Explainer, facts_of
from segtrace.measures.localisation import over_slices
from segtrace.names import file_name
from segtrace.report.captions import absent_words, final_words, marks, plain, titled
from segtrace.report.files import save_arrays, save_manifest, save_maps, save_png, save_text
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.pictures.cells import Picture
from segtrace.report.references import PAPER, bibliography
from segtrace.report.references import in_words as sources
from segtrace.report.scene import RESEARCH_USE
from segtrace.report.tables import save_table
from segtrace.tracking.explained import Explained

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Drawn:
    """How much of what was asked for was done.

    Attributes:
        done: masks, coalitions of a slice, or steps.
        asked: as many were asked for.
        what: they are.
        passes: forward passes of one image, all together.
        seconds: that the work took.
        backward: passes back, beside them.
    """

    done: int
    asked: int
    what: str
    passes: int
    seconds: float
    backward: int = 0

    @property
    def whole(self) -> bool:
        """Whether the time sufficed."""
        return self.done == self.asked

    @property
    def words(self) -> str:
        """How many of how many."""
        of = f"{self.done} {self.what}"
        return of if self.whole else f"partial: {self.done} of {self.asked} {self.what}"

    @property
    def cost(self) -> str:
        """What it took, as a sentence."""
        back = f" and {self.backward} backward" if self.backward else ""
        spent = f"{self.passes} forward{back} passes of one image in {self.seconds:.0f} s"
        words = f"{self.words[:1].upper()}{self.words[1:]}"
        if self.whole:
            return f"{words}; {spent}."
        more = "give more max_seconds, or ask for fewer"
        return f"{words}, when the time was over; {spent}: {more}."


@dataclass(frozen=True)
class ImageResult(ABC):
    """Maps of an explainer on the image.

    Attributes:
        by: the explainer.
        explained: its maps and measures, under its name in the place of a rule, :data:`INPUT` in
            that of a stage.
        drawn: what was done.
        reading: how to read the maps, in a sentence.
    """

    by: Explainer
    explained: Explained
    drawn: Drawn
    reading: str

    @abstractmethod
    def picture(self, organ: str) -> Picture:
        """The slices that hold most of an organ, (H, W, 3)."""

    @abstractmethod
    def said(self) -> Sequence[str]:
        """Sentences of the caption between the method and how to read it."""

    @abstractmethod
    def held(self) -> tuple[Mapping[str, Mapping[str, Tensor]], Mapping[str, Rows]]:
        """Files of arrays and files of tables that it alone has, by their names."""

    @abstractmethod
    def table(self) -> Table:
        """What the section says in numbers."""

    def remarks(self) -> Sequence[str]:
        """Sentences of the section behind what it took."""
        return ()

    def write(self, folder: Path | str) -> None:
        """Its files.

        ``maps.npz`` and ``measures.csv`` as of every study, :meth:`held`,
        ``figures/{name}/{organ}.png`` with ``caption.txt`` and ``references.bib``, and
        ``manifest.json``.
        """
        folder, flow = Path(folder), self.flow
        save_maps(folder / "maps.npz", self.explained.record)
        save_table(folder / "measures.csv", self.explained.rows())
        arrays, tables = self.held()
        for name, own in arrays.items():
            save_arrays(folder / name, {key: one.numpy() for key, one in own.items()})
        for name, rows in tables.items():
            save_table(folder / name, rows)
        figures = folder / "figures" / self.by.name
        here = self.explained.record.organs_here
        for organ in here:
            save_png(figures / f"{file_name(organ, flow.organs)}.png", self.picture(organ))
        caption = "\n\n".join(map(self.caption, here)) + "\n"
        save_text(figures / "caption.txt", caption)
        save_text(figures / "references.bib", bibliography(caption))
        save_manifest(folder / "manifest.json", self.facts)

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        drawn = self.drawn
        return {
            **facts_of(self.by),
            "seconds": round(drawn.seconds, 1),
            "passes": drawn.passes,
            "backward": drawn.backward,
            "whole": drawn.whole,
            "drawn": drawn.what,
            "done": drawn.done,
            "asked": drawn.asked,
        }

    def caption(self, organ: str) -> str:
        """What a reader of the picture must know."""
        record = self.explained.record
        shown = "; ".join(map(record.scene.name, range(len(record.scene.cases))))
        sentences = [
            f"{titled(organ)}, {self.by.title}, {self.drawn.words}.",
            f"Method: {self.by.equation}.",
            *self.said(),
            f"{self.reading}.",
            f"Of the slices {shown} those with most of the organ.",
            *final_words([record], [organ]),
            *(f"Note: {mark}." for mark in marks(record)),
            f"{RESEARCH_USE.capitalize()}.",
            sources([PAPER, *self.by.papers]),
        ]
        return " ".join(sentences)

    def section(self) -> Section:
        """The maps of every organ that is there, with what is said of them."""
        said = [
            f"{self.by.equation}. {sources([PAPER, *self.by.papers])}",
            f"{self.drawn.cost} {self.reading}.",
            *self.remarks(),
            *absent_words(self.explained.record),
        ]
        figures = tuple(
            Shown(
                embedded(self.picture(organ)),
                f"{self.by.title}, {self.drawn.words}: {plain(organ)}. Maps: maps.npz.",
            )
            for organ in self.explained.record.organs_here
        )
        return Section(self.by.title, tuple(said), figures, (self.table(),))

    @property
    def flow(self) -> Flow:
        """The maps, of one stage, :data:`INPUT`."""
        return self.explained.record.flow

    def gain(self, organ: str) -> float:
        """Of an organ's maps, over the slices."""
        found = over_slices(self.explained.measures)["gain"]
        return float(found.sel(rule=self.by.name, site=INPUT, organ=organ))


def rows_of(explained: Explained, **numbers: Tensor) -> Rows:
    """A row an organ and slice, of numbers (O, N)."""
    record = explained.record
    flow, scene = record.flow, record.scene
    return [
        {"case": scene.cases[n], "slice": scene.slices[n], "organ": organ}
        | {name: one[o, n].item() for name, one in {"score": flow.scores, **numbers}.items()}
        for n in range(len(scene.cases))
        for o, organ in enumerate(flow.organs)
    ]
