"""What cutting says of the maps, drawn: verdicts a stage, rankings a predictor."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from segtrace.causal.faithfulness.ranking import Ranking
from segtrace.causal.faithfulness.verdict import (
    ALL,
    MISSING,
    NOT_SUPPORTED,
    NOTHING,
    SUPPORTED,
    TOO_FEW,
    Verdict,
)
from segtrace.errors import InputError
from segtrace.measures.over_cases import COVERAGE, method
from segtrace.measures.significance import RATE
from segtrace.progress import counted
from segtrace.report.captions import plain, title_of
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

COLOURS = {
    SUPPORTED: "#0072b2",
    NOT_SUPPORTED: "#d55e00",
    NOTHING: "0.55",
    TOO_FEW: "0.55",
    MISSING: "0.55",
}
"""Of the Okabe-Ito palette, to be told apart without red-green vision."""
CONTROLS = (
    ("shifted", "|", "the same pattern, moved in the body"),
    ("random", "x", "as many random cells"),
    ("image", "+", "the image's brightest cells"),
    ("norm", "1", "cells of the largest activation"),
    ("untrained", "d", "the untrained network's map"),
)
PLACES = {"anywhere": "cells anywhere", "outside": "cells outside the organ"}
ROW, ROOM = 0.16, 0.75
"""Inches a row takes, and the rest of a panel."""


def verdict_figure(
    found: Sequence[Verdict], organ: str = ALL, marks: Sequence[str] = ()
) -> tuple[Figure, str]:
    """Dice lost by removing what each rule marks, beside what chance costs: a row a stage.

    Args:
        found: the verdicts.
        organ: whose; ``all`` for the organs together.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure and its caption.

    Raises:
        InputError: no verdict on this organ.
    """
    own = [verdict for verdict in found if verdict.organ == organ]
    if not own:
        raise InputError(f"no verdict on {organ!r} to draw")
    rules, places = ([*dict.fromkeys(getattr(v, name) for v in own)] for name in ("rule", "where"))
    sites = list(dict.fromkeys(verdict.site for verdict in own))
    height = len(places) * (ROW * len(sites) + ROOM) + 0.4
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
        axes = figure.subplots(len(places), len(rules), sharex=True, sharey=True, squeeze=False)
        for row, place in zip(axes, places, strict=True):
            for ax, rule in zip(row, rules, strict=True):
                here = [v for v in own if (v.rule, v.where) == (rule, place)]
                _draw_verdicts(ax, here, sites)
                ax.set_title(f"{title_of(rule)}: {PLACES.get(place, place)}", fontsize=7)
        for ax in axes[-1]:
            ax.set_xlabel("Dice lost")
        known = [control for control in CONTROLS if _known(own, control[0])]
        figure.legend(handles=_legend(known), loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(_title("Does cutting bear out the map?", organ, own[0], marks), fontsize=8)
    return figure, _verdict_caption(own, known)


def _title(question: str, organ: str, one: Verdict | Ranking, marks: Sequence[str]) -> str:
    whose = "all organs" if organ == ALL else plain(organ)
    return "  ·  ".join([f"{question} {whose}, {counted(one.cases, 'case')}, one run", *marks])


def _method(own: Sequence[Verdict] | Sequence[Ranking]) -> str:
    """The interval that the rows have, over the number of cases that they have, or up to it."""
    counts = {one.cases for one in own}
    most = method(max(counts))
    return most if len(counts) == 1 else most.replace("over", "over up to")


def _known(own: Sequence[Verdict], control: str) -> bool:
    return any(v.by[control] == v.by[control] for v in own)


def _draw_verdicts(ax: Axes, own: Sequence[Verdict], sites: Sequence[str]) -> None:
    _plain_axes(ax, sites)
    for verdict in own:
        y, colour = sites.index(verdict.site), COLOURS[verdict.verdict]
        for control, marker, _ in CONTROLS:
            ax.plot(verdict.by[control], y, marker, color="0.45", ms=3.5, mew=0.8)
        low, high = (verdict.by["shifted"] + end for end in verdict.beyond["shifted"])
        ax.plot([low, high], [y, y], color=colour, lw=1.2, solid_capstyle="butt")
        fill = colour if verdict.verdict == SUPPORTED else "white"
        ax.plot(verdict.by["map"], y, "o", color=colour, mfc=fill, ms=4)


def _plain_axes(ax: Axes, rows: Sequence[str]) -> None:
    ax.axvline(0, color="0.8", lw=0.5, zorder=0)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(length=0)
    for y in range(len(rows)):
        ax.axhline(y, color="0.93", lw=0.5, zorder=0)


def _legend(known: Sequence[tuple[str, str, str]]) -> list[Line2D]:
    def dot(verdict: str) -> Line2D:
        fill = COLOURS[verdict] if verdict == SUPPORTED else "white"
        return Line2D([], [], marker="o", color=COLOURS[verdict], mfc=fill, ms=4, label=verdict)

    marks = [
        Line2D([], [], ls="", marker=marker, color="0.45", ms=4, label=words)
        for _, marker, words in known
    ]
    return [dot(SUPPORTED), dot(NOT_SUPPORTED), dot(NOTHING), *marks]


def _verdict_caption(own: Sequence[Verdict], known: Sequence[tuple[str, str, str]]) -> str:
    words = ", ".join(words for _, _, words in known)
    return (
        "Dice lost when the cells that a map marks, positive ones alone, are replaced by the "
        f"channel's mean over training slices (dot), and when as many others are: {words}. "
        f"Line: {_method(own)} of the difference to the moved pattern. Supported: the map costs "
        "more than every control, each with an interval above 0, and p is 0.05 at most, corrected "
        f"for all rules, stages, places and organs. {RATE} Not supported here: it does not. "
        "Nothing to find: neither costs 0.01 Dice, whatever the map shows. Cells in the organ "
        "win easily, hence the second row, in which the organ and its rim are spared. "
        f"{COVERAGE}"
    )


def ranking_figure(
    found: Sequence[Ranking], organ: str = ALL, marks: Sequence[str] = ()
) -> tuple[Figure, str]:
    """How well each predictor ranks the edges by what cutting them costs: a row a predictor.

    Args:
        found: the rankings.
        organ: whose; ``all`` for the organs together.
        marks: what the slices are not.

    Returns:
        The figure and its caption.

    Raises:
        InputError: no ranking of this organ.
    """
    own = [ranking for ranking in found if ranking.organ == organ]
    if not own:
        raise InputError(f"no ranking of {organ!r} to draw")
    with print_style():
        size = (PAGE_WIDTH * 0.7, ROW * 1.3 * len(own) + ROOM)
        figure = Figure(figsize=size, layout="constrained")
        ax = figure.subplots()
        _plain_axes(ax, [title_of(ranking.predictor) for ranking in own])
        for y, ranking in enumerate(own):
            colour = "0.45" if ranking.control else COLOURS[ranking.verdict]
            fill = colour if ranking.verdict == SUPPORTED and not ranking.control else "white"
            ax.plot([ranking.low, ranking.high], [y, y], color=colour, lw=1.2)
            ax.plot(ranking.rho, y, "d" if ranking.control else "o", color=colour, mfc=fill, ms=4)
            ax.text(1.02, y, f"p {ranking.p:.3f}", transform=ax.get_yaxis_transform(), va="center")
        ax.set(xlim=(-1, 1), xlabel="Spearman's ρ with the Dice lost")
        title = _title("Does it rank the edges as cutting does?", organ, own[0], marks)
        figure.suptitle(title, fontsize=8)
    return figure, (
        f"Rank correlation of {own[0].sites} edges' numbers with the Dice lost when the edge "
        "takes another slice's activation, mean over cases, each case predicted by the others; "
        f"line: {_method(own)}; p: by permutation of the edges. "
        "Diamonds: controls. Supported (filled): p of 0.05 at most, and above every control by "
        "sign flips of edges and with an interval of the difference above 0, corrected for all "
        "predictors and organs. "
        "Sizes are sums over cells, as the gradient norm, which their number orders by itself. "
        "A share of the score is no share of Dice, and where evidence lies is not how much "
        "depends on it: a rule that fails here may still show the right places. "
        f"{COVERAGE}"
    )
