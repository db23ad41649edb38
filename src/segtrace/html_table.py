"""A table as HTML, for notebooks: small, without scripts, and safe whatever the names hold."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple


class Cell(NamedTuple):
    """What stands in a cell.

    Attributes:
        text: shown.
        faint: it is no number to lean on.
        share: from 0 to 1, how strongly the cell is tinted.
    """

    text: str
    faint: bool = False
    share: float = 0.0


BOX = "text-align:right;padding:2px 8px;white-space:nowrap"
NAME = "text-align:left;padding:2px 8px;white-space:nowrap"
FAINT = ";opacity:.55"


def table(
    corner: str, columns: Sequence[str], rows: Iterable[tuple[str, str, Sequence[Cell]]]
) -> str:
    """The table; colours are those of the notebook, light or dark.

    Args:
        corner: above the names of the rows.
        columns: their names.
        rows: name, what stands behind it in small, and a cell a column.

    >>> "&lt;b&gt;" in table("stage", ["<b>"], [("enc1", "7 x 7", [Cell("0.82", share=0.8)])])
    True
    """
    head = "".join(f'<th style="{BOX}">{escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th style="{NAME}">{escape(name)} <small style="font-weight:normal{FAINT}">'
        f"{escape(small)}</small></th>{''.join(map(_cell, cells))}</tr>"
        for name, small, cells in rows
    )
    return (
        f'<table><thead><tr><th style="{NAME}">{escape(corner)}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def paragraph(text: str) -> str:
    """A line of words."""
    return f"<p>{escape(text)}</p>"


def picture(address: str, words: str) -> str:
    """An image that is embedded, with the words that stand for it."""
    return f'<img alt="{escape(words)}" style="max-width:100%" src="{escape(address)}">'


def _cell(cell: Cell) -> str:
    # Orange below the notebook's own ink: seen on light and on dark paper.
    tint = f";background:rgba(255,140,0,{cell.share:.2f})" if cell.share > 0 else ""
    return f'<td style="{BOX}{FAINT if cell.faint else ""}{tint}">{escape(cell.text)}</td>'
