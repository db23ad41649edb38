"""One run of several that differ in their seed, read from the tables it left behind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from segtrace.checkpoint import loading as checkpoint
from segtrace.errors import InputError
from segtrace.measures.emergence import Answer, Emergence
from segtrace.measures.measure import followed
from segtrace.report.captions import mark_words
from segtrace.report.claims.emergence import Place
from segtrace.studies.inputs.named_paths import named
from segtrace.studies.seeds.run_tables import REMEDY, Kinds, seed_of, typed_rows

HEADLINE = "gain"
"""The measure that is drawn, which every run must have."""
PLACE: dict[str, Callable[[str], Any]] = {"rule": str, "organ": str, "stage": str}
ANSWERS: dict[str, Answer] = {name: name for name in get_args(Answer)}


@dataclass(frozen=True)
class RunTables:
    """What one run left behind.

    Attributes:
        folder: of the run.
        seed: of its weights, order and dropout.
        epochs: that were explained.
        values: measure -> place -> one number an epoch.
        dice: organ -> validation Dice an epoch.
        emergences: place -> when the stage began to localise; empty for a run that did not end.
        marks: what the slices are not, as far as the run's checkpoints know.
    """

    folder: Path
    seed: int
    epochs: tuple[int, ...]
    values: Mapping[str, Mapping[Place, Tensor]]
    dice: Mapping[str, Tensor]
    emergences: Mapping[Place, Emergence]
    marks: tuple[str, ...] = ()


def folders_of(patterns: str | Sequence[str]) -> list[Path]:
    """The runs that a folder, a glob, or a list of them stands for: those with a timeline.

    Raises:
        InputError: a pattern without a run; a run that is named twice.
    """
    otherwise = "no folder there holds flow/timeline.csv, which train.py writes"
    return named("runs", "run", patterns, _is_run, otherwise)


def _is_run(path: Path) -> bool:
    return (path / "flow" / "timeline.csv").is_file()


def read_run(folder: Path) -> RunTables:
    """The tables of one run.

    Raises:
        InputError: a file that is missing, broken or of something else, named with the line.
    """
    timeline = folder / "flow" / "timeline.csv"
    kinds: Kinds = {**PLACE, "epoch": int, HEADLINE: float}
    rows = typed_rows(timeline, kinds, {one.name: float for one in followed()})
    epochs = tuple(dict.fromkeys(row["epoch"] for row in rows))
    names = [one.name for one in followed() if rows and one.name in rows[0]]
    values: dict[str, dict[Place, dict[int, float]]] = {name: {} for name in names}
    for row in rows:
        for name in names:
            values[name].setdefault(_place(row), {})[row["epoch"]] = row[name]
    curves = values.get(HEADLINE, {}).values()
    if not epochs or any(len(c) < len(epochs) for c in curves) or len(rows) > sum(map(len, curves)):
        raise InputError(
            f"{timeline} does not hold every stage, rule and organ once an epoch; {REMEDY}"
        )
    return RunTables(
        folder,
        seed_of(folder),
        epochs,
        {name: {place: _curve(list(curve.values())) for place, curve in curves.items()}
         for name, curves in values.items()},
        _dice(folder / "flow" / "depth.csv", epochs),
        _emergences(folder / "flow" / "emergence.csv"),
        _marks(folder),
    )  # fmt: skip


def _dice(path: Path, epochs: Sequence[int]) -> dict[str, Tensor]:
    """Organ -> validation Dice an epoch."""
    dice: dict[str, dict[int, float]] = {}
    for row in typed_rows(path, {"organ": str, "epoch": int, "dice": float}):
        dice.setdefault(row["organ"], {})[row["epoch"]] = row["dice"]
    for organ, curve in dice.items():
        if missing := [epoch for epoch in epochs if epoch not in curve]:
            raise InputError(f"{path} has no Dice of {organ} at epoch {missing[0]}; {REMEDY}")
    return {organ: _curve([curve[epoch] for epoch in epochs]) for organ, curve in dice.items()}


def _emergences(path: Path) -> dict[Place, Emergence]:
    """When each stage began to localise; a run that did not end has no such table."""
    if not path.exists() or not path.read_bytes().strip():
        return {}
    kinds = {**PLACE, "answer": ANSWERS.__getitem__, "epoch": _epoch, "dice_epoch": _epoch}
    others = {"head_epoch": _epoch}  # of older runs there is none
    return {
        _place(row): Emergence(
            row["answer"], row["epoch"], row["dice_epoch"], row.get("head_epoch")
        )
        for row in typed_rows(path, kinds, others)
    }


def _epoch(text: str) -> int | None:
    return int(text) if text else None


def _marks(folder: Path) -> tuple[str, ...]:
    """Of the slices that the run was watched on; nothing where no checkpoint is left."""
    paths = sorted((folder / "checkpoints").glob("epoch_*.ckpt"))
    if not paths:
        return ()
    probes = checkpoint.describe(paths[0])["probes"]
    return tuple(mark_words(probes["phantom"], probes["split"] == "train"))


def _curve(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _place(row: Mapping[str, Any]) -> Place:
    return row["rule"], row["organ"], row["stage"]
