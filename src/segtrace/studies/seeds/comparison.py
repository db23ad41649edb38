"""Several runs that differ in their seed: mean and range, and what they all show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from segtrace.attribution.rules import by_name
from segtrace.errors import InputError
from segtrace.measures.emergence import echo, rise
from segtrace.measures.over_cases import Band, over_runs
from segtrace.names import file_name
from segtrace.progress import counted, over
from segtrace.report.captions import plain, title_of
from segtrace.report.claims.claim import told
from segtrace.report.claims.emergence import Emergences, Place, when
from segtrace.report.figures.drawing import save_figure
from segtrace.report.figures.seeds import band_figure
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section, Shown, embedded
from segtrace.report.references import sentence as sources
from segtrace.report.scene import FINAL
from segtrace.report.tables import save_table
from segtrace.studies.seeds.runs import HEADLINE, RunTables


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
        if self.emergences is not None:
            save_table(folder / "seeds_emergence.csv", _emergence_rows(self.emergences))
        for name, figure, caption in self._figures:
            save_figure(folder / "figures", name, figure, caption)
        print("\n".join(self._told()))

    @cached_property
    def emergences(self) -> Emergences | None:
        """When stages began to localise; ``None`` where a run did not end."""
        if not all(run.emergences for run in self.runs):
            return None
        found = {place: [run.emergences[place] for run in self.runs]
                 for place in self.runs[0].emergences}  # fmt: skip
        rises = [[rise(run.values[HEADLINE][place].tolist()) for run in self.runs]
                 for place in found]  # fmt: skip
        dice = {organ: float(band.mean[-1]) for organ, band in self.dice.items()}
        *_, last = [place[2] for place in found if place[2] != FINAL]
        echoes = {place for run in self.runs for place, mass in run.values.get("mass", {}).items()
                  if bool(echo(mass[0]))}  # fmt: skip
        left_out = frozenset({place for place in found if place[2] in (last, FINAL)} | echoes)
        return Emergences(found, torch.tensor(rises, dtype=torch.float64), dice, left_out)

    def _told(self) -> list[str]:
        """What is claimed of the runs, or seen."""
        return [] if self.emergences is None else told(self.emergences.claims())

    def show(self, page: Page) -> None:
        """The figures with their captions."""
        label = next(iter(self.dice.values())).label
        words = f"{label}. Every measure, rule, stage and organ: seeds.csv."
        figures = tuple(Shown(embedded(f), caption) for _, f, caption in self._figures)
        page.sections.append(
            Section("Runs that differ in their seed", (words, *self._told()), figures)
        )

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
        for rule, organ in over(pairs, f"{label}: drawing {counted(len(pairs), 'figure')}"):
            panels = {place[2]: band for (name, place), band in self.bands.items()
                      if (name, *place[:2]) == (HEADLINE, rule, organ)}  # fmt: skip
            title = f"gain of {title_of(rule)}, {plain(organ)}"
            name = f"gain_{file_name(rule)}_{file_name(organ, list(self.dice))}"
            yield name, *drawn.of(title, panels, f" {sources(by_name([rule]).get(rule))}")
        yield "dice", *drawn.of("validation Dice", self.dice)


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


def _emergence_rows(found: Emergences) -> list[dict[str, Any]]:
    """A place a row: when, and by how much its gain rose over runs; p is corrected for all."""
    numbers = torch.stack([found.over.mean, found.over.low, found.over.high, found.p], 1)
    names = ("rise", "rise_low", "rise_high", "p")
    return [
        {**dict(zip(("rule", "organ", "stage"), place, strict=True)), "emergence": when(runs),
         **dict(zip(names, values, strict=True)), "passed": found.passed[place]}
        for (place, runs), values in zip(found.found.items(), numbers.tolist(), strict=True)
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
