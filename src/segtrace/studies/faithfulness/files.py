"""What faithfulness of the maps leaves behind: tables, figures, and a few lines to read."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from segtrace.causal.faithfulness.removal import WAYS
from segtrace.causal.faithfulness.verdict import ALL, Verdict
from segtrace.causal.patching import carried_rows
from segtrace.labelled import mean, rows
from segtrace.measures import over_cases
from segtrace.measures.over_cases import intervals
from segtrace.progress import counted
from segtrace.report.captions import epoch_words, plain
from segtrace.report.claims.claim import Claim, told
from segtrace.report.claims.rankings import ranking_claim
from segtrace.report.claims.verdicts import Verdicts
from segtrace.report.figures.drawing import save_figure
from segtrace.report.figures.verdicts import ranking_figure, verdict_figure
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.tables import save_table
from segtrace.studies.faithfulness.judging import FaithfulnessResult


def write_result(result: FaithfulnessResult, folder: Path) -> None:
    """Print the result; write ``verdicts.csv``, ``rankings.csv``, ``patching.csv`` and figures.

    A row of ``verdicts.csv`` is a place, stage, rule and organ (``all``: together); of
    ``rankings.csv`` a predictor and organ; of ``patching.csv`` an edge, organ and pair of slices.
    """
    print("\n".join(in_words(result)))
    save_table(folder / "verdicts.csv", [verdict.row() for verdict in result.verdicts])
    if result.rankings:
        save_table(folder / "rankings.csv", [ranking.row() for ranking in result.rankings])
    for name, figure, caption in _figures(result):
        save_figure(folder / "figures", name, figure, caption)
    if result.carried is not None:
        save_table(folder / "patching.csv", carried_rows(result.carried))


def section(result: FaithfulnessResult) -> Section:
    """The result for the page: the verdicts of all organs together, or of the only one."""
    whose = _whose(result)
    judged = [
        {
            "stage": verdict.site,
            "rule": verdict.rule,
            "cells": verdict.where,
            **verdict.by,
            "verdict": verdict.verdict,
        }
        for verdict in result.verdicts
        if verdict.organ == whose
    ]
    organs = "all organs together" if whose == ALL else plain(whose)
    return Section(
        f"Do cuts bear out the maps? {epoch_words(result.epoch).capitalize()}",
        (*_opening(result), *_closing(result)),
        tuple(Shown(embedded(figure), caption) for _, figure, caption in _figures(result)),
        (Table.of(f"Dice lost, {organs}; every organ and interval: verdicts.csv.", judged),),
    )


def _whose(result: FaithfulnessResult) -> str:
    """The organs of which figures and words speak."""
    return Verdicts(result.verdicts, "").whose


def _figures(result: FaithfulnessResult) -> Iterator[tuple[str, Figure, str]]:
    """Name, figure and caption."""
    whose, marks = _whose(result), result.marks
    yield "verdicts", *verdict_figure(result.verdicts, whose, marks)
    if result.rankings:
        yield "rankings", *ranking_figure(result.rankings, whose, marks)


def _opening(result: FaithfulnessResult) -> Iterator[str]:
    yield (
        f"Does cutting bear out the maps? {_about(result)}, one run; "
        + ("beside the untrained network" if result.untrained else "no untrained network at hand")
    )
    for organ, why in result.left_out.items():
        yield f"Left out: {organ}, {why}."


def _about(result: FaithfulnessResult) -> str:
    return f"{counted(result.slices, 'slice')} of {counted(result.cases, 'case')}"


def claims(result: FaithfulnessResult) -> list[Claim]:
    """What is found, or that nothing is: of every rule's maps, and of the rankings."""
    about = _about(result)
    found = Verdicts(result.verdicts, about, result.stages)
    ranked = [ranking_claim(result.rankings, _whose(result), about)] if result.rankings else []
    return [*found.claims(), *ranked]


def _closing(result: FaithfulnessResult) -> Iterator[str]:
    yield from told(claims(result))
    yield f"Numbers are means over cases. {over_cases.COVERAGE}"
    if result.carried is None:
        return
    means = mean(intervals(result.carried["came_along"])[["mean"]], "organ")
    if bool(means["mean"].isnull().all()):  # who gives and who takes is the same at every edge
        yield (
            "What an edge's activation brings along of another case cannot be told: the network "
            "finds too little there of what the other case shows"
        )
        return
    yield "An edge's activation from another case brings along, of what that case shows:"
    edges = rows(means, ("site",), ("site", "mean"))
    yield "  " + ", ".join(f"{edge['site']} {edge['mean']:.0%}" for edge in edges)


def in_words(result: FaithfulnessResult) -> Iterator[str]:
    """The numbers as lines for a terminal, and what is claimed of them."""
    yield from _opening(result)
    whose = _whose(result)
    own = [verdict for verdict in result.verdicts if verdict.organ == whose]
    ways = " ".join(f"{way:>9}" for way in WAYS)
    yield f"{'stage':8} {'rule':14} {'cells':9} {ways}  verdict"
    yield from map(_line, own)
    if result.rankings:
        yield f"{'edges ranked by':32} {'rho':>6} {'95 % t interval':>24} {'p':>6}  verdict"
    for row in (asdict(ranking) for ranking in result.rankings if ranking.organ == whose):
        ends = over_cases.in_words(row["low"], row["high"], row["cases"])
        word = "control" if row["control"] else row["verdict"]
        yield f"{row['predictor']:32} {row['rho']:6.2f} {ends:>24} {row['p']:6.3f}  {word}"
    yield from _closing(result)


def _line(verdict: Verdict) -> str:
    return (
        f"{verdict.site:8} {verdict.rule:14} {verdict.where:9} "
        + " ".join(f"{lost:9.3f}" for lost in verdict.by.values())
        + f"  {verdict.verdict}"
    )
