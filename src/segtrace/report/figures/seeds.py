"""Curves over epochs of several runs that differ in their seed: mean and range."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segtrace.measures.over_cases import Band
from segtrace.report.figures.panels import PAGE_WIDTH, print_style, rgb
from segtrace.report.pictures.sheet import WARNING
from segtrace.report.pictures.view import array

ACROSS = 4
ROW_HEIGHT, TITLE_HEIGHT = 1.35, 0.45
"""Inches."""


def band_figure(
    panels: Mapping[str, Band],
    epochs: Sequence[int],
    title: str,
    *,
    limits: tuple[float, float] | None = None,
    mark: str = "",
) -> Figure:
    """One panel a stage: the mean over runs as a line, from the lowest to the highest as a band.

    Args:
        panels: name above a panel -> band over (epoch,), NaN where not defined.
        epochs: numbers along the curves.
        title: what is shown; the number of runs is added.
        limits: ends of the vertical axis, of all panels; default what the bands span.
        mark: what the slices are not, under the title in red; may be empty.
    """
    rows = -(-len(panels) // ACROSS)
    columns = min(ACROSS, len(panels))
    height = TITLE_HEIGHT + rows * ROW_HEIGHT
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axis, (name, band) in zip(axes.flat, panels.items(), strict=False):
            _draw(axis, band, epochs, name)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis in axes[-1]:
            axis.set_xlabel("epoch")
        if limits is not None:
            axes[0, 0].set_ylim(*limits)
        label = next(iter(panels.values())).label
        band_words = "" if label == "one run" else ", line: mean, band: lowest to highest"
        figure.suptitle(f"{title} ({label}{band_words})", fontsize=8)
        if mark:
            figure.supxlabel(mark.upper(), fontsize=6, color=rgb(WARNING))
    return figure


def _draw(axis: Axes, band: Band, epochs: Sequence[int], name: str) -> None:
    colour = colormaps["viridis"](0.35)
    axis.fill_between(epochs, array(band.low), array(band.high), color=colour, alpha=0.25, lw=0)
    axis.plot(epochs, array(band.mean), color=colour, marker="." if len(epochs) < 20 else None)
    axis.set_title(name, fontsize=7)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))  # no half epochs
    axis.axhline(0, color="0.8", linewidth=0.5, zorder=0)
    for side in ("left", "bottom"):
        axis.spines[side].set_linewidth(0.5)
    if not np.isfinite(array(band.mean)).any():
        axis.text(0.5, 0.5, "undefined", ha="center", transform=axis.transAxes)
