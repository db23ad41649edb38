"""Methods side by side, drawn: a row a method, a column a measure, controls shaded."""

from collections.abc import Collection, Sequence
from math import isnan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from segtrace.causal.faithfulness.comparison import Column, Standing
from segtrace.measures.over_cases import COVERAGE, method, over_cases
from segtrace.measures.significance import LEAST_CASES, RATE
from segtrace.progress import counted
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

OWN, CONTROL, SHADE = "#0072b2", "0.45", "0.93"
"""Of the Okabe-Ito palette; controls are grey on grey."""
ROW, ROOM = 0.17, 1.1
"""Inches a row takes, and the rest of the figure."""
APART = 0.5
"""Of a column's width, between two numbers below it that are not to touch."""
BESIDE = {
    "shuffled": "x",
    "even": "+",
    "image": "s",
    "prediction": "v",
    "other": "d",
    "untrained": "^",
}
"""Control of a map -> its marker."""
ARROWS = {"less": "← better", "more": "better →", None: ""}


def comparison_figure(
    found: Sequence[Standing], columns: Sequence[Column], marks: Sequence[str] = ()
) -> tuple[Figure, str]:
    """Mean over cases with its interval, of every row in every column that has numbers.

    Args:
        found: what :func:`segtrace.causal.faithfulness.comparison.standings` gives.
        columns: the columns.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure and its caption.
    """
    rows = in_order(found, columns[0])
    shown = [one for one in columns if any(not isnan(row.mean[one.name]) for row in rows)]
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, ROW * len(rows) + ROOM), layout="constrained")
        axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for ax, column in zip(axes, shown, strict=True):
            _draw(ax, rows, column)
        axes[0].set_yticks(
            range(len(rows)), [row.row + ", no map" * (not row.maps) for row in rows]
        )
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        cases = max(row.cases[columns[0].name] for row in rows)
        words = [f"Which maps carry the prediction? one network, {counted(cases, 'case')}", *marks]
        figure.suptitle("  ·  ".join(words), fontsize=8)
    return figure, _caption(shown, cases)


def preserved_figure(
    kept: Tensor,
    names: Sequence[str],
    ways: Sequence[str],
    passed: Collection[str] = (),
    marks: Sequence[str] = (),
) -> tuple[Figure, str]:
    """A row a map: what it preserves of the prediction, and in grey what its controls do.

    Args:
        kept: (M, W, C) part of the prediction that is preserved, in [0, 1], of every case.
        names: of the maps.
        ways: the map, and its controls.
        passed: names of maps that are beyond every control.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure and its caption.
    """
    cases = list(map(str, range(kept.shape[-1])))
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, ROW * len(names) + ROOM), layout="constrained")
        ax, y = figure.subplots(), range(len(names))
        own = over_cases(kept[:, 0], cases, within=(0.0, 1.0))
        ax.hlines(y, own.low, own.high, color=OWN, lw=1.0)
        for at, name, mean in zip(y, names, own.mean.tolist(), strict=True):
            face = OWN if name in passed else "white"
            ax.plot(mean, at, "o", color=OWN, mfc=face, ms=4, label="" if at else "the map")
        for w, way in enumerate(ways[1:], 1):
            ax.plot(kept[:, w].nanmean(-1), y, BESIDE[way], color=CONTROL, ms=3.5, mew=0.8,
                    mfc="none", label=way)  # fmt: skip
        ax.set_yticks(y, names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set(xlim=(-0.02, 1.02), xlabel="part of the prediction that is preserved")
        ax.tick_params(length=0)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=6,
                      frameon=False)  # fmt: skip
        words = ["What do the maps preserve of the prediction?", *marks]
        figure.suptitle("  ·  ".join(words), fontsize=8)
    return figure, (
        "A row a map by which the image is masked; grey: what its controls preserve. Means over "
        f"organs and cases; line: {method(len(cases))}. {COVERAGE} Filled: beyond every control, "
        "tested over cases."
    )


def in_order(found: Sequence[Standing], first: Column) -> list[Standing]:
    """Methods before controls, each the best first in a column."""
    sign = -1 if first.better == "more" else 1

    def key(row: Standing) -> tuple[bool, bool, float]:
        value = row.mean[first.name]
        return row.control, isnan(value), 0.0 if isnan(value) else sign * value

    return sorted(found, key=key)


def _draw(ax: Axes, rows: Sequence[Standing], column: Column) -> None:
    for y, row in enumerate(rows):
        if row.control:
            ax.axhspan(y - 0.5, y + 0.5, color=SHADE, lw=0, zorder=0)
        colour = CONTROL if row.control else OWN
        low, high = row.low[column.name], row.high[column.name]
        ax.plot([low, high], [y, y], color=colour, lw=1.0, solid_capstyle="butt")
        face = colour if column.name in row.beats else "white"
        marker = "d" if row.control else "o"
        ax.plot(row.mean[column.name], y, marker, color=colour, mfc=face, ms=3.5, mew=0.8)
    ax.set_title(column.title, fontsize=6)
    ax.set_xlabel(ARROWS[column.better], fontsize=6)
    ax.tick_params(length=0, labelsize=5.5)
    ax.margins(x=0.15)
    ax.locator_params(axis="x", nbins=3)
    low, high = ax.get_xlim()
    inside = [tick for tick in ax.get_xticks() if low <= tick <= high]
    far = inside[-1] - inside[0] > APART * (high - low)
    ax.set_xticks(inside[:: len(inside) - 1] if far else inside[:1])
    ax.xaxis.set_major_formatter("{x:.2g}")


def _caption(columns: Sequence[Column], cases: int) -> str:
    words = "; ".join(f"{' '.join(one.title.split())}: {one.words}" for one in columns)
    tested = " and ".join(" ".join(one.title.split()) for one in columns if one.tested)
    return (
        f"{words}. Circles: methods, those with the best {' '.join(columns[0].title.split())} "
        "first; diamonds on grey: controls, rows that explain nothing: chance, the CT, the "
        "prediction redrawn, the untrained network. Line: "
        f"{method(cases)} of the mean over organs. {COVERAGE} Filled: beyond every control row in "
        f"this column, tested in {tested} alone, over at least {LEAST_CASES} cases. {RATE} The "
        "other "
        "columns also depend on how much of the image a map shows, or say where it lies: a map "
        "that shows everything keeps everything."
    )
