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

from segtrace.report.pictures.cells import NOTE_GREY, PREDICTION, TRUTH, Picture, blend
from segtrace.report.pictures.lettering import Colour
from segtrace.report.pictures.sheet import WARNING
from segtrace.report.scene import NO_SIDES_WORDS, SIDES_WORDS

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.linewidth": 0.0,
    "lines.linewidth": 0.8,
    "pdf.fonttype": 42,
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
class Panel:
    """One cell: a picture with contours, or a note instead of it.

    Attributes:
        name: above the cell.
        picture: (S, S, 3), or None for a note.
        words: below the cell, or in the middle of a note.
        outlines: (mask, colour, dashed) to draw over it, in the image's own pixels.
        sides: write the patient's right and left.
    """

    name: str
    picture: Picture | None
    words: str = ""
    outlines: Sequence[tuple[NDArray, Colour, bool]] = ()
    sides: bool = False


@dataclass(frozen=True)
class Strip:
    """A row of panels under a label; ``named`` says whether the panels' names are printed."""

    label: str
    panels: Sequence[Panel]
    named: bool = True


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
    """Words in the middle of a grey cell of ``cell`` inches."""
    points = SMALL_PT if cell < 0.8 else STYLE["font.size"]
    lines = wrap(words, int(cell * 72 / (points * LETTER_WIDTH)))
    axes.set_facecolor((NOTE_GREY / 255,) * 3)
    _write_white(axes, 0.5, 0.5, "\n".join(lines), ha="center", va="center", fontsize=points)


def _write_white(axes: Axes, x: float, y: float, words: str, **style: Any) -> None:
    """Text at fractions of the cell."""
    axes.text(x, y, words, color="white", transform=axes.transAxes, **style)


def _draw_panel(axes: Axes, panel: Panel, cell: float) -> None:
    if panel.picture is None:
        return _draw_note(axes, panel.words, cell)
    axes.imshow(panel.picture, interpolation="none")
    for mask, colour, dashed in panel.outlines:
        _draw_outline(axes, mask, colour, panel.picture.shape[0], dashed=dashed)
    if panel.sides:
        _write_white(axes, 0.03, 0.97, "R", ha="left", va="top")
        _write_white(axes, 0.97, 0.97, "L", ha="right", va="top")
    return None


def _draw_outline(axes: Axes, mask: NDArray, colour: Colour, side: int, *, dashed: bool) -> None:
    """A line around the mask, in the coordinates of a picture of ``side`` pixels."""
    if not mask.any():
        return
    scale = side / max(mask.shape)
    # A rim of zeros closes the line of an organ that touches the edge of the slice.
    rimmed = np.pad(mask.astype(np.float32), 1)
    y, x = ((np.arange(n + 2) - 0.5) * scale + (side - n * scale) / 2 - 0.5 for n in mask.shape)
    style = "dashed" if dashed else "solid"
    axes.contour(
        x, y, rimmed, levels=[0.5], colors=[rgb(colour)], linestyles=style, linewidths=side / 400
    )


def _draw_legend(figure: Figure, top: float, *, truth: bool, sides: bool, bar_words: str) -> None:
    """The key to the contours at the left and the colour bar at the right of one line."""
    left = MARGIN
    entries = [(PREDICTION, "dashed", "prediction")]
    if truth:
        entries.insert(0, (TRUTH, "solid", "ground truth"))
    for colour, line, words in entries:
        axes = _place(figure, left, top + 0.02, 0.25, 0.08)
        axes.plot([0, 1], [0, 0], color=rgb(colour), linestyle=line)
        axes.set_axis_off()
        _write(figure, left + 0.3, top, words)
        left += 1.15
    _write(figure, left, top, SIDES_WORDS if sides else NO_SIDES_WORDS)
    bar = _place(figure, PAGE_WIDTH - MARGIN - 2.1, top + 0.01, 1.0, 0.09)
    bar.imshow(blend()[None, :, 0, :3], aspect="auto", interpolation="none")
    _write(figure, PAGE_WIDTH - MARGIN - 2.2, top, "0", ha="right")
    _write(figure, PAGE_WIDTH - MARGIN - 1.05, top, bar_words)


def lay_out(strips: Sequence[Strip], *, truth: bool, bar_words: str, mark: str = "") -> Figure:
    """Strips one under the other, with a key; as wide as a journal page.

    Args:
        strips: all with at most as many panels as the widest.
        truth: the ground truth is outlined somewhere.
        bar_words: what the brightest colour stands for.
        mark: what the picture is not, printed in red; may be empty.

    Returns:
        A figure that no pyplot state knows of.
    """
    columns = max(len(strip.panels) for strip in strips)
    cell = cell_inches(columns)
    heights = [
        LINE * (bool(s.label) + s.named + any(p.words for p in s.panels)) + cell + GAP
        for s in strips
    ]
    top = MARGIN + LINE * bool(mark)
    figure = Figure(figsize=(PAGE_WIDTH, top + sum(heights) + LINE + MARGIN), facecolor="white")
    if mark:
        _write(figure, MARGIN, MARGIN, mark, color=rgb(WARNING), weight="bold")
    for strip, height in zip(strips, heights, strict=True):
        _draw_strip(figure, strip, top, cell)
        top += height
    sides = any(panel.sides for strip in strips for panel in strip.panels)
    _draw_legend(figure, top + 0.02, truth=truth, sides=sides, bar_words=bar_words)
    return figure


def _draw_strip(figure: Figure, strip: Strip, top: float, cell: float) -> None:
    if strip.label:
        _write(figure, MARGIN, top, strip.label, weight="bold", fontsize=8)
        top += LINE
    for i, panel in enumerate(strip.panels):
        left, upper = MARGIN + i * (cell + GAP), top
        if strip.named:
            _write(figure, left + cell / 2, top + 0.02, panel.name, ha="center")
            upper += LINE
        _draw_panel(_place(figure, left, upper, cell, cell), panel, cell)
        if panel.picture is not None:
            below, points = upper + cell + 0.02, _points(panel.words, cell)
            _write(figure, left + cell / 2, below, panel.words, ha="center", fontsize=points)
