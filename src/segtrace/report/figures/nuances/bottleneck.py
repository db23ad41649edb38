"""How much a map at the bottleneck and at the last stage shows, and what cutting them costs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from segtrace.measures.over_cases import COVERAGE, method, over_cases
from segtrace.report.captions import plain
from segtrace.report.claims.nuances.bottleneck import NOTHING
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

COLOURS = ("#0072b2", "#d55e00")
"""Of the bottleneck and of the last stage; of the Okabe-Ito palette."""
ROW, ROOM = 0.3, 1.0
"""Inches a row takes, and the rest of the figure."""


def bottleneck_figure(
    gain: Mapping[str, Tensor],
    lost: Tensor,
    stages: Sequence[str],
    organs: Sequence[str],
    rule: str,
    instead: str,
    marks: Sequence[str] = (),
) -> tuple[Figure, str]:
    """Left what the maps show, right what cutting the stages costs: a row an organ.

    Args:
        gain: ``trained``, and ``untrained`` where known -> (2, O, C).
        lost: (2, O, C) Dice lost.
        stages: the bottleneck, and the last stage.
        organs: names along O.
        rule: what draws the maps, in words.
        instead: what stands in a stage's place when it is cut, in words.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure and its caption.
    """
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, ROW * len(organs) + ROOM), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for s, (stage, colour) in enumerate(zip(stages, COLOURS, strict=True)):
            _dots(left, gain["trained"][s], colour, "o", s, f"{stage}")
            if "untrained" in gain:
                _dots(left, gain["untrained"][s], colour, "d", s, f"{stage}, untrained network")
            _dots(right, lost[s], colour, "o", s, stage)
        left.set(xlabel=f"gain of {rule}: 0 an even map, 1 the organ")
        right.set(xlabel="Dice lost when the stage is cut", xlim=(-0.05, 1.05))
        right.axvspan(-0.05, NOTHING, color="0.9", lw=0, zorder=0)
        for ax in (left, right):
            ax.axvline(0, color="0.7", lw=0.6, zorder=0)
            ax.tick_params(length=0)
        left.set_yticks(range(len(organs)), [plain(organ) for organ in organs])
        left.set_ylim(len(organs) - 0.5, -0.5)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4,
                      frameon=False)  # fmt: skip
        words = ["A map is drawn; what does cutting the stage cost?", *marks]
        figure.suptitle("  ·  ".join(words), fontsize=8)
    return figure, (
        f"Left: gain of {rule}'s maps at {stages[0]}, the bottleneck, and at {stages[1]}, the last "
        "stage before the head; diamonds: of the untrained network. Right: Dice lost when the "
        f"stage is cut ({instead} in its place); grey: less than {NOTHING}. Every path runs "
        f"through {stages[1]}, so that its cut takes all by construction: a yardstick, "
        "no finding. Mean over cases; line: "
        f"{method(lost.shape[-1])}. {COVERAGE}"
    )


def _dots(ax: Axes, values: Tensor, colour: str, marker: str, s: int, label: str) -> None:
    over = over_cases(values, list(map(str, range(values.shape[-1]))))
    y = np.arange(len(values)) + (s - 0.5) * 0.3
    ax.hlines(y, over.low, over.high, color=colour, lw=1.2)
    fill = colour if marker == "o" else "white"
    ax.plot(over.mean, y, marker, color=colour, mfc=fill, ms=4, label=label)
