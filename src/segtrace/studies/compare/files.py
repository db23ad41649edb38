"""The comparison as files and on the page."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from segtrace.causal.faithfulness.comparison import Column, Standing, standings
from segtrace.labelled import Dataset, rows
from segtrace.progress import counted
from segtrace.report.claims.claim import Claim, told
from segtrace.report.claims.controls import control_claim
from segtrace.report.claims.recognition import left_out_words
from segtrace.report.figures.comparison import comparison_figure, in_order
from segtrace.report.figures.drawing import save_figure
from segtrace.report.files import save_manifest
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.references import PAPER, in_words
from segtrace.report.tables import save_table

ALONG = ("row", "organ", "slice")
READING = (
    "To carry the prediction is not to explain it: the prediction itself is a row, which needs no "
    "explaining, and a map of the last stage is much like it. The maps themselves are not kept: "
    "the same command without study=compare draws them."
)
CAPTION = (
    "Means over cases; every map: compare.csv. Seconds for all slices, and forward passes a slice, "
    "are those of the run that gave the row, which it may share with others; rules take a backward "
    "pass an organ as well."
)


@dataclass(frozen=True, eq=False)
class Compared:
    """All rows of a network.

    Attributes:
        data: what :func:`segtrace.studies.compare.numbers.numbers` gives.
        columns: of the table.
        facts: of the network, for the manifest.
        left_out: organ -> why no test rests on it.
        marks: what the slices are not, in capitals.
        within: where it goes, below the folder of all results.
    """

    data: Dataset
    columns: tuple[Column, ...]
    facts: Mapping[str, Any]
    left_out: Mapping[str, str]
    marks: tuple[str, ...]
    within: Path

    @cached_property
    def standings(self) -> list[Standing]:
        """The rows over cases, methods before controls."""
        return in_order(standings(self.data, self.columns, self.left_out), self.columns[0])

    @cached_property
    def claim(self) -> Claim:
        """Which methods are beyond every control row, in which columns."""
        own = [one for one in self.standings if not one.control]
        tested = [one for one in self.columns if one.tested]
        names = [f"{row.row} ({plain(one)})" for row in own for one in tested]
        p = torch.tensor([row.p[one.name] for row in own for one in tested])
        cases = len(set(self.data["case"].values.tolist()))
        about = f"{counted(self.data.sizes['slice'], 'slice')} of {counted(cases, 'case')}"
        lead = "In deletion or insertion, beyond every control row is"
        return control_claim("compare", lead, names, p, cases, about)

    @property
    def sentences(self) -> list[str]:
        """The finding, and of which organs there is none."""
        return [*told([self.claim]), *left_out_words(self.left_out)]

    def write(self, folder: Path) -> None:
        """``compare.csv``, ``compare_means.csv``, ``figures/compare.png`` and ``.pdf``.

        A row of ``compare.csv`` is a row of the comparison, an organ and a slice; of
        ``compare_means.csv`` a row, with its mean, the ends of its interval, cases and p a column.
        """
        place = folder / self.within
        named = self.data.assign_coords(slice=range(self.data.sizes["slice"]))
        names = [one.name for one in self.columns]
        table = rows(named, ALONG, ["kind", *ALONG, "case", "number", *names])
        save_table(place / "compare.csv", [{**row, "slice": row.pop("number")} for row in table])
        save_table(place / "compare_means.csv", [*map(self._row, self.standings)])
        figure, caption = comparison_figure(self.standings, self.columns, self.marks)
        save_figure(place / "figures", "compare", figure, caption)
        save_manifest(place / "manifest.json", self.facts)
        print("\n".join(self.sentences))

    def show(self, page: Page) -> None:
        """The finding, the figure, and the table of means."""
        about = {"facts": self.facts, "cautions": self.facts.get("cautions", ())}
        page.about = replace(page.about, **about)
        figure, caption = comparison_figure(self.standings, self.columns, self.marks)
        shown = Shown(embedded(figure), caption)
        page.sections.append(
            Section(
                "Which maps carry the prediction?",
                (*self.sentences, f"{READING} {in_words([PAPER, 'mullan2023'])}"),
                (shown,),
                (Table.of(CAPTION, self._means()),),
            )
        )

    def _means(self) -> list[dict[str, Any]]:
        cost = self._cost()
        return [
            {"row": one.row + " (control)" * one.control}
            | {plain(column): round(one.mean[column.name], 6) for column in self.columns}
            | dict(zip(("seconds", "passes"), cost[one.row], strict=True))
            | {"beyond every control": ", ".join(one.beats), "maps": one.maps}
            for one in self.standings
        ]

    def _row(self, one: Standing) -> dict[str, Any]:
        found: dict[str, Any] = {"row": one.row, "control": one.control, "maps": one.maps}
        found |= dict(zip(("seconds", "passes"), self._cost()[one.row], strict=True))
        for column in self.columns:
            name = column.name
            found |= {name: one.mean[name], f"{name}_low": one.low[name],
                      f"{name}_high": one.high[name], f"{name}_cases": one.cases[name]}  # fmt: skip
            found |= {f"{name}_p": one.p[name]} if column.tested else {}
        return found

    def _cost(self) -> dict[str, tuple[float, float]]:
        """Row -> seconds of all slices, and forward passes a slice."""
        found = zip(*(self.data[name].values.tolist() for name in ("row", "seconds", "passes")),
                    strict=True)  # fmt: skip
        return {row: (seconds, passes) for row, seconds, passes in found}


def plain(column: Column) -> str:
    """The title of a column in a line."""
    return " ".join(column.title.split())
