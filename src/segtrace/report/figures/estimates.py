"""What one gradient estimates a cut to cost, against what the cut costs: a panel a site."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from segtrace.labelled import Dataset, names_along
from segtrace.report.captions import plain
from segtrace.report.figures.panels import PAGE_WIDTH, print_style
from segtrace.report.pictures.palette import colour_of

ACROSS = 5
"""Panels side by side."""
HEIGHT = 1.45
"""Inches of a row of panels."""


def estimate_figure(beside: Dataset, cut: str, marks: Sequence[str] = ()) -> tuple[Figure, str]:
    """The estimate against the score lost: a dot an organ and slice, a panel a site.

    Args:
        beside: see :func:`segtrace.causal.faithfulness.estimates.beside_cuts`.
        cut: what stood in the place of an activation.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure and its caption.
    """
    sites, organs = (names_along(beside, axis) for axis in ("site", "organ"))
    down, across = ceil(len(sites) / ACROSS), min(ACROSS, len(sites))
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT * down + 0.7), layout="constrained")
        panels = np.atleast_1d(figure.subplots(down, across)).ravel()
        for ax in panels[len(sites) :]:
            ax.set_axis_off()
        for ax, site in zip(panels, sites, strict=False):
            _panel(ax, beside.sel(site=site), site)
        figure.supxlabel("score that the cut costs (per pixel of the organ)", fontsize=7)
        figure.supylabel("estimate from one gradient", fontsize=7)
        dots = [Line2D([], [], marker="o", ls="", ms=3, color=_colour(n))
                for n in range(len(organs))]  # fmt: skip
        figure.legend(dots, [plain(organ) for organ in organs], loc="outside lower center",
                      ncols=min(len(organs), 8), frameon=False)  # fmt: skip
        title = ["What a cut costs: estimated, and real", f"cut: {cut}", *marks]
        figure.suptitle("  ·  ".join(title), fontsize=8)
    return figure, estimate_caption(beside, cut)


def _panel(ax: Axes, site: Dataset, name: str) -> None:
    lost, guess = (site[key].values for key in ("score_lost", "estimate"))  # (O, N)
    known = np.concatenate([lost[np.isfinite(guess)], guess[np.isfinite(guess)], [0.0]])
    low, high = np.nanmin(known), np.nanmax(known)
    room = 0.06 * (high - low or 1.0)
    ends = (low - room, high + room)
    ax.plot(ends, ends, color="0.6", lw=0.8, ls="--", zorder=0)
    for o, (x, y) in enumerate(zip(lost, guess, strict=True)):
        ax.plot(x, y, "o", ms=2.2, mew=0, color=_colour(o))
    ax.set(xlim=ends, ylim=ends)
    ax.locator_params(nbins=3)
    ax.tick_params(labelsize=5.5, length=2, width=0.5)
    for side in ("left", "bottom"):
        ax.spines[side].set_linewidth(0.5)
    vertex = " ◆" if bool(site["cut_vertex"]) else ""
    off = f"{float(site['rmse']):.2g} of {float(site['size']):.2g}"
    ax.set_title(f"{name}{vertex}\noff by {off}", fontsize=6.5)


def _colour(organ: int) -> tuple[float, float, float]:
    red, green, blue = colour_of(organ)
    return red / 255, green / 255, blue / 255


def estimate_caption(beside: Dataset, cut: str) -> str:
    """What the figure shows, in sentences."""
    vertices = " ◆: every path runs through it." if beside["cut_vertex"].any() else ""
    return (
        "Attribution patching against the cut that it estimates: a dot an organ and slice, a panel "
        f"a site, each on its own scale; dashed: equal. Cut: {cut}. Numbers are the score lost, a "
        "mean over the organ's pixels. Off by: root mean square of estimate less real, of the root "
        f"mean square of the real loss, which is what an estimate of 0 is off by.{vertices} "
        "Sources in references.bib: nanda2023, syed2023, kramar2024."
    )
