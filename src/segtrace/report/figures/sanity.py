"""How alike maps stay while the weights are drawn anew: a panel a rule and stage."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from segtrace.causal.sanity.cascade import JUDGED, NULL_QUANTILE, OTHER, OWN, TRAINED
from segtrace.causal.sanity.judging import FAILS, GIVEN, OPEN, PASSES, TOO_FEW, Sanity
from segtrace.labelled import DataArray, Dataset, names_along, tensor
from segtrace.measures.over_cases import by_case
from segtrace.progress import counted
from segtrace.report.captions import title_of
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

ACROSS = 6
HEIGHT, ROOM = 1.15, 0.75
"""Inches of a row of panels, and of what is around them."""
COLOURS = {PASSES: "#0072b2", FAILS: "#d55e00", OPEN: "0.4", GIVEN: "0.4", TOO_FEW: "0.4"}
"""Of the Okabe-Ito palette, to be told apart without red-green vision."""
LINES = ((OWN, "#000000", "-", "the organ's region"), (OTHER, "#cc79a7", "-", "another organ's"))
STRUCTURE = ("#009e73", ":", "the organ's region, SSIM")


def sanity_figure(
    found: Dataset, verdicts: Sequence[Sanity], marks: Sequence[str] = ()
) -> tuple[Figure, str]:
    """Similarity to the trained network's maps along the cascade.

    Args:
        found: what :func:`segtrace.causal.sanity.cascade.cascade` gives.
        verdicts: of the same.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure and its caption.
    """
    rules, sites = (names_along(found, axis) for axis in ("rule", "site"))
    said = {(one.rule, one.site): one.verdict for one in verdicts}
    rows = -(-len(sites) // ACROSS)
    with print_style():
        size = (PAGE_WIDTH, len(rules) * rows * HEIGHT + ROOM)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(rules) * rows, min(ACROSS, len(sites)), sharex=True,
                               sharey=True, squeeze=False)  # fmt: skip
        for r, rule in enumerate(rules):
            panels = axes[r * rows : (r + 1) * rows]
            for ax, site in zip(panels.flat, sites, strict=False):
                _draw(ax, found.sel(rule=rule, site=site), site, said[rule, site])
            for ax in panels.flat[len(sites) :]:
                ax.set_visible(False)
            for row in panels:
                row[0].set_ylabel(f"{title_of(rule)}\nsimilarity", fontsize=6)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False)
        slices, cases = found.sizes["slice"], len(set(names_along(found, "case")))
        about = f"{counted(slices, 'slice')} of {counted(cases, 'case')}"
        words = [f"Do maps change when the weights do? {about}, one run",
                 *marks]  # fmt: skip
        figure.suptitle("  ·  ".join(words), fontsize=8)
    return figure, _caption(found)


def _draw(ax: Axes, here: Dataset, site: str, verdict: str) -> None:
    steps = names_along(here, "step")
    x = range(len(steps))
    null = _mean(here[f"null_{JUDGED[0]}"])
    ax.axhspan(0, float(null), color="0.9", lw=0, zorder=0)
    for region, colour, style, _ in LINES:
        ax.plot(x, _mean(here[JUDGED[0]].sel(region=region)), style, color=colour, lw=1.1)
    ax.plot(x, _mean(here[JUDGED[1]].sel(region=OWN)), "--", color=LINES[0][1], lw=0.9)
    ax.axhline(float(_mean(here[f"null_{JUDGED[1]}"])), color="0.6", ls="--", lw=0.6, zorder=0)
    colour, style, _ = STRUCTURE
    ax.plot(x, _mean(here["ssim"].sel(region=OWN)), style, color=colour, lw=1.0)
    if site in steps[2:]:  # the step at which all groups above are new
        ax.axvline(steps.index(site) - 1, color="0.6", lw=0.6, ls=":", zorder=0)
    ax.set_ylim(-0.05, 1.05)
    ax.set_xticks(x, [TRAINED, *steps[1:]], rotation=90, fontsize=5)
    ax.tick_params(length=0)
    ax.set_title(f"{site}: {verdict}", fontsize=6.5, color=COLOURS[verdict])


def _mean(values: DataArray) -> NDArray[np.float64]:
    """(…, organ, slice) -> (…): mean over organs of each case, then over cases."""
    each = by_case(tensor(values), names_along(values, "case"))
    return each.nanmean(-2).nanmean(-1).numpy()


def _legend() -> list[Line2D | Patch]:
    lines = [Line2D([], [], color=colour, ls=style, label=f"{words}, |ρ|")
             for _, colour, style, words in LINES]  # fmt: skip
    colour, style, words = STRUCTURE
    structure = Line2D([], [], color=colour, ls=style, label=words)
    null = Patch(color="0.9", label="null: |ρ| among other cases")
    absolute = Line2D([], [], color=LINES[0][1], ls="--", lw=0.9, label="the organ's region, |map|")
    other = Line2D([], [], color="0.6", ls="--", lw=0.6, label="null of |map|")
    return [*lines, absolute, structure, null, other]


def _caption(found: Dataset) -> str:
    return (
        "Similarity of each map to that of the trained network, from left to right with the "
        "weights of one stage more drawn anew, the head's first, cumulatively (Adebayo et al. "
        f"2018); mean over {counted(found.attrs['seeds'], 'draw')}, organs and cases. |ρ|: "
        "Spearman's correlation over cells, of the signed map; SSIM: of the map as drawn, computed "
        "as scikit-image does, and not judged, since two mostly black maps agree on the black. "
        "Black: the score is taken over the organ's region as ever; pink: over another organ's. "
        "Grey: up to the "
        f"{NULL_QUANTILE:.0%}".replace("%", " %", 1)
        + " quantile of |ρ| among maps of other cases; dashed: the same of |map|. Passes: below "
        "that over cases, both at the upright line (all above the stage is new) and at the right "
        "end, for the signed map and for |map|; fails: above it at one of them; by construction: "
        "so, but 0 off the region whatever the weights, where |map| is not judged. Where the "
        "similarity lies at that quantile in truth, either verdict is given in at most 5 % of "
        "networks, over all stages and rules. A pass says less alike than that, not unlike, nor "
        "right. Sources in references.bib: adebayo2018."
    )
