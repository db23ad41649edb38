"""Heat maps of numbers: a measure over stages and epochs, leakage between organs."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from segtrace.report.pictures.cells import NOTE_GREY, Picture
from segtrace.report.pictures.lettering import INK_HEIGHT, stamp, text_width
from segtrace.report.pictures.sheet import FAINT, GAP, INK, MARGIN, blank, colour_bar, paragraph
from segtrace.report.pictures.view import array

SCALE = "viridis"
CELL_HEIGHT = 24
WIDEST, NARROWEST, BODY = 48, 5, 1150
"""Pixels of a column, and of all columns together where their number allows it."""
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
UNDEFINED = "grey: undefined"
LEAK_AXES = "rows: evidence for  ·  columns: on the pixels of"


@lru_cache(maxsize=1)
def _palette() -> NDArray[np.uint8]:
    return (colormaps[SCALE](np.linspace(0, 1, 256))[:, :3] * 255 + 0.5).astype(np.uint8)


def _colours(values: NDArray, vmin: float, vmax: float) -> NDArray[np.uint8]:
    """(r, c) numbers as (r, c, 3); what is not finite is grey."""
    level = np.clip((np.nan_to_num(values) - vmin) / (vmax - vmin), 0, 1)
    colours = _palette()[(level * 255 + 0.5).astype(np.uint8)]
    colours[~np.isfinite(values)] = NOTE_GREY
    return colours


def _words(value: float) -> str:
    # Adding zero turns -0.0 into 0.0.
    return f"{round(value, 2) + 0.0:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _print_values(body: Picture, values: NDArray, width: int) -> None:
    """Write each number into its cell, in black or white, if all of them fit."""
    finite = values[np.isfinite(values)]
    if max((text_width(_words(v)) for v in finite), default=0) > width - 2:
        return
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            top, left = i * CELL_HEIGHT, j * width
            light = body[top, left].astype(int) @ (299, 587, 114) > 130_000
            words = _words(float(value))
            inset = (width - text_width(words)) // 2
            ink = (0, 0, 0) if light else (255, 255, 255)
            stamp(body, words, left + inset, top + (CELL_HEIGHT - INK_HEIGHT) // 2, ink)


def _body(values: NDArray, width: int, vmin: float, vmax: float) -> Picture:
    colours = _colours(values, vmin, vmax)
    body = colours.repeat(CELL_HEIGHT, 0).repeat(width, 1)
    _print_values(body, values, width)
    return body


def _row_names(names: Sequence[str], below: str = "") -> Picture:
    """Names at the left of the rows, flush right, and room for the words ``below`` them."""
    widest = max(map(text_width, [*names, below]))
    sheet = blank(CELL_HEIGHT * len(names), MARGIN + widest + GAP)
    for i, name in enumerate(names):
        top = i * CELL_HEIGHT + (CELL_HEIGHT - INK_HEIGHT) // 2
        stamp(sheet, name, MARGIN + widest - text_width(name), top, INK)
    return sheet


def _labelled(numbers: Sequence[int], width: int) -> list[int]:
    """Which columns get their number: multiples of the finest round step that leaves room."""
    room = max(text_width(str(number)) for number in numbers) + 8
    for step in STEPS:
        chosen = [j for j, number in enumerate(numbers) if number % step == 0]
        if all((k - j) * width >= room for j, k in pairwise(chosen)):
            return chosen
    return []


def _ticks(numbers: Sequence[int], width: int) -> Picture:
    """Numbers under the columns; half of the last may reach over the edge."""
    sheet = blank(INK_HEIGHT, width * len(numbers) + 30)
    for j in _labelled(numbers, width):
        words = str(numbers[j])
        stamp(sheet, words, max(0, j * width + (width - text_width(words)) // 2), 0, INK)
    return sheet


def _upright_names(names: Sequence[str], width: int) -> Picture:
    """Names above the columns, to be read from below."""
    tallest = max(map(text_width, names), default=0)
    sheet = blank(tallest + GAP, width * len(names))
    for j, name in enumerate(names):
        left = j * width + (width - INK_HEIGHT) // 2
        stamp(sheet, name, left, tallest - text_width(name), INK, upright=True)
    return sheet


def _aligned(sheet: Picture, left: int, width: int) -> Picture:
    """The sheet moved right by ``left`` on a blank of ``width``."""
    out = blank(sheet.shape[0], width)
    out[:, left : left + sheet.shape[1]] = sheet[:, : width - left]
    return out


def _scale_key(values: NDArray, width: int, vmin: float, vmax: float) -> Picture:
    """The colour bar with its ends; ``≤`` and ``≥`` where numbers lie outside."""
    finite = values[np.isfinite(values)]
    low = ("≤ " if (finite < vmin).any() else "") + f"{vmin:g}"
    high = ("≥ " if (finite > vmax).any() else "") + f"{vmax:g}"
    sheet = blank(INK_HEIGHT + MARGIN, width)
    colour_bar(sheet, 0, _palette()[::2], low, high)
    if not np.isfinite(values).all():
        stamp(sheet, UNDEFINED, MARGIN, 0, FAINT)
    return sheet


def _sheet(caption: str, parts: Sequence[tuple[Picture, int]], key_of: tuple) -> Picture:
    """Caption, parts (each with its left edge) and the key, one under the other."""
    values, vmin, vmax = key_of
    title, *facts = caption.splitlines() or [""]
    need = max(text_width(UNDEFINED) + 280, *(left + p.shape[1] for p, left in parts))
    width = max(need + MARGIN, 460)
    text = paragraph([(title, INK, True), *((fact, INK, False) for fact in facts)], width)
    rows = [_aligned(part, left, width) for part, left in parts]
    key = _scale_key(values, width, vmin, vmax)
    return np.concatenate([blank(MARGIN, width), text, blank(GAP, width), *rows, key])


def timeline_picture(
    values: Tensor | NDArray,
    stages: Sequence[str],
    epochs: Sequence[int],
    caption: str,
    *,
    vmin: float = 0.0,
    vmax: float = 1.0,
) -> Picture:
    """When each stage begins: a measure over stages (down) and epochs (across).

    Args:
        values: (stage, epoch), NaN where undefined (grey).
        stages: names of the rows.
        epochs: numbers of the columns.
        caption: lines; the first is the title.
        vmin: value of the darkest colour, the same for every picture to be compared.
        vmax: value of the lightest colour.

    Returns:
        (H, W, 3); the numbers are printed where the cells are wide enough.
    """
    numbers = array(values).astype(np.float64)
    width = int(np.clip(BODY // max(1, len(epochs)), NARROWEST, WIDEST))
    names = _row_names(stages, "epoch")
    body = np.concatenate([names, _body(numbers, width, vmin, vmax)], 1)
    ticks = _ticks(epochs, width)
    axis = blank(INK_HEIGHT + GAP, names.shape[1] + ticks.shape[1])
    axis[GAP:, names.shape[1] :] = ticks
    stamp(axis, "epoch", names.shape[1] - GAP - text_width("epoch"), GAP, FAINT)
    return _sheet(caption, [(body, 0), (axis, 0)], (numbers, vmin, vmax))


def table_picture(
    matrix: Tensor | NDArray,
    names: Sequence[str],
    caption: str,
    *,
    columns: Sequence[str],
    axes: str = "",
    vmin: float = 0.0,
    vmax: float = 1.0,
) -> Picture:
    """Numbers in coloured cells, with names at the left and above.

    Args:
        matrix: (row, column), NaN where undefined (grey).
        names: of the rows.
        caption: lines; the first is the title.
        columns: their names.
        axes: what rows and columns are.
        vmin: value of the darkest colour.
        vmax: value of the lightest colour.

    Returns:
        (H, W, 3).
    """
    numbers = array(matrix).astype(np.float64)
    rows = _row_names(names)
    top = _upright_names(columns, WIDEST)
    body = np.concatenate([rows, _body(numbers, WIDEST, vmin, vmax)], 1)
    parts = [(top, rows.shape[1]), (body, 0)]
    if axes:
        said = blank(INK_HEIGHT + 2 * GAP, text_width(axes) + MARGIN)
        stamp(said, axes, MARGIN, 0, FAINT)
        parts.insert(0, (said, 0))
    return _sheet(caption, parts, (numbers, vmin, vmax))


def leak_picture(
    matrix: Tensor | NDArray,
    names: Sequence[str],
    caption: str,
    *,
    columns: Sequence[str] | None = None,
    vmin: float = 0.0,
    vmax: float = 1.0,
) -> Picture:
    """Whose evidence (down) lies on whose pixels (across); see :func:`table_picture`.

    Args:
        matrix: (organ, organ) or (organ, column), NaN where undefined (grey).
        names: organs of the rows.
        caption: lines; the first is the title.
        columns: names of the columns if they are others, e.g. with the background.
        vmin: value of the darkest colour.
        vmax: value of the lightest colour.
    """
    return table_picture(
        matrix, names, caption, columns=columns or names, axes=LEAK_AXES, vmin=vmin, vmax=vmax
    )
