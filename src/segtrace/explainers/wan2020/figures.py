"""The tree with the maps at an organ's decisions, and what erased organs cost, as figures."""

from collections.abc import Mapping, Sequence
from textwrap import fill, wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from segtrace.explainers.wan2020.hierarchy import Tree, group_words
from segtrace.explainers.wan2020.maps import decision_name
from segtrace.report.captions import plain, rule_title, titled
from segtrace.report.figures.panels import (
    MARGIN,
    PAGE_WIDTH,
    SMALL_PT,
    Legend,
    Strip,
    cell_pixels,
    lay_out,
    print_style,
    rgb,
)
from segtrace.report.figures.route import GREY, RED, SCALE
from segtrace.report.pictures.strip import Cell, Place, strip, two, view
from segtrace.report.record import Record
from segtrace.report.scene import RESEARCH_USE

TREE_INCHES, WIDTH, NAMES = 2.1, 0.5, 0.75
"""Height of the tree, its part of the page's width, and inches for the names of classes."""
ON, OFF = rgb((213, 94, 0)), "0.6"
"""Colour of the path to an organ, and of the rest."""
LETTERS = 56
"""Of a line beside the tree."""
BESIDE = 9
"""Organs; with more across, what controls take stands below a number, and names are turned."""
ROW_INCHES, ACROSS = 0.22, 130
"""Height of a row of the table; letters of a line below it."""


def tree_figure(
    record: Record,
    tree: Tree,
    names: Mapping[int, str],
    channel: int,
    chances: Mapping[int, tuple[float, float]],
    n: int,
    marks: Sequence[str] = (),
) -> Figure:
    """The tree of all classes, and below it the maps at the decisions that lead to one organ.

    Args:
        record: the maps; its organs are decisions.
        tree: the hierarchy.
        names: channel -> class.
        channel: of the organ.
        chances: number of a decision -> mean probability of the organ's group in its region, by
            the tree and by the network.
        n: the slice.
        marks: what it is not.
    """
    flow, organ, path = record.flow, names[channel], tree.path(channel)
    across = len(path) + 1
    window = view(record, [n], cell_pixels(max(across, 4)))
    strips: list[Strip] = []
    for rule in flow.rules:
        places = [Place(record, rule, decision_name(organ, one), n) for one in path]
        cells = [strip(place, window) for place in places]  # of every decision: the CT, the stages
        for s, stage in enumerate(flow.stages, 1):
            maps = [
                Cell(f"decision {one.number}", own[s].picture, own[s].words, "", own[s].lines)
                for one, own in zip(path, cells, strict=True)
            ]
            label = f"{rule_title(flow, rule)}, {stage}  {cells[0][s].grid}"
            strips.append(Strip(label, [cells[0][0], *maps], named=not strips))
    legend = Legend(
        record.scene.truth is not None,
        record.scene.sides_known,
        "each map's own maximum",
        "Below a map: its gain; 1: as much of it lies on the organ as of the organ's own mask, 0: "
        "as of an even map",
        "the decision",
    )
    with print_style():
        above = TREE_INCHES + 0.1
        figure = lay_out(strips, window, legend, "  ·  ".join(marks).upper(), above)
        _, height = figure.get_size_inches()
        top = MARGIN + 0.15 * bool(marks)
        low, tall = 1 - (top + TREE_INCHES - NAMES) / height, (TREE_INCHES - NAMES) / height
        draw_tree(figure.add_axes((0.06, low, WIDTH, tall)), tree, names, channel)
        lines = [f"SegNBDT  ·  {titled(organ)}: {record.scene.name(n)}"]
        lines += [*_said(tree, names, channel, chances), RESEARCH_USE.capitalize()]
        figure.text(0.08 + WIDTH, 1 - top / height, "\n".join(lines), va="top", linespacing=1.35)
    return figure


def _said(
    tree: Tree, names: Mapping[int, str], channel: int, chances: Mapping[int, tuple[float, float]]
) -> list[str]:
    """The decisions of a path in words."""
    said = []
    for one in tree.path(channel):
        own, other = ([plain(names[c]) for c in side] for side in one.sides(channel))
        by_tree, by_network = chances[one.number]
        chance = f"(tree {two(by_tree)}, network {two(by_network)})"
        words = f"{one.number}: {group_words(own)}, not {group_words(other)} {chance}"
        said += wrap(words, LETTERS, subsequent_indent="    ")
    return said


def draw_tree(ax: Axes, tree: Tree, names: Mapping[int, str], channel: int | None = None) -> None:
    """All classes, joined as the tree joins them; the path to one of them is drawn bold."""
    leaves = tree.leaves
    at: dict[tuple[int, ...], tuple[float, float]] = {
        (c,): (float(x), 0.0) for x, c in enumerate(leaves)
    }
    for one in reversed(tree.decisions):
        (x0, _), (x1, _) = at[one.left], at[one.right]
        at[one.below] = ((x0 + x1) / 2, one.height)
    for one in tree.decisions:
        x, y = at[one.below]
        for group in (one.left, one.right):
            on = channel in group
            x1, y1 = at[group]
            colour, width = (ON, 2.0) if on else (OFF, 0.8)
            ax.plot([x, x1, x1], [y, y, y1], color=colour, lw=width, zorder=1 + on)
        ring = {
            "boxstyle": "circle,pad=0.2",
            "fc": "white",
            "ec": ON if channel in one.below else OFF,
        }
        ax.text(x, y, str(one.number), ha="center", va="center", fontsize=6, bbox=ring, zorder=4)
    ax.set_xticks(range(len(leaves)), [plain(names[c]) for c in leaves], rotation=35, ha="right",
                  rotation_mode="anchor")  # fmt: skip
    for tick, c in zip(ax.get_xticklabels(), leaves, strict=True):
        tick.set_fontweight("bold" if c == channel else "normal")
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.set(
        xlim=(-0.6, len(leaves) - 0.4), ylim=(0, 1.1 * max(one.height for one in tree.decisions))
    )
    ax.patch.set_alpha(0)


def removal_figure(
    lost: NDArray,
    controls: NDArray,
    rows: Sequence[str],
    organs: Sequence[str],
    own: NDArray,
    title: str,
    words: str,
    marks: Sequence[str] = (),
) -> Figure:
    """What every erased organ costs: what is measured down, what is erased across.

    Args:
        lost: (rows, organs) when the organ is erased; NaN where not measured.
        controls: the larger of what the two controls cost.
        rows: names of what is measured.
        organs: that are erased.
        own: (rows, organs) bool, an organ erased itself.
        title: above.
        words: below.
        marks: what the slices are not.
    """
    with print_style():
        narrow = len(organs) > BESIDE
        height = ROW_INCHES * (1 + narrow / 2) * len(rows) + 1.5
        figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained", facecolor="white")
        ax = figure.subplots()
        shown = np.where(own, -1.0, np.clip(lost, 0, 1))
        scale = SCALE.with_extremes(under=GREY, bad="white")
        image = ax.imshow(shown, cmap=scale, vmin=0, vmax=1, aspect="auto")
        turned: dict[str, Any] = (
            {"rotation": 35, "ha": "left", "rotation_mode": "anchor"} if narrow else {}
        )
        ax.set_xticks(range(len(organs)), [plain(organ) for organ in organs], **turned)
        ax.set_yticks(range(len(rows)), rows)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        for (row, column), value in np.ndenumerate(lost):
            ink = "white" if shown[row, column] > 0.55 else "black"
            number = "–" if np.isnan(value) else two(float(value))
            style: dict[str, Any] = {"va": "center", "color": ink}
            own_at, beside_at = ("center", "center") if narrow else ("right", "left")
            up, away = (0.2, 0.0) if narrow else (0.0, 0.06)
            ax.text(column - away, row - up, number, ha=own_at, **style)
            if not np.isnan(control := float(controls[row, column])):
                beside = f"({two(control)})"
                ax.text(column, row + up, beside, ha=beside_at, fontsize=SMALL_PT, **style)
        figure.colorbar(image, ax=ax, shrink=0.8, aspect=30, label="lost")
        figure.suptitle(f"SegNBDT  ·  {title}", weight="bold", x=0.01, ha="left")
        below = fill(f"{words} {RESEARCH_USE.capitalize()}.", ACROSS)
        figure.supxlabel(below, fontsize=7, x=0.01, ha="left")
        if marks:
            figure.text(0.995, 0.995, "  ·  ".join(marks).upper(), color=RED, weight="bold",
                        ha="right", va="top")  # fmt: skip
    return figure
