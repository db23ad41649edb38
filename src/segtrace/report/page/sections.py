"""What a study or an explainer adds to the page: a heading, sentences, figures and tables."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from matplotlib.figure import Figure

from segtrace.report.figures.drawing import on_screen
from segtrace.report.files import small_png
from segtrace.report.pictures.cells import Picture


@dataclass(frozen=True)
class Shown:
    """A picture with its caption.

    Attributes:
        picture: the address of an image that lies in the page itself; see :func:`embedded`.
        caption: what it shows.
    """

    picture: str
    caption: str


@dataclass(frozen=True)
class Table:
    """A few rows of numbers or words with a caption.

    Attributes:
        caption: what a row is, and the file that holds all of them.
        header: names of the columns.
        rows: cells as text.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, caption: str, rows: Sequence[Mapping[str, Any]]) -> "Table":
        """Of records that have the same columns."""
        cells = tuple(tuple(map(_cell, row.values())) for row in rows)
        return cls(caption, tuple(rows[0]) if rows else (), cells)


@dataclass(frozen=True)
class Section:
    """A part of the page, below the maps.

    Attributes:
        heading: of the section.
        sentences: one paragraph each.
        figures: with their captions.
        tables: with theirs.
    """

    heading: str
    sentences: tuple[str, ...] = ()
    figures: tuple[Shown, ...] = ()
    tables: tuple[Table, ...] = ()


def embedded(picture: Figure | Picture) -> str:
    """A figure or an array (H, W, 3), uint8, in few colours, as the address of an image."""
    pixels = on_screen(picture) if isinstance(picture, Figure) else picture
    return f"data:image/png;base64,{b64encode(small_png(pixels)).decode()}"


def _cell(value: Any) -> str:
    """Three digits are enough to read; the file has all."""
    if isinstance(value, float):
        return "" if isnan(value) else f"{value:.3g}"
    return "" if value is None else str(value)
