"""What one gradient estimates a cut to cost, against what it costs: a site, and over epochs."""

from collections.abc import Collection, Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from segtrace.labelled import DataArray, Dataset, names_along
from segtrace.report.captions import plain
from segtrace.report.figures.panels import PAGE_WIDTH, print_style
from segtrace.report.pictures.palette import colour_of

ACROSS, KEYS = 5, 4
"""Panels, and organs of the key, side by side."""
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
        height = HEIGHT * down + 0.7 + 0.15 * (ceil(len(organs) / KEYS) - 1)
        figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
        panels = np.atleast_1d(figure.subplots(down, across)).ravel()
        for ax in panels[len(sites) :]:
            ax.set_axis_off()
        for ax, site in zip(panels, sites, strict=False):
            _panel(ax, beside.sel(site=site), site)
        panels[(down - 1) * across].set_xlabel("score that the cut costs", fontsize=6.5)
        figure.supylabel("estimate from one gradient", fontsize=7)
        dots = [Line2D([], [], marker="o", ls="", ms=3, color=_colour(n))
                for n in range(len(organs))]  # fmt: skip
        figure.legend(dots, [plain(organ) for organ in organs], loc="outside lower center",
                      ncols=min(len(organs), KEYS), frameon=False)  # fmt: skip
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
    _thin(ax)
    vertex = " ◆" if bool(site["cut_vertex"]) else ""
    off = f"{float(site['rmse']):.2g} of {float(site['size']):.2g}"
    ax.set_title(f"{name}{vertex}\noff by {off}", fontsize=6.5)


def _thin(ax: Axes) -> None:
    ax.locator_params(nbins=3)
    ax.tick_params(labelsize=5.5, length=2, width=0.5)
    for side in ("left", "bottom"):
        ax.spines[side].set_linewidth(0.5)


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


SHOWN = 4
"""Sites of which the course is drawn: those whose cuts cost most."""


def course_figure(
    estimates: DataArray,
    lost: DataArray,
    cut: str,
    vertices: Collection[str] = (),
    marks: Sequence[str] = (),
) -> tuple[Figure, str]:
    """What cuts would cost over the epochs, with what they did cost where they were made.

    Args:
        estimates: over ``epoch``, ``site`` and ``organ``.
        lost: the score that was lost, over some of the epochs, the same sites and organs.
        cut: what stood in the place of an activation.
        vertices: sites that every path runs through, which are left out.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure, a panel an organ, and its caption.
    """
    organs, shown = names_along(estimates, "organ"), _costliest(lost, vertices)
    across = min(ACROSS - 1, len(organs))
    down = ceil(len(organs) / across)
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, 1.5 * down + 0.7), layout="constrained")
        panels = np.atleast_1d(figure.subplots(down, across, sharex=True)).ravel()
        for ax in panels[len(organs) :]:
            ax.set_axis_off()
        for ax, organ in zip(panels, organs, strict=False):
            for n, site in enumerate(shown):
                own = {"site": site, "organ": organ}
                guess, real = estimates.sel(own), lost.sel(own)
                ax.plot(guess["epoch"], guess, color=_colour(n), lw=1.2)
                ax.plot(real["epoch"], real, "o", ms=4, mfc="white", color=_colour(n))
            ax.axhline(0, color="0.7", lw=0.6, zorder=0)
            ax.set_title(plain(organ), fontsize=7)
            _thin(ax)
        panels[(down - 1) * across].set_xlabel("epoch", fontsize=6.5)
        figure.supylabel("score lost, per pixel", fontsize=7)
        keys = [Line2D([], [], color=_colour(n), lw=1.2) for n in range(len(shown))]
        keys += [Line2D([], [], color="0.3", lw=1.2),
                 Line2D([], [], color="0.3", marker="o", mfc="white", ls="", ms=4)]  # fmt: skip
        figure.legend(keys, [*shown, "estimate, every epoch", "real cut"], frameon=False,
                      loc="outside lower center", ncols=SHOWN + 2)  # fmt: skip
        title = ["What cutting costs, estimated and real", f"cut: {cut}", *marks]
        figure.suptitle("  ·  ".join(title), fontsize=8)
    return figure, (
        "Lines: attribution patching, the first order of the score that a cut would cost, from the "
        f"gradients of each epoch's maps. Circles: the score that the cut did cost. Cut: {cut}. "
        "Means over cases. How near the two are is to be seen here, and no more is claimed. Shown "
        f"are the {len(shown)} stages and edges whose last cuts cost most, mean over organs, but "
        "for those that every path runs through."
    )


def _costliest(lost: DataArray, vertices: Collection[str]) -> list[str]:
    """By the last cuts; an edge that costs what another site does stands for both."""
    last = lost.isel(epoch=-1).mean("organ")
    order = sorted(zip(names_along(last, "site"), last.values.tolist(), strict=True),
                   key=lambda pair: -pair[1] if pair[1] == pair[1] else np.inf)  # fmt: skip
    found: dict[str, float] = {}
    for site, cost in order:
        if site not in vertices and not any(np.isclose(cost, other) for other in found.values()):
            found[site] = cost
    return list(found)[:SHOWN]
