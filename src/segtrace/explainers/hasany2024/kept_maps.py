"""The result of MiSuRe: the mask of stage 2 as a map, with what it keeps and on how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from segtrace.attribution.flow import INPUT, Status
from segtrace.explainers.error_picture import Said, image_picture, share_cell
from segtrace.explainers.hasany2024.kept import CONTROLS, Kept
from segtrace.explainers.image_result import ImageResult, Rows, rows_of
from segtrace.report.captions import plain
from segtrace.report.page.sections import Table
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.strip import Cell, Place, strip
from segtrace.report.pictures.view import View, array

READING = (
    "A mask says what is enough and not what is needed, and another may keep as much: read the "
    "Dice and the area before the picture. That masks lie on the organ is so by construction, for "
    "they begin with it"
)
FIRST, LAST = "stage 1, dilated", "stage 2, minimised"
"""Names of the masks in pictures."""
BAR = ("Colour: shown to the network,", "0, hidden", "1, whole")
BELOW = "lost"
"""Beside a Dice that is less than what is to be kept."""
CELLS = (
    "Below a mask: the Dice of what is predicted under it to the prediction, its share of the "
    f"slice; {BELOW}: the Dice is less than what counts as kept"
)
NAMED = 5
"""Organs on slices that a remark names."""
ONLY_WHOLE, NOTHING, LOST, KEPT, LATE, UNPREDICTED = (
    "only the whole slice is enough",
    "not even the whole slice is enough",
    "stage 2 lost it: read stage 1, or give less sparsity",
    "kept",
    "the time was over",
    "not predicted",
)
"""What becomes of an organ on a slice."""


@dataclass(frozen=True)
class KeptMaps(ImageResult):
    """Masks that are enough.

    Attributes:
        kept: of both stages, with what they keep.
    """

    kept: Kept

    def held(self) -> tuple[Mapping[str, Mapping[str, Tensor]], Mapping[str, Rows]]:
        """``kept.npz`` (the masks of stage 1), ``kept.csv`` (a row an organ and slice)."""
        return {"kept.npz": {"stage_1": self._first}}, {"kept.csv": self.rows}

    @cached_property
    def rows(self) -> Rows:
        """A row an organ and slice: Dice and area of both stages, and of the controls; a word."""
        rows = rows_of(self.explained, predicted_px=self.flow.region_px, **self.kept.numbers())
        for row in rows:
            row["outcome"] = self._outcome(row)
        return rows

    def picture(self, organ: str) -> Picture:
        """The slices that hold most of an organ: the CT, and the masks of both stages."""
        o = self.flow.organs.index(organ)
        told = {(row["case"], row["slice"]): row for row in self.rows if row["organ"] == organ}
        scene = self.explained.record.scene

        def cells(place: Place, window: View) -> list[Cell]:
            image, last = strip(place, window)
            row = told[scene.cases[place.n], scene.slices[place.n]]
            if self.flow.status[0, 0, o, place.n] != Status.OK:
                words = row["outcome"] if row["outcome"] != KEPT else last.words
                return [image, Cell(FIRST, None, words), Cell(LAST, None, words)]
            masks = self._first[o, place.n], self.flow.maps[INPUT][0, o, place.n]
            return [image] + [
                Cell(
                    name,
                    share_cell(array(mask), scene.image[place.n, 0], window),
                    self._words(row, stage),
                    "",
                    place.lines[:1],
                )
                for mask, name, stage in zip(
                    masks, (FIRST, LAST), ("stage_1", "stage_2"), strict=True
                )
            ]

        said = Said(self.by.title, self.drawn.words, self.drawn.whole, self.reading)
        asked = (
            "How little of the slice is enough for the same prediction",
            f"hidden by {self._option('baseline')}",
            f"kept from Dice {self._option('keep')}",
        )
        return image_picture(self.explained.record, organ, said, asked, BAR, (CELLS,), cells)

    def said(self) -> Sequence[str]:
        """What colours mean, and the options that matter."""
        return (
            f"Kept from a Dice of {self._option('keep')}; hidden: {self._option('baseline')}.",
            f"Colour: how much of a pixel is shown, from 0 to 1. {CELLS}.",
        )

    def remarks(self) -> Sequence[str]:
        """How it ended where masks are not what they are meant to be."""
        scene, organs = self.explained.record.scene, self.flow.organs
        ends: dict[str, list[str]] = {}
        for i, row in enumerate(self.rows):
            if row["outcome"] not in (KEPT, UNPREDICTED):
                where = f"{plain(row['organ'])} on {scene.name(i // len(organs))}"
                ends.setdefault(row["outcome"], []).append(where)
        said = [f"{end[:1].upper()}{end[1:]}: {_some(where)}." for end, where in ends.items()]
        if not self._controlled:
            said.append(
                "The time was over before the masks were changed or put elsewhere: the last "
                "columns are empty; give more max_seconds, or fewer steps."
            )
        return said

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        found = super().facts
        return found | {"whole": found["whole"] and self._controlled, "controls": self._controlled}

    def table(self) -> Table:
        """Dice and area over the slices."""
        rows = []
        for organ in self.flow.organs:
            mine = [row for row in self.rows if row["organ"] == organ]
            rows.append(
                {"organ": organ, "gain": self.gain(organ)}
                | {plain(name): _mean(mine, name) for name in COLUMNS}
            )
        controls = "; ".join(
            f"{plain(name)}: {words}" for name, words in CONTROLS.items() if name != "dice"
        )
        return Table.of(
            "Means over the slices on which the organ is predicted. Dice to the prediction, under "
            "the masks of both stages; area, of the slice and over the organ's; and the Dice under "
            f"the mask of stage 2 changed ({controls}). Every slice: kept.csv.",
            rows,
        )

    @property
    def _controlled(self) -> bool:
        """Whether the time sufficed for all controls."""
        return all(bool(one.isfinite().all()) for one in self.kept.beside.values())

    def _words(self, row: Mapping[str, Any], stage: str) -> str:
        dice = row[f"{stage}_dice"]
        lost = f", {BELOW}" if dice < self._option("keep") else ""
        return f"Dice {dice:.2f} on {100 * row[f'{stage}_area']:.1f} %{lost}"

    @property
    def _first(self) -> Tensor:
        return self.kept.spread(self.kept.first, 0.0)

    def _option(self, name: str) -> Any:
        return getattr(self.by, name)

    def _outcome(self, row: Mapping[str, Any]) -> str:
        if not row["predicted_px"]:
            return UNPREDICTED
        before, after, keep = row["stage_1_dice"], row["stage_2_dice"], self._option("keep")
        if before != before:
            return LATE
        if before < keep:
            return NOTHING
        if row["stage_1_area"] == 1 and row["predicted_px"] < self._first[0, 0].numel():
            return ONLY_WHOLE
        return LOST if after < keep else KEPT


COLUMNS = (
    "stage_1_dice", "stage_1_area", "stage_2_dice", "stage_2_area", "stage_2_over_organ",
    "organ_alone_dice", "context_elsewhere_dice", "elsewhere_dice",
)  # fmt: skip


def _mean(rows: Rows, name: str) -> float:
    values = [row[name] for row in rows if row[name] == row[name]]
    return sum(values) / len(values) if values else float("nan")


def _some(names: Sequence[str]) -> str:
    """The first of them, and how many more."""
    more = f" and {len(names) - NAMED} more, see kept.csv" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
