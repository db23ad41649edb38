"""A folder holds the results of one run: another's are neither mixed with its own nor replaced."""

from collections.abc import Collection
from pathlib import Path

from segtrace.errors import InputError
from segtrace.report.files import remove
from segtrace.report.tables import read_table
from segtrace.tracking.history import History
from segtrace.tracking.sink import ENDS, PICTURES, TABLES, Sink

TIMELINE, CHARTED = "timeline.csv", "timeline"


def claim(sink: Sink, history: History, rules: Collection[str]) -> None:
    """Hold what lies in the folder against the run that is about to write there.

    A run that goes on finds its own epochs, or an empty folder; one that begins finds nothing, or
    what was left by one that broke off before its first epoch was finished, which it makes anew.

    Args:
        sink: the folder.
        history: of the run as far as it is known; empty where it begins.
        rules: whose pictures it will draw.

    Raises:
        InputError: another run's results are there.
    """
    found = _results(sink)
    if not found or (history.epochs and _same(sink, history)):
        return
    if history.epochs or not _barely_begun(sink, rules):
        raise InputError(
            f"{sink.folder} holds results of another run ({found[0].relative_to(sink.folder)}), "
            "and nothing is overwritten or mixed; name another folder, or move the old one away"
        )
    sink.forget(dict.fromkeys(rules, -1))
    remove(sink.folder / CHARTED)


def _results(sink: Sink) -> list[Path]:
    names = [sink.folder / name for name in (*TABLES, ENDS, CHARTED)]
    return [path for path in names if path.exists()] + [path for _, path in sink.drawn()]


def _same(sink: Sink, history: History) -> bool:
    """Whether the newest epoch that the run remembers stands in the folder as it remembers it."""
    rows = {_place(row): str(row["gain"]) for row in history.rows()}
    there = {
        _place(row): row["gain"]
        for row in read_table(sink.folder / TIMELINE)
        if row["epoch"] == str(history.epochs[-1])
    }
    return there == rows


def _place(row: dict[str, object] | dict[str, str]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in ("rule", "organ", "stage"))


def _barely_begun(sink: Sink, rules: Collection[str]) -> bool:
    """Whether nothing is there but an epoch 0, all of which will be drawn again."""
    drawn = sink.drawn()
    rows = [row for name in TABLES for row in read_table(sink.folder / name)]
    epochs = {str(epoch) for epoch, _ in drawn} | {row["epoch"] for row in rows}
    again = {path.name for _, path in drawn} <= {*PICTURES, *rules}
    return epochs <= {"0"} and again and not (sink.folder / ENDS).exists()
