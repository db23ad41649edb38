"""The necessity table as a picture: stages and edges down, organs across, Dice lost within."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from segtrace.causal.faithfulness.verdict import LEAST_LOSS
from segtrace.report.captions import plain
from segtrace.report.figures.panels import PAGE_WIDTH, print_style
from segtrace.report.figures.route import GREY, RED, SCALE
from segtrace.report.pictures.cells import array
from segtrace.report.scene import RESEARCH_USE

ROW_INCHES = 0.19
VERTEX = "†"
"""Marks a site that every path runs through."""
REPLACED = {
    "channel_mean": "each channel's mean over training slices",
    "mean_map": "the mean map over training slices",
    "zero": "zero",
    "resample": "that of another slice, of another case where there is one; mean over draws",
}
"""What stands in the place of an activation, in words."""


def necessity_figure(
    lost: Tensor | NDArray,
    sites: Sequence[str],
    organs: Sequence[str],
    *,
    dice: Sequence[float],
    vertices: Sequence[bool],
    title: str,
    cut: str,
    marks: Sequence[str] = (),
) -> tuple[Figure, str]:
    """The table, and the paragraph under it.

    Args:
        lost: (site, organ) Dice lost, NaN where not defined.
        sites: names of the rows.
        organs: names of the columns.
        dice: of the whole network, for each organ.
        vertices: which sites every path runs through.
        title: e.g. ``epoch 30``.
        cut: what stood in the place of an activation.
        marks: what the slices are not, e.g. ``PHANTOM``.
    """
    values = array(lost).astype(np.float64)
    names = [f"{site} {VERTEX}" if v else site for site, v in zip(sites, vertices, strict=True)]
    columns = [f"{plain(o)}\nDice {d:.2f}" for o, d in zip(organs, dice, strict=True)]
    with print_style():
        height = ROW_INCHES * len(sites) + 1.1
        figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained", facecolor="white")
        ax = figure.subplots()
        shades = SCALE.with_extremes(under=GREY, bad="white")
        image = ax.imshow(values, cmap=shades, vmin=LEAST_LOSS, vmax=1, aspect="auto")
        ax.set_xticks(range(len(organs)), columns)
        ax.set_yticks(range(len(sites)), names)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        for (s, o), value in np.ndenumerate(values):
            words = "–" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}"
            ink = "white" if value > 0.45 else "black"
            ax.text(o, s, words, ha="center", va="center", color=ink)
        figure.colorbar(image, ax=ax, label="Dice lost when cut", shrink=0.7, aspect=30)
        figure.suptitle(f"Dice lost when a stage or edge is cut, {title}", weight="bold", x=0.01,
                        ha="left")  # fmt: skip
        figure.supxlabel(f"{VERTEX} every path runs through it: total by construction  ·  grey: "
                         f"less than {LEAST_LOSS}  ·  one run", fontsize=6)  # fmt: skip
        if marks:
            figure.text(0.995, 0.995, "  ·  ".join(marks), color=RED, weight="bold", ha="right",
                        va="top")  # fmt: skip
    instead = REPLACED.get(cut, plain(cut))
    caption = (
        f"Dice lost when a stage or an edge (skip_i, up_i: what enters dec_i) is cut, {title}: its "
        f"activation is replaced by {instead}. Mean over the cases that hold the organ. "
        f"{VERTEX}: every path from image to logits runs through it, so its cut is total by "
        "construction. A cut shows what this network relies on, not what a network trained without "
        f"the site would need. One run. {''.join(f'Note: {mark.lower()}. ' for mark in marks)}"
        f"{RESEARCH_USE.capitalize()}."
    )
    return figure, caption
