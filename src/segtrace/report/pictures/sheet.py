"""Lay cells out on a sheet: a title, names above, words below, and the key to the colours."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segtrace.report.pictures.cells import PREDICTION, TRUTH, Picture, blend
from segtrace.report.pictures.lettering import (
    INK_HEIGHT,
    Colour,
    shorten,
    stamp,
    text_width,
    wrap,
)
from segtrace.report.scene import PREDICTION_LINE, TRUTH_LINE, Caption

GAP = 4
MARGIN = 6
PAPER = 255
INK: Colour = (0, 0, 0)
FAINT: Colour = (90, 90, 90)
WARNING: Colour = (190, 30, 30)
BAR_PX = 128


@dataclass(frozen=True)
class Column:
    """A column of a sheet: its name, its cells and the words below each."""

    name: str
    cells: Sequence[Picture]
    words: Sequence[str]


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


def head(caption: Caption, width: int) -> Picture:
    """The title with the marks at its right, and the facts; as high as they need."""
    title, marks = caption.title, caption.marks
    beside = text_width(title, True) + text_width(marks, True) + 20 <= width - 2 * MARGIN
    lines = [(title, INK, True), (caption.facts, INK, False)]
    if not beside:
        lines.insert(1, (marks, WARNING, True))
    sheet = paragraph(lines, width)
    if beside:
        stamp(sheet, marks, width - MARGIN - text_width(marks, True), 0, WARNING, bold=True)
    return np.concatenate([blank(MARGIN, width), sheet, blank(GAP, width)])


def key(caption: Caption, width: int) -> Picture:
    """How to read contours, sides and colours; the colour bar stands in the last line."""
    lines = wrap(caption.key, width - 2 * MARGIN)
    full = text_width(lines[-1]) + BAR_PX + text_width(caption.brightest) + 50 > width - 2 * MARGIN
    sheet = np.concatenate(
        [
            paragraph([(caption.key, INK, False)], width),
            blank(INK_HEIGHT * full + MARGIN, width),
        ]
    )
    _underline(sheet, lines, TRUTH_LINE, TRUTH)
    _underline(sheet, lines, PREDICTION_LINE, PREDICTION)
    heat = blend()[np.linspace(0, 255, BAR_PX).astype(int), 0, :3]
    colour_bar(sheet, sheet.shape[0] - MARGIN - INK_HEIGHT, heat, "0", caption.brightest)
    return sheet


def colour_bar(sheet: Picture, top: int, colours: Picture, low: str, high: str) -> None:
    """Draw (n, 3) colours between the words of their ends, at the right edge, in place."""
    right = sheet.shape[1] - MARGIN - text_width(high)
    left = right - 4 - len(colours)
    stamp(sheet, high, right, top, INK)
    sheet[top + 3 : top + 13, left : left + len(colours)] = colours
    stamp(sheet, low, left - text_width(low) - 3, top, INK)


def _underline(sheet: Picture, lines: Sequence[str], words: str, colour: Colour) -> None:
    """Draw the contour's own colour under the words that name it."""
    for i, line in enumerate(lines):
        if words in line:
            left = MARGIN + text_width(line[: line.index(words)]) - 1
            bottom = (i + 1) * INK_HEIGHT - 2
            sheet[bottom : bottom + 2, left : left + text_width(words)] = colour


def grid(columns: Sequence[Column], rows: Sequence[str], cell: int) -> Picture:
    """Columns of square cells, with a line of words above each row and one below each cell."""
    pitch, height = cell + GAP, 2 * INK_HEIGHT + cell + GAP
    sheet = blank(INK_HEIGHT + height * len(rows), 2 * MARGIN + pitch * len(columns) - GAP)
    for i, words in enumerate(rows):
        fitting = shorten(words, sheet.shape[1] - 2 * MARGIN)
        stamp(sheet, fitting, MARGIN, INK_HEIGHT + i * height, FAINT)
    for j, column in enumerate(columns):
        left = MARGIN + j * pitch
        stamp(sheet, shorten(column.name, cell, True), left, 0, INK, bold=True)
        for i, (picture, words) in enumerate(zip(column.cells, column.words, strict=True)):
            top = 2 * INK_HEIGHT + i * height
            sheet[top : top + cell, left : left + cell] = picture
            stamp(sheet, shorten(words, cell), left, top + cell, INK)
    return sheet
