"""Several runs that differ in their seed, read from the tables they left behind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from matplotlib.figure import Figure
from torch import Tensor

from segtrace.attribution.rules import by_name
from segtrace.checkpoint import loading as checkpoint
from segtrace.errors import InputError
from segtrace.measures.emergence import Answer, Emergence, over_seeds
from segtrace.measures.measure import followed
from segtrace.measures.over_cases import Band, over_runs
from segtrace.names import file_name
from segtrace.progress import over
from segtrace.report.captions import mark_words
from segtrace.report.figures.paper import save_figure
from segtrace.report.figures.seeds import band_figure
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section, Shown, embedded
from segtrace.report.references import sentence as sources
from segtrace.report.tables import save_table
from segtrace.studies.seeds.run_tables import REMEDY, Kinds, seed_of, typed_rows

Place = tuple[str, str, str]
"""(rule, organ, stage)"""
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
    found: dict[Path, None] = {}
    exactly: set[Path] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        exact = Path(pattern)
        anchor = Path(exact.anchor)
        matches = [exact] if exact.exists() else sorted(anchor.glob(str(exact.relative_to(anchor))))
        runs = [path for path in matches if (path / "flow" / "timeline.csv").is_file()]
        if not runs:
            raise InputError(
                f"runs={pattern}: no folder there holds flow/timeline.csv, which train.py writes"
            )
        if exact.exists() and exact.resolve() in exactly:
            raise InputError(f"runs names {pattern} twice; name each run once")
        exactly.add(exact.resolve())
        found |= dict.fromkeys(runs)
    return list(found)


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
    kinds = {**PLACE, "answer": ANSWERS.__getitem__, "epoch": _epoch, "dice_epoch": _epoch,
             "head_epoch": _epoch}  # fmt: skip
    return {
        _place(row): Emergence(row["answer"], row["epoch"], row["dice_epoch"], row["head_epoch"])
        for row in typed_rows(path, kinds)
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


@dataclass(frozen=True)
class Comparison:
    """Mean and range over runs.

    Attributes:
        runs: what each left behind, alike but for their seed.

    Raises:
        InputError: runs of other epochs, stages, rules or organs.
    """

    runs: Sequence[RunTables]

    def __post_init__(self) -> None:
        _check(self.runs)

    @cached_property
    def bands(self) -> dict[tuple[str, Place], Band]:
        """(measure, place) -> mean and range an epoch."""
        return {
            (name, place): over_runs([run.values[name][place] for run in self.runs])
            for name, curves in self.runs[0].values.items()
            if all(name in run.values for run in self.runs)
            for place in curves
        }

    @cached_property
    def dice(self) -> dict[str, Band]:
        """Organ -> validation Dice an epoch."""
        return {organ: over_runs([run.dice[organ] for run in self.runs])
                for organ in self.runs[0].dice}  # fmt: skip

    def write(self, folder: Path) -> None:
        """Table, figures and emergence.

        ``seeds.csv``: a row an epoch and place; ``seeds_emergence.csv``: a row a place;
        ``figures/gain_{rule}_{organ}.png`` and ``.pdf``; ``figures/dice.png`` and ``.pdf``.
        """
        epochs = self.runs[0].epochs
        rows = [row for at, band in self.bands.items() for row in _rows(epochs, band, *at)]
        for organ, band in self.dice.items():
            rows += _rows(epochs, band, "dice", ("", organ, ""))
        save_table(folder / "seeds.csv", rows)
        if all(run.emergences for run in self.runs):
            save_table(folder / "seeds_emergence.csv", _emergence_rows(self.runs))
        for name, figure, caption in self._figures:
            save_figure(folder / "figures", name, figure, caption)

    def show(self, page: Page) -> None:
        """The figures with their captions."""
        label = next(iter(self.dice.values())).label
        words = f"{label}. Every measure, rule, stage and organ: seeds.csv."
        figures = tuple(Shown(embedded(f), caption) for _, f, caption in self._figures)
        page.sections.append(Section("Runs that differ in their seed", (words,), figures))

    @cached_property
    def _figures(self) -> list[tuple[str, Figure, str]]:
        """Name, figure and caption: the headline of every rule and organ, then Dice."""
        return list(self._drawn())

    def _drawn(self) -> Iterator[tuple[str, Figure, str]]:
        label = next(iter(self.dice.values())).label
        first = self.runs[0]
        drawn = Drawn(first.epochs, [run.seed for run in self.runs], first.marks)
        rules = tuple(dict.fromkeys(place[0] for _, place in self.bands))
        pairs = [(rule, organ) for rule in rules for organ in self.dice]
        for rule, organ in over(pairs, f"{label}: drawing {len(pairs)} figures"):
            panels = {place[2]: band for (name, place), band in self.bands.items()
                      if (name, *place[:2]) == (HEADLINE, rule, organ)}  # fmt: skip
            title = f"gain of {rule}, {organ.replace('_', ' ')}"
            name = f"gain_{file_name(rule)}_{file_name(organ, list(self.dice))}"
            yield name, *drawn.of(title, panels, f" {sources(by_name([rule]).get(rule))}")
        yield "dice", *drawn.of("validation Dice", self.dice)


def _curve(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _place(row: Mapping[str, Any]) -> Place:
    return row["rule"], row["organ"], row["stage"]


def _check(runs: Sequence[RunTables]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if run.seed in [other.seed for other in runs if other is not run]:
            raise InputError(
                f"runs={run.folder}: seed {run.seed} twice; runs of one seed are one run"
            )
        if run.epochs != first.epochs:
            raise InputError(
                f"{first.folder} was explained at epochs {list(first.epochs)}, {run.folder} at "
                f"{list(run.epochs)}; compare runs of the same epochs"
            )
        if _places(run) != _places(first):
            raise InputError(
                f"{first.folder} and {run.folder} have different rules, organs or stages; compare "
                "runs that differ in their seed alone"
            )


def _places(run: RunTables) -> tuple[set[Place], set[str], set[Place]]:
    """All that a run has numbers of."""
    return set(run.values[HEADLINE]), set(run.dice), set(run.emergences or run.values[HEADLINE])


def _rows(epochs: Sequence[int], band: Band, measure: str, place: Place) -> list[dict[str, Any]]:
    rule, organ, stage = place
    return [
        {
            "measure": measure,
            "rule": rule,
            "organ": organ,
            "stage": stage,
            "epoch": epoch,
            "mean": mean,
            "low": low,
            "high": high,
            "runs": band.label,
        }
        for epoch, mean, low, high in zip(
            epochs, band.mean.tolist(), band.low.tolist(), band.high.tolist(), strict=True
        )
    ]


def _emergence_rows(runs: Sequence[RunTables]) -> list[dict[str, Any]]:
    return [
        {"rule": rule, "organ": organ, "stage": stage,
         "emergence": over_seeds([run.emergences[rule, organ, stage] for run in runs])}
        for rule, organ, stage in runs[0].emergences
    ]  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """What all figures of a comparison share: epochs, seeds and marks."""

    epochs: Sequence[int]
    seeds: Sequence[int]
    marks: Sequence[str]

    def of(self, title: str, panels: Mapping[str, Band], cited: str = "") -> tuple[Figure, str]:
        """One figure and its caption."""
        label = next(iter(panels.values())).label
        marks = "".join(f" {mark.capitalize()}." for mark in self.marks)
        caption = (
            f"{title[0].upper()}{title[1:]} at epochs {self.epochs[0]} to {self.epochs[-1]} "
            f"(0: untrained); {label}, seeds {', '.join(map(str, self.seeds))}. Line: mean over "
            f"runs; band: lowest to highest.{marks} Research use only, not for diagnosis.{cited}"
        )
        figure = band_figure(panels, self.epochs, title, mark="  ·  ".join(self.marks))
        return figure, caption
