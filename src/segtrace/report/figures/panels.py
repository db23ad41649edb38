"""Panels of a manuscript figure: cells with vector contours and letters, laid out in inches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from segtrace.report.pictures.cells import NOTE_GREY, PREDICTION, TRUTH, blend
from segtrace.report.pictures.lettering import Colour
from segtrace.report.pictures.sheet import WARNING
from segtrace.report.pictures.strip import Cell
from segtrace.report.pictures.view import View, array
from segtrace.report.scene import NO_SIDES_WORDS, SIDES_WORDS

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.linewidth": 0.0,
    "lines.linewidth": 0.8,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,  # read for PDF, too: another one embeds a font again for every sign like †
    "text.parse_math": False,  # a name may hold dollars
    "savefig.dpi": 300,
}
"""The one place for the look of printed figures; fonts stay text in the PDF."""
PAGE_WIDTH = 7.16
"""Inches: two columns of a journal page."""
GAP, MARGIN, LINE = 0.05, 0.06, 0.15
SMALL_PT, LETTER_WIDTH = 5.5, 0.62
"""Size of notes in narrow cells; width of a letter of DejaVu Sans in parts of its size."""


def cell_inches(columns: int) -> float:
    """Side of a cell when so many stand side by side on the page."""
    return (PAGE_WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns


def cell_pixels(columns: int) -> int:
    """Side of a cell in pixels at the resolution of print."""
    return round(cell_inches(columns) * STYLE["savefig.dpi"])


@contextmanager
def print_style() -> Iterator[None]:
    """The style for drawing and for saving; the reader's own settings are back afterwards."""
    with matplotlib.rc_context(STYLE):
        yield


@dataclass(frozen=True)
class Strip:
    """A row of cells under a label; ``named`` says whether the cells' names are printed."""

    label: str
    cells: Sequence[Cell]
    named: bool = True


@dataclass(frozen=True)
class Legend:
    """What the key under a figure says.

    Attributes:
        truth: the ground truth is outlined somewhere.
        sides: the patient's right and left are lettered.
        most: what the brightest colour stands for.
        number: what the number below a cell is.
        what: the evidence is for.
    """

    truth: bool
    sides: bool
    most: str
    number: str
    what: str = "the organ"


def rgb(colour: Colour) -> tuple[float, float, float]:
    """A colour of the pictures as matplotlib takes it."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def _points(words: str, cell: float) -> float:
    """Size of letters with which a line fits a cell of so many inches, or nearly so."""
    usual: float = STYLE["font.size"]
    return usual if len(words) * usual * LETTER_WIDTH / 72 <= cell * 1.2 else SMALL_PT


def _place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes without frame at inches from the upper left corner."""
    page_width, page_height = figure.get_size_inches()
    axes = figure.add_axes(
        (
            left / page_width,
            1 - (top + height) / page_height,
            width / page_width,
            height / page_height,
        )
    )
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _write(figure: Figure, left: float, top: float, text: str, **style: Any) -> None:
    """Text whose upper left corner lies at inches from the page's."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - top / height, text, va="top", **style)


def _draw_note(axes: Axes, words: str, cell: float) -> None:
    """Words in the middle of a grey cell, ``cell`` inches wide."""
    points = SMALL_PT if cell < 0.8 else STYLE["font.size"]
    lines = wrap(words, int(cell * 72 / (points * LETTER_WIDTH)))
    axes.set_facecolor((NOTE_GREY / 255,) * 3)
    _write_white(axes, 0.5, 0.5, "\n".join(lines), ha="center", va="center", fontsize=points)


def _write_white(axes: Axes, x: float, y: float, words: str, **style: Any) -> None:
    """Text at fractions of the cell."""
    axes.text(x, y, words, color="white", transform=axes.transAxes, **style)


def _draw_cell(axes: Axes, cell: Cell, view: View) -> None:
    if cell.picture is None:
        return _draw_note(axes, cell.words, _inches(view)[1])
    axes.imshow(cell.picture, interpolation="none")
    for mask, colour, dashed in cell.lines:
        _draw_outline(axes, array(mask), colour, view, dashed=dashed)
    # A contour asks for room for the whole slice.
    axes.set(xlim=(-0.5, view.width - 0.5), ylim=(view.height - 0.5, -0.5))
    if cell.sides:
        _write_white(axes, 0.03, 0.97, "R", ha="left", va="top")
        _write_white(axes, 0.97, 0.97, "L", ha="right", va="top")
    return None


def _draw_outline(axes: Axes, mask: NDArray, colour: Colour, view: View, *, dashed: bool) -> None:
    """A line around the mask, in the pixels of the view."""
    if not mask.any():
        return
    # A rim of zeros closes the line of an organ that touches the edge of the slice.
    rimmed = np.pad(mask.astype(np.float32), 1)
    y, x = (
        ((np.arange(n + 2) - 0.5) / n - low) / (high - low) * pixels - 0.5
        for n, (low, high), pixels in zip(
            mask.shape, (view.rows, view.columns), (view.height, view.width), strict=True
        )
    )
    style, points = ("dashed" if dashed else "solid"), view.width / 400
    axes.contour(
        x, y, rimmed, levels=[0.5], colors=[rgb(colour)], linestyles=style, linewidths=points
    )


def _inches(view: View) -> tuple[float, float]:
    """Height and width of a cell in print."""
    return view.height / STYLE["savefig.dpi"], view.width / STYLE["savefig.dpi"]


def _draw_legend(figure: Figure, top: float, legend: Legend) -> None:
    """A line each for the contours, the colours and the number."""
    left = MARGIN
    entries = [(PREDICTION, "dashed", "prediction")]
    if legend.truth:
        entries.insert(0, (TRUTH, "solid", "ground truth"))
    for colour, line, words in entries:
        axes = _place(figure, left, top + 0.02, 0.25, 0.08)
        axes.plot([0, 1], [0, 0], color=rgb(colour), linestyle=line)
        axes.set_axis_off()
        _write(figure, left + 0.3, top, words)
        left += 1.15
    _write(figure, left, top, SIDES_WORDS if legend.sides else NO_SIDES_WORDS)
    _write(figure, MARGIN, top + LINE, f"Colour: evidence for {legend.what}, none")
    bar = _place(figure, MARGIN + 2.0, top + LINE + 0.01, 1.0, 0.09)
    bar.imshow(blend()[None, :, 0, :3], aspect="auto", interpolation="none")
    _write(figure, MARGIN + 3.05, top + LINE, legend.most)
    _write(figure, MARGIN, top + 2 * LINE, legend.number)


def lay_out(
    strips: Sequence[Strip], view: View, legend: Legend, mark: str = "", above: float = 0.0
) -> Figure:
    """Strips one under the other, with a key; as wide as a journal page.

    Args:
        strips: all with at most as many cells as the widest.
        view: of all cells; see :func:`cell_pixels`.
        legend: what the key says.
        mark: what the picture is not, printed in red; may be empty.
        above: inches that stay free between the mark and the strips.

    Returns:
        A figure that no pyplot state knows of.
    """
    across = max(len(strip.cells) for strip in strips)
    heights = [
        LINE * (bool(s.label) + s.named + any(c.words for c in s.cells)) + _inches(view)[0] + GAP
        for s in strips
    ]
    top = MARGIN + LINE * bool(mark) + above
    height = top + sum(heights) + 3 * LINE + MARGIN
    figure = Figure(figsize=(PAGE_WIDTH, height), facecolor="white")
    if mark:
        _write(figure, MARGIN, MARGIN, mark, color=rgb(WARNING), weight="bold")
    for strip, height in zip(strips, heights, strict=True):
        _draw_strip(figure, strip, top, view, cell_inches(across) + GAP)
        top += height
    _draw_legend(figure, top + 0.02, legend)
    return figure


def _draw_strip(figure: Figure, strip: Strip, top: float, view: View, pitch: float) -> None:
    if strip.label:
        _write(figure, MARGIN, top, strip.label, weight="bold", fontsize=8)
        top += LINE
    height, width = _inches(view)
    for i, cell in enumerate(strip.cells):
        left, upper = MARGIN + i * pitch, top
        if strip.named:
            words = f"{cell.name}  {cell.grid}" if cell.grid else cell.name
            style = {"ha": "center", "fontsize": _points(words, width)}
            _write(figure, left + width / 2, top + 0.02, words, **style)
            upper += LINE
        _draw_cell(_place(figure, left, upper, width, height), cell, view)
        if cell.picture is not None:
            below, points = upper + height + 0.02, _points(cell.words, width)
            _write(figure, left + width / 2, below, cell.words, ha="center", fontsize=points)
