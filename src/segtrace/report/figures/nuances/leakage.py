"""Whose evidence lies on whose pixels, by stage; and where it rises and falls."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from segtrace.labelled import Dataset, names_along, tensor
from segtrace.report.captions import plain, title_of
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

ACROSS, MATRIX, CURVES = 6, 1.35, 1.8
"""Matrices in a row, and inches of a row of them and of the curves."""
DENSEST = 4.0
"""Upper end of the colours: four times what a uniform map puts there."""


def leakage_figure(
    found: Dataset, rule: str, pairs: Sequence[Mapping[str, str]], marks: Sequence[str] = ()
) -> tuple[Figure, str]:
    """A matrix a stage; below, the density of some pairs along the stages.

    Args:
        found: density, ``null`` and ``untrained``, axes site, rule, organ and onto, as
            :func:`segtrace.report.claims.leaks.held_against` gives them.
        rule: whose maps.
        pairs: organ and onto of the curves, at most four.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure and its caption.
    """
    sites, here = names_along(found, "site"), found.sel(rule=rule)
    rows = -(-len(sites) // ACROSS)
    with print_style():
        heights = [rows * MATRIX + 0.5, *[CURVES] * bool(pairs)]
        figure = Figure(figsize=(PAGE_WIDTH, sum(heights)), layout="constrained")
        above, *below = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[
            :, 0
        ]
        _matrices(above, here, sites)
        if pairs:
            axes = below[0].subplots(1, len(pairs), sharey=True, squeeze=False)[0]
            for ax, pair in zip(axes, pairs, strict=True):
                _curve(ax, here.sel(pair), sites)
            axes[0].set_ylabel("times uniform")
            below[0].legend(*axes[0].get_legend_handles_labels(), loc="outside lower center",
                            ncols=3, frameon=False)  # fmt: skip
        words = [f"Whose evidence lies on whose pixels? {title_of(rule)}, one run", *marks]
        above.suptitle("  ·  ".join(words), fontsize=8)
    return figure, (
        f"Above: {title_of(rule)}, row: the organ that is explained, column: the organ on whose "
        "pixels its positive map lies, outside the organ itself and a rim; 1 is what a uniform map "
        "puts there, grey: the organ itself, or not both on enough slices. Below: the largest "
        "pairs along the stages, beside the largest of their nulls (uniform, the perfect map of "
        "the stage's grid, the mirror image of the other organ, the untrained network) and the "
        "untrained network alone. "
        "Above its null is no event yet: the sentences say which pass their test."
    )


def _matrices(figure: SubFigure, here: Dataset, sites: Sequence[str]) -> None:
    organs, onto = (names_along(here, axis) for axis in ("organ", "onto"))
    rows = -(-len(sites) // ACROSS)
    axes = figure.subplots(rows, min(ACROSS, len(sites)), squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(sites) :]:
        ax.set_visible(False)
    for ax, site in zip(axes.flat, sites, strict=False):
        image = ax.imshow(_off_diagonal(here, site, organs, onto), vmin=0, vmax=DENSEST,
                          cmap="viridis")  # fmt: skip
        ax.set_facecolor("0.85")
        ax.set_title(site, fontsize=7)
        ax.set_xticks(range(len(onto)), map(plain, onto), rotation=90, fontsize=4.5)
        ax.set_yticks(range(len(organs)), map(plain, organs), fontsize=4.5)
        ax.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, label="times uniform", shrink=0.6, aspect=30,
                          extend="max", ticks=range(int(DENSEST) + 1))  # fmt: skip
    bar.ax.set_yticklabels([*map(str, range(int(DENSEST))), f"≥{DENSEST:.0f}"])


def _off_diagonal(
    here: Dataset, site: str, organs: Sequence[str], onto: Sequence[str]
) -> NDArray[np.float64]:
    values = tensor(here["density"].sel(site=site)).numpy().copy()
    for o, organ in enumerate(organs):
        if organ in onto:
            values[o, list(onto).index(organ)] = np.nan
    return values


def _curve(ax: Axes, here: Dataset, sites: Sequence[str]) -> None:
    x = range(len(sites))
    ax.plot(x, here["density"], color="#0072b2", marker=".", ms=4, label="the map")
    ax.plot(x, here["null"], color="0.5", ls="--", label="largest of its nulls")
    ax.plot(x, here["untrained"], color="#d55e00", ls=":", label="untrained network")
    ax.axhline(1, color="0.85", lw=0.6, zorder=0)
    ax.set_xticks(x, sites, rotation=90, fontsize=5.5)
    organ, onto = here["organ"].item(), here["onto"].item()
    ax.set_title(f"{plain(organ)} on {plain(onto)}", fontsize=6.5)
