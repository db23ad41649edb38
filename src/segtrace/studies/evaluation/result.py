"""What was scored: its tables, and its sections of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from segtrace.data.cases import TEST12
from segtrace.evaluation.protocols import ABSENT, BOTH, FALSE, MISSING, Protocol
from segtrace.evaluation.published import Taught, published, why_not_comparable
from segtrace.evaluation.summary import Evaluated
from segtrace.progress import counted
from segtrace.report.captions import mark_words, plain
from segtrace.report.files import save_manifest
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.tables import save_table
from segtrace.studies.evaluation.figure import dice_of_cases
from segtrace.studies.inputs.cautions import trained_on
from segtrace.studies.inputs.trained_network import TrainedNetwork

ALL = "all"
"""The part that is every case of the data set."""
TRAINED_ON = "Cases that a network was trained on say nothing about others: see the split"
UNPLACED = "No predictions are written: npz and h5 files hold no affine to lay them by"
SOURCES = (
    "Published numbers are copies of the papers' tables as later repositories print them, which is "
    "where they were read; quote the papers. Their HD95, often printed as mm, is in voxels. A "
    "difference of a point means nothing without seeds: re-runs of one method differ by several."
)


def cases_of(part: str, number: int) -> str:
    """How many of which part, in words."""
    return counted(number, "case" if part == ALL else f"{part} case")


@dataclass(frozen=True)
class Evaluation:
    """The scores of a network on cases.

    Attributes:
        trained: the network.
        evaluated: of every case and organ.
        part: of the split.
        protocol: by which.
        tolerance: of the surface Dice, mm.
        phantom: all images were generated.
        cautions: what must be said of the images.
        seen: those of the cases that the network was trained on.
        placed: predictions were written, of all cases whose files say where they lie.
        within: where the files lie, below the folder of all results.
    """

    trained: TrainedNetwork
    evaluated: Evaluated
    part: str
    protocol: Protocol
    tolerance: float
    phantom: bool
    cautions: Sequence[str]
    seen: Sequence[str] = ()
    placed: bool = True
    within: Path = Path()

    def write(self, folder: Path) -> None:
        """The tables over cases; :func:`~segtrace.studies.evaluation.cases.evaluate` left the rest.

        ``summary.csv`` and ``manifest.json``.
        """
        place = folder / self.within
        save_table(place / "summary.csv", self.summary)
        save_manifest(
            place / "manifest.json",
            {
                **self.trained.facts,
                "part": self.part,
                "cases": [*self.evaluated.scores],
                "protocol": self.protocol.name,
                "tolerance_mm": self.tolerance,
                "cautions": list(self.cautions),
                "differs": self.differs,
            },
        )

    @property
    def summary(self) -> list[dict[str, Any]]:
        """See :meth:`~segtrace.evaluation.summary.Evaluated.summary`."""
        return self.evaluated.summary()

    @property
    def differs(self) -> list[str]:
        """What sets these numbers apart from the published ones, in sentences."""
        trained, split = self.trained, self.trained.split
        taught = Taught(
            phantom=bool((trained.probes or {}).get("phantom")),
            size=getattr(trained.preprocessing, "size", None),
            cases=None if split is None else split.get("train", ()),
        )
        told = why_not_comparable(
            self.protocol.name, self.evaluated.organs, self.phantom, self.evaluated.scores, TEST12,
            taught,
        )  # fmt: skip
        return [f"{trained_on(self.seen)}."] * bool(self.seen) + told

    @property
    def name(self) -> str:
        """Of the network, and of its folder where there are several."""
        networks = takewhile(lambda folder: folder != self.part, self.within.parts)
        return ", ".join([*networks, self.trained.name])

    @property
    def own_row(self) -> dict[str, Any]:
        """This network as a row of ``published.csv``: Dice in %, HD95 in voxels."""
        last = self.summary[-1]
        return {
            "method": f"{self.name}, by {self.protocol.name}",
            "year": "",
            "dice": 100 * last["dice_mean"],
            "hd95": last["hd95_voxels_mean"],
            "source": cases_of(self.part, len(self.evaluated.scores)),
            "note": " ".join(self.differs),
        }

    def show(self, page: Page) -> None:
        """Means and counts, and every case."""
        unknown = self.trained.split is None and self.part in ("train", ALL)
        said = [*self.cautions, *[TRAINED_ON] * unknown]
        before = str(page.about.facts.get("protocol", self.protocol.name))
        protocols = ", ".join(dict.fromkeys([before, self.protocol.name]))
        facts = {**self.trained.facts, "protocol": protocols, "part": self.part}
        cautions = (*page.about.cautions, *(one for one in said if one not in page.about.cautions))
        page.about = replace(page.about, facts=facts, cautions=cautions)
        page.sections.append(self._scores())

    def _scores(self) -> Section:
        *organs, last = self.summary
        cases = cases_of(self.part, len(self.evaluated.scores))
        marks = "".join(f", {mark}" for mark in mark_words(self.phantom, training=False))
        name = f"{self.name}: {cases}, protocol {self.protocol.name}{marks}"
        first = (
            f"Mean Dice {last['dice_mean']:.3f} over {len(organs)} organs. Of all organs in all "
            f"cases {last[BOTH]} are in both truth and prediction, {last[MISSING]} missing (in the "
            f"truth alone), {last[FALSE]} false (in the prediction alone), {last[ABSENT]} rightly "
            "absent."
        )
        predictions = (
            ", with the predictions as NIfTI in the files' own grid and a table of their labels."
            if self.placed
            else f". {UNPLACED}."
        )
        files = (
            "evaluation.csv has a row a case and organ, summary.csv all of the table; both lie in "
            f"{self.within.as_posix()}/{predictions}"
        )
        caption = (
            "Mean and sd over cases, scored at the files' own size. HD95: 95th percentile of the "
            f"distances between surfaces, both ways together; surface Dice at {self.tolerance:g} "
            "mm. Last row: over organs, the sd that of the cases' own means."
        )
        return Section(
            name,
            (first, self.protocol.words, files),
            (Shown(embedded(dice_of_cases(self.evaluated)), "A point a case, the line its mean."),),
            (
                Table.of(caption, [_told(row) for row in self.summary]),
                Table.of("Dice of every case.", self._cases()),
            ),
        )

    def _cases(self) -> list[Mapping[str, Any]]:
        return [
            {"case": case, **{plain(organ): f"{one.dice:.3f}" for organ, one in scores.items()}}
            for case, scores in self.evaluated.scores.items()
        ]


@dataclass(frozen=True)
class Beside:
    """The networks that were scored on the same cases, and the published tables below them.

    Attributes:
        found: of each network.
        within: where ``published.csv`` lies, below the folder of all results.
    """

    found: Sequence[Evaluation]
    within: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Ours, and then the published ones, by their Dice."""
        theirs = [
            {"method": row.method, "year": row.year, "dice": row.dice, "hd95": row.hd95,
             "source": row.source, "note": row.note}
            for row in published()
        ]  # fmt: skip
        return [*(one.own_row for one in self.found), *theirs]

    def write(self, folder: Path) -> None:
        """``published.csv``."""
        save_table(folder / self.within / "published.csv", self.rows)

    def show(self, page: Page) -> None:
        """The table, and first what sets ours apart."""
        ours = [one.own_row["dice"] for one in self.found]
        over = f"Mean Dice over {len(ours)} networks: {mean(ours):.2f} %"
        spread = [f"{over}, sd {stdev(ours):.2f}."] if len(ours) > 1 else []
        sentences = (*spread, *self.found[0].differs, SOURCES)
        shown = [
            {**row, "dice": f"{row['dice']:.2f}", "hd95": _number(row["hd95"])} for row in self.rows
        ]
        caption = "Synapse, 18 training and 12 test cases, 8 organs: Dice in %, HD95 in voxels."
        table = Table.of(caption, shown)
        page.sections.append(Section("Beside the published tables", sentences, (), (table,)))


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the summary, for reading."""
    return {
        "organ": plain(row["organ"]),
        "Dice": f"{row['dice_mean']:.3f} ± {row['dice_sd']:.3f}",
        "HD95 mm": f"{row['hd95_mm_mean']:.1f} ± {row['hd95_mm_sd']:.1f}",
        "HD95 mm, median": f"{row['hd95_mm_median']:.1f}",
        "HD95 voxels": f"{row['hd95_voxels_mean']:.1f}",
        "surface Dice": f"{row['surface_dice_mean']:.3f}",
        **{finding: row[finding] for finding in (BOTH, MISSING, FALSE, ABSENT)},
    }


def _number(value: float) -> str:
    return "" if value != value else f"{value:.2f}"
