"""The result of explainers that give a map of the image: with its error, partial or whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from segtrace.attribution.flow import Flow
from segtrace.explainers.error_picture import (
    CHANCE,
    ERROR_WORDS,
    MOSTLY_CHANCE,
    Said,
    error_picture,
)
from segtrace.explainers.explainer import Explainer
from segtrace.measures.localisation import over_slices
from segtrace.names import file_name
from segtrace.progress import counted
from segtrace.report.captions import SCORES, final_words, marks, plain, titled
from segtrace.report.files import save_arrays, save_manifest, save_maps, save_png, save_text
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.pictures.cells import Picture
from segtrace.report.references import PAPER, bibliography
from segtrace.report.references import in_words as sources
from segtrace.report.scene import REGIONS, RESEARCH_USE
from segtrace.report.tables import save_table
from segtrace.tracking.explained import Explained

INPUT = "input"
"""The one stage of such maps: what the network is shown."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Drawn:
    """How much of what was to be drawn by chance was done.

    Attributes:
        done: masks, or coalitions of a slice.
        asked: as many were asked for.
        what: they are.
        passes: of one slice, all together.
        seconds: that the work took.
    """

    done: int
    asked: int
    what: str
    passes: int
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether the time sufficed."""
        return self.done == self.asked

    @property
    def words(self) -> str:
        """How many of how many."""
        of = f"{self.done} {self.what}"
        return of if self.whole else f"partial: {self.done} of {self.asked} {self.what}"


@dataclass(frozen=True)
class ImageMaps:
    """Maps of an explainer on the image, whose error is that of drawing by chance.

    Attributes:
        by: the explainer.
        explained: its maps and measures, under its name in the place of a rule, :data:`INPUT` in
            that of a stage.
        error: (O, N, H, W) standard error of every pixel of the maps.
        noise: (O, N) the part of a map's variance over the pixels that is error; above 1 where the
            error is larger than all that the map varies, NaN of a constant map.
        drawn: what was done.
        reading: how fine the maps are, in a sentence.
        numbers: a row an organ and slice, for ``sampling.csv``.
        tables: name of a file -> rows, beside it.
        arrays: what else is kept of the drawing.
    """

    by: Explainer
    explained: Explained
    error: Tensor
    noise: Tensor
    drawn: Drawn
    reading: str
    numbers: Rows
    tables: Mapping[str, Rows]
    arrays: Mapping[str, Tensor]

    def write(self, folder: Path | str) -> None:
        """Its files.

        ``maps.npz`` and ``measures.csv`` as of every study, ``sampling.npz`` (the standard error,
        and what was drawn), ``sampling.csv``, ``figures/{name}/{organ}.png`` with ``caption.txt``
        and ``references.bib``, and ``manifest.json``.
        """
        folder, flow, record = Path(folder), self.flow, self.explained.record
        save_maps(folder / "maps.npz", record)
        save_table(folder / "measures.csv", self.explained.rows())
        held = {"standard_error": self.error, **self.arrays}
        save_arrays(folder / "sampling.npz", {name: one.numpy() for name, one in held.items()})
        for name, rows in {"sampling.csv": self.numbers, **self.tables}.items():
            save_table(folder / name, rows)
        figures = folder / "figures" / self.by.name
        for organ in flow.organs:
            save_png(figures / f"{file_name(organ, flow.organs)}.png", self.picture(organ))
        caption = "\n\n".join(map(self.caption, flow.organs)) + "\n"
        save_text(figures / "caption.txt", caption)
        save_text(figures / "references.bib", bibliography(caption))
        save_manifest(folder / "manifest.json", self.facts)

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        drawn = self.drawn
        return {
            "explainer": self.by.name,
            "equation": self.by.equation,
            "papers": list(self.by.papers),
            "options": dict(vars(self.by)),
            "seconds": round(drawn.seconds, 1),
            "passes": drawn.passes,
            "whole": drawn.whole,
            "drawn": drawn.what,
            "done": drawn.done,
            "asked": drawn.asked,
        }

    def picture(self, organ: str) -> Picture:
        """The slices that hold most of an organ: the CT, the map, and its standard error."""
        o = self.flow.organs.index(organ)
        said = Said(self.by.title, self.drawn.words, self.drawn.whole, self.reading)
        return error_picture(self.explained.record, organ, said, self.error[o], self.noise[o])

    def caption(self, organ: str) -> str:
        """What a reader of the picture must know."""
        record, flow = self.explained.record, self.flow
        shown = "; ".join(map(record.scene.name, range(len(record.scene.cases))))
        sentences = [
            f"{titled(organ)}, {self.by.title}, {self.drawn.words}.",
            f"Method: {self.by.equation}.",
            f"S: the sum of {SCORES.get(flow.score, flow.score)} over the region, "
            f"{REGIONS.get(record.region, record.region)}.",
            f"Colour: the map's positive part, of its largest value; error: {ERROR_WORDS}.",
            f"{self.reading}.",
            f"Of the slices {shown} those with most of the organ.",
            *final_words([record], [organ]),
            *(f"Note: {mark}." for mark in marks(record)),
            f"{RESEARCH_USE.capitalize()}.",
            sources([PAPER, *self.by.papers]),
        ]
        return " ".join(sentences)

    def section(self) -> Section:
        """The maps of every organ, with their error and how well they localise."""
        said = [
            f"{self.by.equation}. {sources([PAPER, *self.by.papers])}",
            f"{self._cost()} {self.reading}.",
        ]
        many = [(int((one >= CHANCE).sum()), plain(organ))
                for one, organ in zip(self.noise, self.flow.organs, strict=True)]  # fmt: skip
        if any(count for count, _ in many):
            slices = ", ".join(
                f"{counted(count, 'slice')} ({organ})" for count, organ in many if count
            )
            said.append(f"{titled(MOSTLY_CHANCE)}, on {slices}; their maps are not drawn.")
        figures = tuple(
            Shown(
                embedded(self.picture(organ)),
                f"{self.by.title}, {self.drawn.words}: {plain(organ)}. Maps: maps.npz.",
            )
            for organ in self.flow.organs
        )
        return Section(self.by.title, tuple(said), figures, (self._table(),))

    @property
    def flow(self) -> Flow:
        """The maps, of one stage, :data:`INPUT`."""
        return self.explained.record.flow

    def _cost(self) -> str:
        drawn = self.drawn
        spent = f"{drawn.passes} forward passes of one slice in {drawn.seconds:.0f} s"
        if drawn.whole:
            return f"{drawn.words}; {spent}."
        more = "give more max_seconds, or ask for fewer"
        return (
            f"{drawn.words[:1].upper()}{drawn.words[1:]}, when the time was over; {spent}: {more}."
        )

    def _table(self) -> Table:
        name, organs = self.by.name, self.flow.organs
        gain = over_slices(self.explained.measures)["gain"].sel(rule=name, site=INPUT)
        rows = [
            {
                "organ": organ,
                "gain": float(gain.sel(organ=organ)),
                "chance": float(self.noise[o].nanmean()),
            }
            for o, organ in enumerate(organs)
        ]
        return Table.of(
            "Gain over the slices, and the part of a map's variance that is chance (mean over "
            "slices); every slice: measures.csv, sampling.csv.",
            rows,
        )


def noise_of(maps: Tensor, error: Tensor) -> Tensor:
    """(O, N) mean squared error over the variance of maps (O, N, H, W); NaN of a constant map."""
    varies = maps.flatten(2).double().var(-1, correction=0)
    return (error.flatten(2).double().square().mean(-1) / varies).masked_fill(varies == 0, np.nan)


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
