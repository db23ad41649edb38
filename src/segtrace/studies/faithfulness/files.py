"""What a trial of the maps leaves behind: tables, figures, and a few lines to read."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from segtrace.causal.faithfulness.removal import WAYS
from segtrace.causal.faithfulness.verdict import ALL, Verdict
from segtrace.causal.patching import carried_rows
from segtrace.labelled import mean, rows
from segtrace.measures import over_cases
from segtrace.measures.over_cases import intervals
from segtrace.measures.significance import RATE
from segtrace.report.figures.paper import save_figure
from segtrace.report.figures.verdicts import ranking_figure, verdict_figure
from segtrace.report.tables import save_table
from segtrace.studies.faithfulness.trial import Trial


def write_trial(trial: Trial, folder: Path) -> None:
    """Print the trial; write ``verdicts.csv``, ``rankings.csv``, ``patching.csv`` and figures.

    A row of ``verdicts.csv`` is a place, stage, rule and organ (``all``: together); of
    ``rankings.csv`` a predictor and organ; of ``patching.csv`` an edge, organ and pair of slices.
    """
    print("\n".join(in_words(trial)))
    save_table(folder / "verdicts.csv", [verdict.row() for verdict in trial.verdicts])
    organs = {verdict.organ for verdict in trial.verdicts}
    whose = ALL if ALL in organs else next(iter(organs))
    figure, caption = verdict_figure(trial.verdicts, whose, trial.marks)
    save_figure(folder / "figures", "verdicts", figure, caption)
    if trial.rankings:
        save_table(folder / "rankings.csv", [ranking.row() for ranking in trial.rankings])
        figure, caption = ranking_figure(trial.rankings, whose, trial.marks)
        save_figure(folder / "figures", "rankings", figure, caption)
    if trial.carried is not None:
        save_table(folder / "patching.csv", carried_rows(trial.carried))


def in_words(trial: Trial) -> Iterator[str]:
    """The verdicts as lines for a terminal."""
    yield (
        f"Does cutting bear out the maps? {trial.slices} slices of {trial.cases} cases, one run; "
        + ("beside the untrained network" if trial.untrained else "no untrained network at hand")
    )
    for organ, why in trial.left_out.items():
        yield f"Left out: {organ}, {why}."
    whose = ALL if any(v.organ == ALL for v in trial.verdicts) else trial.verdicts[0].organ
    own = [verdict for verdict in trial.verdicts if verdict.organ == whose]
    ways = " ".join(f"{way:>9}" for way in WAYS)
    yield f"{'stage':8} {'rule':14} {'cells':9} {ways}  verdict"
    yield from map(_line, own)
    yield f"Supported: beyond every control, corrected for these {len(own)} verdicts. {RATE}"
    if trial.rankings:
        yield f"{'edges ranked by':32} {'rho':>6} {'95 % t interval':>24} {'p':>6}  verdict"
    for row in (asdict(ranking) for ranking in trial.rankings if ranking.organ == whose):
        ends = over_cases.in_words(row["low"], row["high"], row["cases"])
        word = "control" if row["best_control"] != row["best_control"] else row["verdict"]
        yield f"{row['predictor']:32} {row['rho']:6.2f} {ends:>24} {row['p']:6.3f}  {word}"
    yield f"Numbers are means over cases. {over_cases.COVERAGE}"
    if trial.carried is not None:
        yield "An edge's activation from another case brings along, of what that case shows:"
        means = mean(intervals(trial.carried["came_along"])[["mean"]], "organ")
        edges = rows(means, ("site",), ("site", "mean"))
        yield "  " + ", ".join(f"{edge['site']} {edge['mean']:.0%}" for edge in edges)


def _line(verdict: Verdict) -> str:
    return (
        f"{verdict.site:8} {verdict.rule:14} {verdict.where:9} "
        + " ".join(f"{lost:9.3f}" for lost in verdict.by.values())
        + f"  {verdict.verdict}"
    )
