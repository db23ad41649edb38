"""A row of the paper's Figure 1: the CT of one slice, and the map of every stage, in order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.measures.measure import table
from segtrace.measures.resize import resized
from segtrace.report.combined import NAME, NOTHING, counted
from segtrace.report.pictures.cells import PREDICTION, TRUTH, Picture, grey_cell, heat_cell
from segtrace.report.pictures.lettering import Colour
from segtrace.report.pictures.view import View, array, view_of
from segtrace.report.record import Record
from segtrace.report.scene import OFF_VIEW, REASONS

ACROSS = 6
"""The most cells that stand side by side; more are broken into lines of equal length."""
Line = tuple[Tensor, Colour, bool]
"""(H, W) mask, colour of its contour, whether it is dashed."""


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a figure, for whichever engine draws it.

    Attributes:
        name: above it: CT, the stage, or the aggregate.
        picture: (height, width, 3) without contours; None for a note.
        words: below it; of a note, inside.
        grid: beside the name: the cells of the stage.
        lines: contours to draw over it, masks in the image's own pixels.
        sides: the patient's right and left are lettered.
    """

    name: str
    picture: Picture | None
    words: str = ""
    grid: str = ""
    lines: Sequence[Line] = ()
    sides: bool = False


@dataclass(frozen=True)
class Place:
    """Which maps: a rule and an organ of a record, on one slice."""

    record: Record
    rule: str
    organ: str
    n: int

    @property
    def at(self) -> tuple[int, int, int]:
        """Along the axes of rules, organs and slices."""
        flow = self.record.flow
        return flow.rules.index(self.rule), flow.organs.index(self.organ), self.n

    @property
    def lines(self) -> list[Line]:
        """Contours of the organ: ground truth, where there is one, and prediction."""
        scene, flow = self.record.scene, self.record.flow
        masks = (
            (scene.there(self.organ), TRUTH, False),
            (scene.found(self.organ, flow.prediction), PREDICTION, True),
        )
        return [(mask[self.n], colour, dash) for mask, colour, dash in masks if mask is not None]


def count(record: Record) -> int:
    """Cells of a strip: the CT, every stage, the map over several stages."""
    return 1 + len(record.flow.stages) + (record.aggregate is not None)


def across(cells: int) -> int:
    """How many of so many cells stand in a line.

    >>> [across(n) for n in (3, 7, 12, 13)]
    [3, 4, 6, 5]
    """
    return -(-cells // -(-cells // ACROSS))


def view(record: Record, slices: Iterable[int], side: int) -> View:
    """The window around the bodies on these slices, at so many pixels along its longer side."""
    return view_of((record.scene.image[n, 0] for n in slices), side)


def shared_maximum(flow: Flow, rule: str, organ: str) -> float:
    """The largest value of all sound maps of an organ, for one colour scale; 0 if there is none."""
    r, o = flow.rules.index(rule), flow.organs.index(organ)
    sound = flow.status[:, r, o] == Status.OK
    peaks = [
        float(flow.maps[stage][r, o][sound[s]].max())
        for s, stage in enumerate(flow.stages)
        if sound[s].any()
    ]
    return max(peaks, default=0.0)


def strip(place: Place, view: View, vmax: float | None = None) -> list[Cell]:
    """The CT, every stage, and the map over several stages where the record has one.

    Args:
        place: whose maps.
        view: what of the slice is shown.
        vmax: the value drawn brightest in all of them; None: each map's own maximum.
    """
    record = place.record
    grey = grey_cell(record.scene.image[place.n, 0], view)
    lines = place.lines
    cells = [
        Cell(
            record.scene.kind,
            grey[..., None].repeat(3, -1),
            lines=lines,
            sides=record.scene.sides_known,
        )
    ]
    cells += [_of_stage(place, stage, view, vmax, grey) for stage in record.flow.stages]
    return cells + ([] if record.aggregate is None else [_of_aggregate(place, view, grey)])


def _of_stage(place: Place, stage: str, view: View, vmax: float | None, grey: np.ndarray) -> Cell:
    """The map of a stage, or why there is none."""
    flow, (r, o, n) = place.record.flow, place.at
    s = flow.stages.index(stage)
    values = array(flow.maps[stage][r, o, n])
    grid = f"{values.shape[0]} × {values.shape[1]}"
    status = Status(int(flow.status[s, r, o, n]))
    if status != Status.OK:
        return Cell(stage, None, REASONS[status.label], grid)
    gain = float(place.record.gain[s, r, o, n])
    if place.record.smooth:
        values = array(resized(flow.maps[stage][r, o, n][None], _image(place.record))[0])
    words = f"gain {'–' if np.isnan(gain) else two(gain)}"
    if vmax is not None:
        words = f"max {decimal(float(values.max()))}"
    top = None if place.record.whole is None else place.record.peak(stage, r, o, n)
    picture = heat_cell(values, place.record.scene.image[n, 0], view, vmax, grey, top)
    return Cell(stage, picture, words + _beside(values, view), grid, place.lines[:1])


def _image(record: Record) -> tuple[int, int]:
    height, width = record.scene.image.shape[-2:]
    return height, width


def _beside(values: np.ndarray, view: View) -> str:
    """That the brightest cell of a map cannot be seen, where it cannot."""
    peak = np.unravel_index(int(values.argmax()), values.shape)
    row, column = ((i + 0.5) / size for i, size in zip(peak, values.shape, strict=True))
    return "" if view.holds(row, column) else f"  {OFF_VIEW}"


def _of_aggregate(place: Place, view: View, grey: np.ndarray) -> Cell:
    aggregate, record = place.record.aggregate, place.record
    if aggregate is None or not aggregate.used[place.at]:
        return Cell(NAME, None, NOTHING)
    values, image = aggregate.map[place.at], record.scene.image[place.n, 0]
    picture = heat_cell(values, image, view, None, grey)
    return Cell(NAME, picture, counted(aggregate, place.at), "", place.lines[:1])


def number_words(*, shared: bool) -> str:
    """What the number below a map is."""
    if shared:
        return "the map's largest value"
    return f"gain, the evidence on the organ ({table()['gain'].words.replace(';', ',')})"


def two(value: float) -> str:
    """With two decimals, and no minus before nothing."""
    return f"{round(value, 2) + 0.0:.2f}"


def decimal(value: float) -> str:
    """A number of any size as people write it, to two digits or two decimals.

    >>> [decimal(x) for x in (0.8249, 12.34, 1234.5, 0.00123, 0.0)]
    ['0.82', '12.3', '1234', '0.0012', '0.00']
    >>> decimal(3.456e-7)
    '3.5 · 10⁻⁷'
    """
    if value <= 0 or value >= 0.1:
        return two(value) if value < 10 else f"{value:.{1 if value < 100 else 0}f}"
    power = int(np.floor(np.log10(value)))
    if power >= -4:
        return f"{value:.{1 - power}f}"
    return f"{value / 10.0**power:.1f} · 10{str(power).translate(SUPERSCRIPT)}"


SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
