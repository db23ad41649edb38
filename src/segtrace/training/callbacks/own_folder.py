"""A folder holds the results of one run: another's are neither mixed with its own nor replaced."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from segtrace.errors import InputError
from segtrace.report.files import check_could_be_written, remove
from segtrace.report.run_folder import run_above
from segtrace.report.tables import read_table
from segtrace.tracking.history import History
from segtrace.tracking.writer import ENDS, PICTURES, TABLES, Writer

TIMELINE, CHARTED = "timeline.csv", "timeline"
WRITTEN = {"callbacks": "folder", "logger": "save_dir"}
"""Group -> the option of its classes that names where they write."""
KEPT = ("last.ckpt", "previous.ckpt", "best.ckpt", "epoch_*.ckpt")
"""Checkpoints of a training."""


def check_places(config: Mapping[str, Any], folder: Path) -> None:
    """Hold the places where a training writes against what lies there, before any work is done.

    Args:
        config: plain values.
        folder: of the run.

    Raises:
        InputError: one lies in the folder of another run, or cannot be written.
    """
    for where, place in _places(config):
        run = run_above(place / "it")
        if run is not None and folder.resolve() not in (run, *place.resolve().parents):
            raise InputError(
                f"{where}={place} is inside the folder of another run, {run}, and nothing is "
                f"overwritten or mixed; name another folder, or leave {where} out"
            )
        check_could_be_written(place)


def check_no_checkpoints(folder: Path) -> None:
    """Refuse a folder with checkpoints, for a training that begins.

    Raises:
        InputError: there are some.
    """
    found = next((path for name in KEPT for path in sorted(folder.glob(name))), None)
    if found is not None:
        raise InputError(
            f"{folder} holds checkpoints of another run ({found.name}), and nothing is overwritten "
            "or mixed; name another folder, or go on with that run: train.py resume=…, or "
            "trainer.fit(…, ckpt_path=…)"
        )


def _places(config: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for group, option in WRITTEN.items():
        for name, node in config[group].items():
            if node is not None and isinstance(node.get(option), str):
                yield f"{group}.{name}.{option}", Path(node[option])


def claim(writer: Writer, history: History, rules: Collection[str]) -> None:
    """Hold what lies in the folder against the run that is about to write there.

    A run that goes on finds its own epochs, or an empty folder; one that begins finds nothing, or
    what was left by one that broke off before its first epoch was finished, which it makes anew.

    Args:
        writer: the folder.
        history: of the run as far as it is known; empty where it begins.
        rules: whose pictures it will draw.

    Raises:
        InputError: another run's results are there.
    """
    found = _results(writer)
    if not found or (history.epochs and _same(writer, history)):
        return
    if history.epochs or not _barely_begun(writer, rules):
        raise InputError(
            f"{writer.folder} holds results of another run "
            f"({found[0].relative_to(writer.folder)}), and nothing is overwritten or mixed; name "
            "another folder (FlowCallback(folder=…)), or move the old one away"
        )
    writer.truncate(dict.fromkeys(rules, -1))
    remove(writer.folder / CHARTED)


def _results(writer: Writer) -> list[Path]:
    names = [writer.folder / name for name in (*TABLES, ENDS, CHARTED)]
    return [path for path in names if path.exists()] + [path for _, path in writer.drawn()]


def _same(writer: Writer, history: History) -> bool:
    """Whether the newest epoch that the run remembers stands in the folder as it remembers it."""
    rows = {_place(row): str(row["gain"]) for row in history.rows()}
    there = {
        _place(row): row["gain"]
        for row in read_table(writer.folder / TIMELINE, torn=True)
        if row["epoch"] == str(history.epochs[-1])
    }
    return there == rows


def _place(row: dict[str, object] | dict[str, str]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in ("rule", "organ", "stage"))


def _barely_begun(writer: Writer, rules: Collection[str]) -> bool:
    """Whether nothing is there but an epoch 0, all of which will be drawn again."""
    drawn = writer.drawn()
    rows = [row for name in TABLES for row in read_table(writer.folder / name, torn=True)]
    epochs = {str(epoch) for epoch, _ in drawn} | {row["epoch"] for row in rows}
    again = {path.name for _, path in drawn} <= {*PICTURES, *rules}
    return epochs <= {"0"} and again and not (writer.folder / ENDS).exists()
