"""Which channels carry an organ: groups sorted by what they cost, and what many cost together."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segtrace.causal.channels import ChannelLosses
from segtrace.measures.over_cases import by_case
from segtrace.report.captions import plain
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

OWN, OTHERS, RANDOM = "#0072b2", "#d55e00", "0.5"


def channel_figure(
    losses: ChannelLosses,
    organs: Sequence[str],
    cases: Sequence[str],
    title: Sequence[str],
) -> tuple[Figure, str]:
    """A column an organ: above each group alone, below ever more of them together.

    Args:
        losses: of a stage.
        organs: names along O.
        cases: name of each slice's case.
        title: what stands above: stage, cut, what the slices are not.

    Returns:
        The figure and its caption.
    """
    alone = by_case(losses.alone, cases).nanmean(-1)  # (G, O)
    curves = [by_case(one, cases).nanmean(-1)
              for one in (losses.own, losses.others, losses.random)]  # fmt: skip
    with print_style():
        width = PAGE_WIDTH * max(0.5, min(1.0, len(organs) / 4))
        figure = Figure(figsize=(width, 3.0), layout="constrained")
        panels = figure.subplots(2, len(organs), squeeze=False, sharey="row")
        for o, organ in enumerate(organs):
            top, below = panels[0, o], panels[1, o]
            top.bar(range(len(alone)), sorted(alone[:, o].tolist(), reverse=True), 1.0, color=OWN)
            top.set_title(plain(organ), fontsize=7)
            names = ("own order", "other organs'", "random")
            for curve, colour, name in zip(curves, (OWN, OTHERS, RANDOM), names, strict=True):
                below.plot([0, *losses.steps], [0.0, *curve[:, o].tolist()], color=colour, lw=1.2,
                           label=name)  # fmt: skip
            for ax in (top, below):
                _thin(ax)
        panels[0, 0].set_ylabel("one group cut")
        panels[1, 0].set_ylabel("so many cut together")
        panels[0, 0].set_xlabel("groups, costliest first", fontsize=6)
        panels[1, 0].set_xlabel("groups cut", fontsize=6)
        figure.supylabel("Dice lost", fontsize=7)
        lines, labels = panels[1, 0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle("  ·  ".join(["Which channels carry an organ", *title]), fontsize=8)
    size = len(losses.groups[0])
    return figure, (
        f"Dice lost, mean over cases, where channels are cut in groups of {size}. Above: each "
        "group alone, sorted, so that some are high by chance. Below: the costliest groups cut "
        "together, in the order that other cases give; controls: as many in the other organs' "
        "orders (mean over these), and at random. Where the lines lie "
        "together the organ has no channels of its own."
    )


def _thin(ax: Axes) -> None:
    ax.axhline(0, color="0.7", lw=0.5, zorder=0)
    ax.locator_params(nbins=4)
    ax.tick_params(labelsize=5.5, length=2, width=0.5)
