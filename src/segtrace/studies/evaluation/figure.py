"""Every case's Dice, organ by organ."""

import numpy as np
from matplotlib.figure import Figure

from segtrace.evaluation.protocols import BOTH, FALSE, MISSING
from segtrace.evaluation.summary import Evaluated
from segtrace.report.captions import plain
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

MARKS = {
    BOTH: ("o", "#0072b2", "in truth and prediction"),
    MISSING: ("X", "#d55e00", "missing: in the truth alone"),
    FALSE: ("P", "#cc79a7", "false: in the prediction alone"),
}
"""Of the Okabe-Ito palette."""
ROW, ROOM = 0.22, 0.8
"""Inches a row takes, and the rest."""


def dice_of_cases(evaluated: Evaluated) -> Figure:
    """A row an organ, a point a case, a line its mean; missing and false organs as they score."""
    dice, organs = evaluated.values("dice"), evaluated.organs
    findings = np.array([[s.finding for s in case.values()] for case in evaluated.scores.values()])
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, ROW * len(organs) + ROOM), layout="constrained")
        ax = figure.subplots()
        rows = np.broadcast_to(np.arange(len(organs)), dice.shape)
        # Cases of one value would hide one another.
        spread = np.linspace(-0.2, 0.2, len(dice))[:, None] if len(dice) > 1 else np.zeros((1, 1))
        for finding, (marker, colour, words) in MARKS.items():
            here = findings == finding
            if here.any():
                ax.scatter(dice[here], (rows + spread)[here], s=14, c=colour, marker=marker,
                           label=words, linewidths=0, alpha=0.8)  # fmt: skip
        for row in evaluated.summary()[:-1]:
            place = organs.index(row["organ"])
            ax.plot([row["dice_mean"]] * 2, [place - 0.35, place + 0.35], color="0.2", lw=1)
        ax.set(xlim=(-0.03, 1.03), ylim=(len(organs) - 0.5, -0.5), xlabel="Dice of a whole case")
        ax.set_yticks(range(len(organs)), [plain(organ) for organ in organs])
        ax.grid(axis="x", color="0.9")
        if (findings != "absent").any():
            figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
