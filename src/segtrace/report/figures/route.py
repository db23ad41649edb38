"""The route diagram: the network as a U, for one organ, beside the mean over organs.

Width of an edge: its share of the score. Colour of an edge or a stage: the Dice lost when it is
cut, light where that is nothing; grey where it was not measured. Shares and losses are different
things, so both are written beside the edge. What every path runs through has no colour: its cut
takes all, whatever the network learnt.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from segtrace.errors import InputError
from segtrace.report.captions import plain
from segtrace.report.figures.panels import PAGE_WIDTH, print_style
from segtrace.report.pictures.strip import two
from segtrace.report.route_words import Branch
from segtrace.report.scene import RESEARCH_USE

SCALE = ListedColormap(colormaps["YlOrRd"](np.linspace(0.0, 1, 256)), "loss")
"""From pale yellow, where nothing is lost, to dark red: safe for colour-blind readers."""
GREY, RIM = "0.8", "0.45"
THINNEST, THICKEST = 1.2, 9.0
"""Points of a share of 0 and of 1 (and beyond, where edges work against each other)."""
ROW_INCHES = 0.6
VERTEX = "†"
"""Marks what every path runs through."""
RED = (0.75, 0.1, 0.1)
KEY = (
    "Beside an edge: its share of the score (width); Dice lost when it is cut (colour), "
    "[95 % t interval over cases].\n"
    f"Grey: not measured. {VERTEX}: every path runs through it."
)
CAUTION = "A cut shows what the network relies on, not what it needs."

Place = tuple[float, float]
Colour = tuple[float, float, float, float] | str


@dataclass(frozen=True)
class Diagram:
    """One network, for one organ.

    Attributes:
        title: e.g. ``epoch 30``.
        branches: its edges.
        stages: stage -> Dice lost when it is cut, in the order of the network; may be empty.
        dice: of the whole network, mean over the cases that hold the organ.
        words: what is claimed of the organ's route.
        ends: edge -> ends of the interval over cases of its Dice lost; NaN where there is none.
        vertices: stages and edges that every path runs through.
    """

    title: str
    branches: Sequence[Branch]
    stages: Mapping[str, float]
    dice: float
    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    vertices: Collection[str] = ()
    words: str = ""


def averaged(diagrams: Sequence[Diagram]) -> Diagram:
    """The mean of one network's diagrams over organs, each of which counts once."""
    first = diagrams[0]
    return Diagram(
        title=f"mean over {len(diagrams)} organs",
        branches=[
            replace(
                branch,
                share=_mean([d.branches[i].share for d in diagrams]),
                lost=_mean([d.branches[i].lost for d in diagrams]),
            )
            for i, branch in enumerate(first.branches)
        ],
        stages={name: _mean([d.stages[name] for d in diagrams]) for name in first.stages},
        dice=_mean([d.dice for d in diagrams]),
        vertices=first.vertices,
    )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return sum(known) / len(known) if known else float("nan")


def places(encoders: Sequence[str], found: Sequence[Branch]) -> dict[str, Place]:
    """Where each stage stands: the encoder down on the left, the decoder up on the right.

    The deepest encoder stage lies between them. A decoder stage stands at the height of the encoder
    stage whose skip it takes; one without a skip a step above the stage before.
    """
    at: dict[str, Place] = {name: (0.0, -float(k)) for k, name in enumerate(encoders)}
    if len(encoders) > 1:
        at[encoders[-1]] = (0.5, 1.0 - len(encoders) - 0.15)
    height = -float(len(encoders) - 1)
    for stage in dict.fromkeys(branch.stage for branch in found):
        levels = [at[b.source][1] for b in found if b.stage == stage and b.source in encoders[:-1]]
        sides = [level for level in levels if level > height]
        height = max(sides) if sides else height + 1
        at[stage] = (1.0, height)
    return at


def route_figure(
    organ: str,
    encoders: Sequence[str],
    networks: Sequence[Diagram],
    marks: Sequence[str] = (),
) -> tuple[Figure, str]:
    """The diagram of one organ, and the paragraph under it.

    Args:
        organ: the organ.
        encoders: names of the encoder stages, from the image down.
        networks: side by side; the first is what the sentence is about, and with its intervals.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Raises:
        InputError: no network, or one without edges.
    """
    if not networks or not all(network.branches for network in networks):
        raise InputError("no edges to draw; give the branches of at least one network")
    told = networks[0].words or plain(organ)
    height = ROW_INCHES * (_rows(encoders, networks[0])) + 1.25
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained", facecolor="white")
        axes = figure.subplots(1, max(2, len(networks)), squeeze=False)[0]
        for ax in axes:
            ax.set_axis_off()
        for ax, network in zip(axes, networks, strict=False):
            _draw(ax, encoders, network)
        bar = ScalarMappable(Normalize(0, 1), SCALE)
        figure.colorbar(bar, ax=axes.tolist(), label="Dice lost when cut", shrink=0.6, aspect=30)
        figure.suptitle(fill(told, 84), weight="bold", x=0.01, ha="left")
        figure.supxlabel(f"{KEY} {CAUTION} One run.", fontsize=7, x=0.01, ha="left")
        if marks:
            figure.text(0.995, 0.995, "  ·  ".join(marks), color=RED, weight="bold", ha="right",
                        va="top")  # fmt: skip
    return figure, _caption(told, networks, marks)


def _rows(encoders: Sequence[str], network: Diagram) -> float:
    heights = [y for _, y in places(encoders, network.branches).values()]
    return max(heights) - min(heights) + 2


def _draw(ax: Axes, encoders: Sequence[str], network: Diagram) -> None:
    at = places(encoders, network.branches)
    top = max(y for _, y in at.values())
    ends = [name for name in network.stages if name not in at]
    last = next(reversed(at)) if network.branches else encoders[-1]
    for k, name in enumerate(ends, 1):
        at[name] = (1.0, top + k)
        _arrow(ax, at[last], at[name], GREY, THINNEST)
        last = name
    at["image"] = (0.0, top + 1 if top > 0 or ends else 1.0)
    for above, below in pairwise(["image", *encoders]):
        _arrow(ax, at[above], at[below], GREY, THINNEST)
    for branch in network.branches:
        end = at[branch.stage]
        start = at.get(branch.source, (0.0, end[1]))
        _arrow(ax, start, end, colour(branch, network.vertices), width(branch))
        _label(ax, start, end, branch, network)
    for name, place in at.items():
        _box(ax, name, place, network)
    heights = [y for _, y in at.values()]
    ax.set(xlim=(-0.22, 1.62), ylim=(min(heights) - 0.45, max(heights) + 0.45))
    ax.set_title(f"{network.title}, Dice {network.dice:.2f}", pad=2)


def _label(ax: Axes, start: Place, end: Place, branch: Branch, network: Diagram) -> None:
    """Share and loss: above what runs level, at the right of what rises."""
    share = "–" if np.isnan(branch.share) else f"{branch.share:.0%}"
    lost = "–" if np.isnan(branch.lost) else two(branch.lost)
    ends = interval(*network.ends.get(branch.name, (np.nan, np.nan)))
    words = f"{share}; {VERTEX if branch.name in network.vertices else lost}"
    style: dict[str, Any] = {"fontsize": 7, "color": "0.1"}
    raised = (width(branch) / 2 + 2) / 72 / ROW_INCHES
    level = start[1] == end[1]
    said = f"{words}{' ' if level else chr(10)}[{ends}]" if ends else words
    if level:
        ax.text(0.5, end[1] + raised, said, ha="center", va="bottom", **style)
    elif start[0] == end[0]:
        ax.text(1.07, (start[1] + end[1]) / 2, said, ha="left", va="center", **style)
    else:
        middle = (start[0] + 0.62 * (end[0] - start[0]), (start[1] + end[1]) / 2 - 0.12)
        ax.text(middle[0] + 0.06, middle[1], said, ha="left", va="top", **style)


def interval(low: float, high: float) -> str:
    """Ends of an interval; nothing where there is none.

    >>> interval(0.1234, 1.0)
    '0.12 to 1.00'
    """
    return "" if np.isnan(low) or np.isnan(high) else f"{two(low)} to {two(high)}"


def _box(ax: Axes, name: str, place: Place, network: Diagram) -> None:
    """A stage; white where its loss says nothing, and the image."""
    through = name in network.vertices
    face: Colour = "white"
    if name in network.stages and not through:
        face = _of_loss(network.stages[name])
    dark = not isinstance(face, str) and sum(face[:3]) < 1.5
    ax.text(
        *place,
        f"{name} {VERTEX}" if through else name,
        ha="center",
        va="center",
        color="white" if dark else "black",
        bbox={"fc": face, "ec": "0.3", "lw": 0.5, "boxstyle": "round,pad=0.35"},
    )


def _arrow(ax: Axes, start: Place, end: Place, colour_: Colour, points: float) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=f"simple,tail_width={points},head_width={points + 5},head_length=5",
            linewidth=0.4,
            facecolor=colour_,
            edgecolor=RIM,
            shrinkA=11,
            shrinkB=11,
        )
    )


def colour(branch: Branch, vertices: Collection[str] = ()) -> Colour:
    """Of the Dice lost; grey where it is not defined, white where it says nothing."""
    return "white" if branch.name in vertices else _of_loss(branch.lost)


def _of_loss(lost: float) -> Colour:
    return GREY if np.isnan(lost) else SCALE(min(max(lost, 0.0), 1.0))


def width(branch: Branch) -> float:
    """Points; the thinnest where the share is not defined."""
    share = np.clip(np.nan_to_num(branch.share), 0, 1)
    return float(THINNEST + share * (THICKEST - THINNEST))


def _caption(words: str, networks: Sequence[Diagram], marks: Sequence[str]) -> str:
    errors = [b.error for network in networks for b in network.branches if not np.isnan(b.error)]
    sums = f"; the shares of a stage add to 1 within {max(errors):.1%}" if errors else ""
    shown = "; ".join(f"{plain(n.title)}, Dice {n.dice:.2f}" for n in networks)
    return (
        f"{words} Beside each edge: its share of the score's change · Dice lost when it is cut. "
        "Width: share, from integrated gradients over all edges of a decoder stage at once, from "
        f"their means over training slices{sums}. "
        "Colour of edges and stages: Dice lost, mean over the cases that hold the organ; in "
        f"brackets its 95 % t interval over cases; grey: not measured; {VERTEX}, without a colour: "
        "every path runs through it, and its cut takes all by construction. A cut shows what this "
        "network relies on, not what a network trained without the edge would need; a share of the "
        "score is no share of Dice. "
        f"Shown: {shown}, each over the slices that were cut; one run. "
        f"{''.join(f'Note: {mark.lower()}. ' for mark in marks)}{RESEARCH_USE.capitalize()}."
    )
