"""The necessity table as a picture: stages and edges down, organs across, Dice lost within."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from segtrace.report.captions import plain
from segtrace.report.claims.routes import LEAST_DICE
from segtrace.report.figures.panels import PAGE_WIDTH, print_style
from segtrace.report.figures.route import GREY, RED, SCALE, interval
from segtrace.report.pictures.strip import two
from segtrace.report.pictures.view import array
from segtrace.report.route_words import Branch
from segtrace.report.scene import RESEARCH_USE

ROW_INCHES = 0.3
SMALL_PT = 6.0
APART = 0.2
"""Dice. A loss that lies so far from the mean over the organs that are found is in bold."""
REPLACED = {
    "channel_mean": "each channel's mean over training slices",
    "mean_map": "the mean map over training slices",
    "zero": "zero",
    "resample": "that of another slice, of another case where there is one; mean over draws",
}
"""What stands in the place of an activation, in words."""
Twins = tuple[str, ...]
"""Sites that are the same tensor: a stage, and the edge that carries all of it up."""


def in_order(
    sites: Sequence[str],
    lost: Tensor | NDArray,
    encoders: Sequence[str] = (),
    found: Sequence[Branch] = (),
) -> list[Twins]:
    """The sites as the U is walked, from the image down and up again; twins together.

    Args:
        sites: names along S.
        lost: (S, O) Dice lost; twins lose the same.
        encoders: names of the encoder stages, from the image down.
        found: the edges; where there are none, the sites stay as they come.
    """
    at = dict(zip(sites, array(lost), strict=True))
    up = {b.source: b.name for b in found if b.source not in encoders[:-1]}
    walked = list(encoders) if found else []
    for stage in dict.fromkeys(b.stage for b in found):
        skips = [b.name for b in found if b.stage == stage and b.source in encoders[:-1]]
        walked += [*skips, stage]
    order: list[Twins] = []
    for name in dict.fromkeys([*walked, *sites]):
        twin = up.get(name, "")
        if name not in at or any(name in group for group in order):
            continue
        same = twin in at and np.allclose(at[name], at[twin], atol=1e-6, equal_nan=True)
        order.append((name, twin) if same else (name,))
    return order


def necessity_figure(
    lost: Tensor | NDArray,
    sites: Sequence[str],
    organs: Sequence[str],
    *,
    dice: Sequence[float],
    vertices: Sequence[bool],
    title: str,
    cut: str,
    ends: tuple[Tensor | NDArray, Tensor | NDArray] | None = None,
    order: Sequence[Twins] | None = None,
    marks: Sequence[str] = (),
) -> tuple[Figure, str]:
    """The table, and the paragraph under it.

    Args:
        lost: (site, organ) Dice lost, NaN where not defined.
        sites: names along the first axis.
        organs: names of the columns.
        dice: of the whole network, for each organ.
        vertices: which sites every path runs through; named below, since their cut is total by
            construction.
        title: e.g. ``epoch 30``.
        cut: what stood in the place of an activation.
        ends: (site, organ) each: ends of the intervals over cases, NaN where there is none.
        order: of the rows, see :func:`in_order`; None: as they come.
        marks: what the slices are not, e.g. ``PHANTOM``.
    """
    groups = order or [(site,) for site in sites]
    known = dict(zip(sites, vertices, strict=True))
    rows = [group for group in groups if not known[group[0]]] or groups
    through = ", ".join(" = ".join(group) for group in groups if group not in rows)
    chosen = [list(sites).index(group[0]) for group in rows]
    values = array(lost).astype(np.float64)[chosen]
    values[:, np.asarray(dice, float) < LEAST_DICE] = np.nan  # nothing that could be lost
    low, high = (array(end)[chosen] for end in ends or (np.full_like(array(lost), np.nan),) * 2)
    with print_style():
        height = ROW_INCHES * len(rows) + 1.5
        figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained", facecolor="white")
        ax = figure.subplots()
        shades = SCALE.with_extremes(bad=GREY)
        image = ax.imshow(values, cmap=shades, vmin=0, vmax=1, aspect="auto")
        columns = [f"{plain(o)}\nDice {d:.2f}" for o, d in zip(organs, dice, strict=True)]
        ax.set_xticks(range(len(organs)), columns)
        ax.set_yticks(range(len(rows)), [" = ".join(group) for group in rows])
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        _print(ax, values, low, high, np.asarray(dice, float))
        figure.colorbar(image, ax=ax, label="Dice lost when cut", shrink=0.7, aspect=30)
        figure.suptitle(f"Dice lost when a stage or edge is cut, {title}", weight="bold", x=0.01,
                        ha="left")  # fmt: skip
        figure.supxlabel(
            f"Small: 95 % t interval over cases  ·  bold: {APART} or more from the mean over these "
            f"organs  ·  grey: not measured, or of a Dice below {LEAST_DICE}  ·  one run\n"
            + (f"Every path runs through {through}: cutting that takes all, and is left out."
               if through else ""),
            fontsize=7, x=0.01, ha="left",
        )  # fmt: skip
        if marks:
            figure.text(0.995, 0.995, "  ·  ".join(marks), color=RED, weight="bold", ha="right",
                        va="top")  # fmt: skip
    instead = REPLACED.get(cut, plain(cut))
    total = (
        f"Every path from image to logits runs through {through}, whose cut is total by "
        "construction and left out. "
    )
    caption = (
        f"Dice lost when a stage or an edge (skip_i, up_i: what enters dec_i) is cut, {title}: its "
        f"activation is replaced by {instead}. Mean over the cases that hold the organ, and its "
        "95 % t interval over cases, where there is one; an organ's Dice is over the same slices; "
        f"one whose Dice is below {LEAST_DICE} has nothing that could be lost, "
        "and is left grey. "
        f"Names joined by = are the same tensor. {total * bool(through)}"
        "A cut shows what this network relies on, not what a network "
        "trained without the site would need. One run. "
        f"{''.join(f'Note: {mark.lower()}. ' for mark in marks)}{RESEARCH_USE.capitalize()}."
    )
    return figure, caption


def _print(ax: Axes, values: NDArray, low: NDArray, high: NDArray, dice: NDArray) -> None:
    """Every loss, and below it its interval; ``all`` where nothing is left to lose."""
    # A row of which nothing is known has no mean.
    counted = np.maximum(np.isfinite(values).sum(1), 1)
    means = np.nansum(values, 1) / counted
    for (s, o), value in np.ndenumerate(values):
        ink = "white" if value > 0.55 else "black"
        weight = "bold" if abs(value - means[s]) >= APART else "normal"
        words = "–" if np.isnan(value) else two(value)
        below = "" if np.isnan(value) else interval(float(low[s, o]), float(high[s, o]))
        if not below and value > 0 and np.isclose(value, dice[o]):
            below = "all"
        raised = 0.12 if below else 0.0
        ax.text(o, s - raised, words, ha="center", va="center", color=ink, weight=weight)
        if below:
            ax.text(o, s + 0.24, below, ha="center", va="center", color=ink, fontsize=SMALL_PT)
