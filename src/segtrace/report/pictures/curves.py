"""Curves over epochs or steps, each named at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan

import numpy as np
from PIL import Image, ImageDraw

from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.lettering import INK_HEIGHT, Colour, shorten, stamp, text_width
from segtrace.report.pictures.palette import colour_of
from segtrace.report.pictures.sheet import FAINT, INK, PAPER

FINER = 3
"""Lines are drawn so many times as large, and shrunk."""


@dataclass(frozen=True)
class Axes:
    """Where numbers lie in a picture: its left, top, right and bottom, and what they stand for."""

    left: int
    top: int
    right: int
    bottom: int
    epochs: tuple[int, int]
    highest: float
    lowest: float = 0.0

    def at(self, epoch: int, value: float) -> tuple[float, float]:
        """Pixels from the left and from the top."""
        along = (epoch - self.epochs[0]) / max(1, self.epochs[1] - self.epochs[0])
        inside = min(max(value, self.lowest), self.highest)
        up = (inside - self.lowest) / (self.highest - self.lowest)
        return (
            self.left + 5 + along * (self.right - self.left - 10),
            self.bottom - up * (self.bottom - self.top),
        )


def curves_picture(
    curves: Mapping[str, Sequence[float]],
    epochs: Sequence[int],
    title: str,
    size: tuple[int, int],
    highest: float | None = None,
    lowest: float = 0.0,
    along: str = "epoch",
) -> Picture:
    """Lines from 0 up, or from what is said; their last numbers stand beside their names.

    Args:
        curves: name -> a value an epoch, NaN where not known.
        epochs: numbers along the curves, rising.
        title: over the chart.
        size: (height, width) of the picture.
        highest: upper end of the axis; None: the largest value.
        lowest: lower end.
        along: what the numbers along the curves count.
    """
    height, width = size
    ends = {name: _last(values) for name, values in curves.items()}
    words = {name: f"{name} {'–' if isnan(v) else f'{v:.2f}'}" for name, v in ends.items()}
    room = min(2 * width // 3, max(map(text_width, words.values()), default=0) + 14)
    if highest is None:
        highest = max((v for own in curves.values() for v in own if isfinite(v)), default=1.0)
    span = (epochs[0], epochs[-1])
    highest = highest if highest > lowest else lowest + 1.0
    left = max(36, *(text_width(f"{end:.3g}") + 8 for end in (lowest, highest)))
    axes = Axes(left, INK_HEIGHT + 8, width - room, height - INK_HEIGHT - 4, span, highest,
                lowest)  # fmt: skip
    colours = {name: colour_of(number) for number, name in enumerate(curves)}
    sheet = _lines(curves, epochs, axes, colours, size)
    stamp(sheet, title, axes.left, 0, INK, bold=True)
    for value, row in ((lowest, axes.bottom), (axes.highest, axes.top)):
        number = f"{value:.3g}"
        stamp(sheet, number, axes.left - 5 - text_width(number), row - INK_HEIGHT // 2, FAINT)
    for epoch in dict.fromkeys(span):
        centre = axes.at(epoch, lowest)[0] - text_width(str(epoch)) / 2
        stamp(sheet, str(epoch), round(centre), axes.bottom + 3, FAINT)
    middle = (axes.left + axes.right - text_width(along)) // 2
    stamp(sheet, along, middle, axes.bottom + 3, FAINT)
    heights = {name: axes.at(span[1], lowest if isnan(v) else v)[1] for name, v in ends.items()}
    for name, row in _apart(heights, axes).items():
        fitting = shorten(words[name], room - 8)
        stamp(sheet, fitting, axes.right + 6, row - INK_HEIGHT // 2, colours[name])
    return sheet


def _last(values: Sequence[float]) -> float:
    return next((value for value in reversed(values) if isfinite(value)), nan)


def _lines(
    curves: Mapping[str, Sequence[float]],
    epochs: Sequence[int],
    axes: Axes,
    colours: Mapping[str, Colour],
    size: tuple[int, int],
) -> Picture:
    """The frame and the lines, without a word."""
    image = Image.new("RGB", (size[1] * FINER, size[0] * FINER), (PAPER,) * 3)
    pen = ImageDraw.Draw(image)
    box = [FINER * edge for edge in (axes.left, axes.top, axes.right, axes.bottom)]
    pen.line([(box[0], box[1]), (box[0], box[3]), (box[2], box[3])], fill=FAINT, width=FINER)
    for name, values in curves.items():
        known = [(e, v) for e, v in zip(epochs, values, strict=True) if isfinite(v)]
        points = [(FINER * x, FINER * y) for x, y in (axes.at(e, v) for e, v in known)]
        if len(points) > 1:
            pen.line(points, fill=colours[name], width=2 * FINER, joint="curve")
        for x, y in points:
            pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colours[name])
    return np.array(image.resize((size[1], size[0]), Image.Resampling.BOX))


def _apart(heights: Mapping[str, float], axes: Axes) -> dict[str, int]:
    """Rows for the names, in the order of their heights, so that none covers another."""
    names = sorted(heights, key=lambda name: heights[name])
    pitch = min(INK_HEIGHT, (axes.bottom - axes.top + INK_HEIGHT) // max(1, len(names)))
    rows: dict[str, int] = {}
    for i, name in enumerate(names):
        least = rows[names[i - 1]] + pitch if i else axes.top
        most = axes.bottom - pitch * (len(names) - 1 - i)
        rows[name] = max(least, min(round(heights[name]), most))
    return rows
