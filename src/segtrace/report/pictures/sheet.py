"""Lay cells out on a sheet: a title, names above, words below, and the key to the colours."""

from collections.abc import Sequence

import numpy as np

from segtrace.report.pictures.cells import Picture, blend, letter_sides, note_cell, outline, paint
from segtrace.report.pictures.lettering import (
    INK_HEIGHT,
    Colour,
    shorten,
    stamp,
    text_width,
    wrap,
)
from segtrace.report.pictures.strip import Cell
from segtrace.report.pictures.view import View

GAP = 6
MARGIN = 6
PAPER = 255
INK: Colour = (0, 0, 0)
FAINT: Colour = (90, 90, 90)
WARNING: Colour = (190, 30, 30)
BAR_PX = 128
NARROWEST = 600
"""Pixels of a sheet, so that the colour bar and its words fit a line."""


def blank(height: int, width: int) -> Picture:
    """An empty sheet."""
    return np.full((height, width, 3), PAPER, np.uint8)


def paragraph(lines: Sequence[tuple[str, Colour, bool]], width: int) -> Picture:
    """Lines of (text, colour, bold), wrapped to the width, with a margin."""
    inner = width - 2 * MARGIN
    wrapped = [(w, colour, bold) for text, colour, bold in lines for w in wrap(text, inner, bold)]
    sheet = blank(INK_HEIGHT * len(wrapped), width)
    for i, (text, colour, bold) in enumerate(wrapped):
        stamp(sheet, text, MARGIN, i * INK_HEIGHT, colour, bold=bold)
    return sheet


def head(title: str, marks: str, facts: str, width: int) -> Picture:
    """The title with the marks at its right, in red, and the facts; as high as they need."""
    beside = text_width(title, True) + text_width(marks, True) + 20 <= width - 2 * MARGIN
    lines = [(title, INK, True), (facts, INK, False)]
    if not beside:
        lines.insert(1, (marks, WARNING, True))
    sheet = paragraph(lines, width)
    if beside:
        stamp(sheet, marks, width - MARGIN - text_width(marks, True), 0, WARNING, bold=True)
    return np.concatenate([blank(MARGIN, width), sheet, blank(GAP, width)])


def key(
    sentences: Sequence[str],
    bar: tuple[str, str, str],
    contours: Sequence[tuple[str, Colour]],
    width: int,
) -> Picture:
    """How to read colours, contours and numbers: the colour bar first, then a sentence a line.

    Args:
        sentences: in the order of their importance.
        bar: words before the colour bar, at its lower and at its upper end.
        contours: words in the sentences that are underlined, and the colour of each.
        width: of the sheet.
    """
    words, low, high = bar
    line = blank(INK_HEIGHT + 2, width)
    stamp(line, words, MARGIN, 0, INK)
    heat = blend()[np.linspace(0, 255, BAR_PX).astype(int), 0, :3]
    colour_bar(line, 0, heat, low, high, MARGIN + text_width(words) + 10)
    inner = width - 2 * MARGIN
    wrapped = [line for sentence in sentences for line in wrap(sentence, inner)]
    text = paragraph([(words, INK, False) for words in wrapped], width)
    for words, colour in contours:
        _underline(text, wrapped, words, colour)
    return np.concatenate([blank(GAP, width), line, text, blank(MARGIN, width)])


def colour_bar(
    sheet: Picture, top: int, colours: Picture, low: str, high: str, left: int | None = None
) -> None:
    """Draw (n, 3) colours between the words of their ends, in place; at the right edge, or at."""
    if left is None:
        left = sheet.shape[1] - MARGIN - text_width(high) - 7 - len(colours) - text_width(low)
    stamp(sheet, low, left, top, INK)
    first = left + text_width(low) + 3
    sheet[top + 3 : top + 13, first : first + len(colours)] = colours
    stamp(sheet, high, first + len(colours) + 4, top, INK)


def _underline(sheet: Picture, lines: Sequence[str], words: str, colour: Colour) -> None:
    """Draw the contour's own colour under the words that name it."""
    for i, line in enumerate(lines):
        if words in line:
            left = MARGIN + text_width(line[: line.index(words)]) - 1
            bottom = (i + 1) * INK_HEIGHT - 2
            sheet[bottom : bottom + 2, left : left + text_width(words)] = colour


def sheet_width(view: View, across: int) -> int:
    """Pixels of a sheet with so many cells side by side, and with room for its key."""
    return max(NARROWEST, 2 * MARGIN + (view.width + GAP) * across - GAP)


def band(label: str, cells: Sequence[Cell], view: View, across: int) -> Picture:
    """Cells in lines of so many, under a label; names above them, words below.

    What is longer than its place goes on in another line, which all cells then have.
    """
    width = sheet_width(view, across)
    told = wrap(label, width - 2 * MARGIN) if label else []
    names = [wrap(cell.name, view.width, True) for cell in cells]
    grids = [
        _beside_name(name, cell.grid, view.width) for name, cell in zip(names, cells, strict=True)
    ]
    words = [wrap(cell.words, view.width) if cell.picture is not None else [] for cell in cells]
    above = INK_HEIGHT * max(map(len, names))
    pitch = above + view.height + INK_HEIGHT * max(1, *map(len, words)) + GAP
    sheet = blank(INK_HEIGHT * len(told) + pitch * -(-len(cells) // across), width)
    _stamp_lines(sheet, told, MARGIN, 0, FAINT)
    contours: dict[int, np.ndarray] = {}
    for i, cell in enumerate(cells):
        line, column = divmod(i, across)
        left = MARGIN + column * (view.width + GAP)
        top = INK_HEIGHT * len(told) + line * pitch + above
        _stamp_lines(sheet, names[i], left, top - INK_HEIGHT * len(names[i]), INK, bold=True)
        beside = text_width(names[i][-1], True) + 6
        stamp(sheet, grids[i], left + beside, top - INK_HEIGHT, FAINT)
        drawn = sheet[top : top + view.height, left : left + view.width]
        drawn[:] = _with_contours(cell, view, contours)
        _stamp_lines(sheet, words[i], left, top + view.height, INK)
    return sheet


def _beside_name(name: list[str], grid: str, width: int) -> str:
    """The size of the grid, beside the last line of the name; a line more is for what fits not."""
    if grid and text_width(name[-1], True) + 6 + text_width(grid) > width:
        name.append("")
    return shorten(grid, width - text_width(name[-1], True) - 6)


def _stamp_lines(
    sheet: Picture, lines: Sequence[str], left: int, top: int, colour: Colour, *, bold: bool = False
) -> None:
    for i, line in enumerate(lines):
        stamp(sheet, line, left, top + i * INK_HEIGHT, colour, bold=bold)


def _with_contours(cell: Cell, view: View, known: dict[int, np.ndarray]) -> Picture:
    """The cell, with the contours of its masks; those of a mask are worked out once."""
    if cell.picture is None:
        return note_cell(cell.words, view.height, view.width)
    picture = cell.picture.copy()
    for mask, colour, dashed in cell.lines:
        if id(colour) not in known:
            known[id(colour)] = outline(mask, view)
        paint(picture, known[id(colour)], colour, dashed=dashed)
    if cell.sides:
        letter_sides(picture)
    return picture
