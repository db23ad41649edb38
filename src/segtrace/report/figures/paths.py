"""Which path into a decoder stage is needed more, and which maps name it: a row a predictor."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from segtrace.causal.faithfulness.paths import CONTROLS, LEAST_DIFFERENCE
from segtrace.causal.faithfulness.tally import Tally
from segtrace.measures.over_cases import COVERAGE, method
from segtrace.measures.significance import LEAST_CASES
from segtrace.report.captions import title_of
from segtrace.report.claims.paths import whose
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

BEATS, OPEN, CONTROL = "#0072b2", "#d55e00", "0.45"
"""Of the Okabe-Ito palette, to be told apart without red-green vision."""
ROW, ROOM = 0.24, 0.9
"""Inches a row takes, and the rest of the figure."""


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
        words = [f"Skip or up? {whose(rows[0])}", *marks]
        figure.suptitle("  ·  ".join(words), fontsize=8)
    return figure, path_caption(found)


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
        "more often than chance and than every control, by sign flips of at least "
        f"{LEAST_CASES} networks at p 0.05, corrected for the number of maps"
    )
