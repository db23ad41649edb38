"""Which path into a decoder stage is needed more, and which maps name it: a row a predictor."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from segtrace.attribution.rules import by_name
from segtrace.causal.faithfulness.paths import CONTROLS, LEAST_DIFFERENCE
from segtrace.causal.faithfulness.tally import LEAST_NETWORKS, Tally
from segtrace.measures.over_cases import COVERAGE, in_words, method
from segtrace.report.captions import plain
from segtrace.report.claims.claim import counted
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

BEATS, OPEN, CONTROL = "#0072b2", "#d55e00", "0.45"
"""Of the Okabe-Ito palette, to be told apart without red-green vision."""
ROW, ROOM = 0.24, 0.9
"""Inches a row takes, and the rest of the figure."""


def title_of(predictor: str) -> str:
    """A predictor as people write it: ``Grad-PAM``, ``attribution patching``."""
    rule = by_name([predictor]).get(predictor)
    return plain(predictor) if rule is None else rule.title


def path_figure(found: Sequence[Tally], marks: Sequence[str] = ()) -> tuple[Figure, str]:
    """How often each predictor named the costlier path: predictors above, controls below.

    Args:
        found: what :func:`segtrace.causal.faithfulness.tally.tally` gives.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure and its caption.
    """
    rows = sorted(found, key=lambda one: (one.predictor in CONTROLS, -one.rate))
    with print_style():
        size = (PAGE_WIDTH * 0.7, ROW * len(rows) + ROOM)
        figure = Figure(figsize=size, layout="constrained")
        ax = figure.subplots()
        ax.axvline(0.5, color="0.6", lw=0.8, ls="--", zorder=0)
        for y, one in enumerate(rows):
            colour = CONTROL if one.predictor in CONTROLS else BEATS if one.beats else OPEN
            ax.plot([one.low, one.high], [y, y], color=colour, lw=1.4, solid_capstyle="butt")
            marker = "d" if one.predictor in CONTROLS else "o"
            ax.plot(one.rate, y, marker, color=colour, mfc=colour if one.beats else "white", ms=5)
            counted = f"{one.hits:g} of {one.pairs}"
            ax.text(1.02, y, counted, transform=ax.get_yaxis_transform(), va="center")
        ax.set_yticks(range(len(rows)), [title_of(one.predictor) for one in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.tick_params(length=0)
        ax.set(xlim=(0, 1), xlabel="how often the larger map lies on the path needed more")
        words = [f"Skip or up? {_whose(rows[0])}", *marks]
        figure.suptitle("  ·  ".join(words), fontsize=8)
    return figure, path_caption(found)


def _whose(one: Tally) -> str:
    if one.unit == "cases":
        return f"one network, {counted(one.units, 'case')}"
    return counted(one.units, "network")


def path_caption(found: Sequence[Tally]) -> str:
    """What the figure shows, in sentences."""
    one = found[0]
    line = f" Line: {method(one.units).replace('cases', one.unit)}. {COVERAGE}"
    return (
        "At each decoder stage and for each organ, the edge (skip or up) whose cut costs more "
        f"Dice, where the two differ by more than {LEAST_DIFFERENCE}; and how often a map is "
        "larger there, Σ over cells of |map|. Both edges have one resolution, so that the number "
        f"of cells cannot decide; dashed: chance. Diamonds: controls. Filled: {_rule()}.{line}"
    )


def _rule() -> str:
    return (
        "more often than chance and than every control, in one-sided t tests over at least "
        f"{LEAST_NETWORKS} networks at p 0.05, corrected for the number of maps"
    )


def path_sentence(found: Sequence[Tally]) -> str:
    """The finding, or that there is none, with the numbers it rests on."""
    maps = sorted((t for t in found if t.predictor not in CONTROLS), key=lambda t: -t.rate)
    best = max((t for t in found if t.predictor in CONTROLS), key=lambda t: t.rate, default=None)
    beside = "" if best is None else f"; {title_of(best.predictor)} alone {_counted(best)}"
    of_all = ", ".join(f"{title_of(one.predictor)} {_counted(one)}" for one in maps)
    said = (
        f"Which of skip and up into a decoder stage is needed more is named by {of_all}{beside}; "
        "by chance in one half."
    )
    if maps[0].unit == "cases" or maps[0].units < LEAST_NETWORKS:
        least = f"that takes {LEAST_NETWORKS} networks"
        return f"{said} Counts of {_whose(maps[0])}, and no claim: {least}."
    beating = [title_of(one.predictor) for one in maps if one.beats]
    rest = [title_of(one.predictor) for one in maps if not one.beats]
    if not beating:
        return f"{said} Over {maps[0].units} networks none does so more often than every control."
    told = f"{said} Over {maps[0].units} networks {' and '.join(beating)} "
    told += f"{'does' if len(beating) == 1 else 'do'} so more often than chance and every control"
    return told + (f", {' and '.join(rest)} not." if rest else ".")


def _counted(one: Tally) -> str:
    where = f"in {one.hits:g} of {one.pairs} pairs"
    if one.low != one.low:
        return where
    interval = in_words(one.low, one.high, one.units)
    return f"{where} ({one.rate:.2f}, {interval})"
