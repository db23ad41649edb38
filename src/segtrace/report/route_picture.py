"""The route diagram: the network as a U, for one organ, beside the untrained network.

Width of an edge: its share of the score. Colour: the Dice lost when it is cut; grey where cutting
costs nothing. Shares and losses are different things, so both are written beside the edge.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from segtrace.errors import InputError
from segtrace.report.captions import plain
from segtrace.report.cells import Picture
from segtrace.report.panels import PAGE_WIDTH, print_style
from segtrace.report.route_words import Branch, sentence

SCALE = "viridis_r"
GREY = "0.75"
THINNEST, THICKEST = 0.6, 9.0
"""Points of a share of 0 and of 1 (and beyond, where edges work against each other)."""

Place = tuple[float, float]


def places(encoders: Sequence[str], found: Sequence[Branch]) -> dict[str, Place]:
    """Where each stage stands: the encoder down on the left, the decoder up on the right.

    A decoder stage stands at the height of the encoder stage whose skip it takes; one without a
    skip a step above the stage before.
    """
    at: dict[str, Place] = {name: (0.0, -float(k)) for k, name in enumerate(encoders)}
    height = -float(len(encoders) - 1)
    for stage in dict.fromkeys(branch.stage for branch in found):
        levels = [at[b.source][1] for b in found if b.stage == stage and b.source in at]
        sides = [level for level in levels if level > height]
        height = max(sides) if sides else height + 1
        at[stage] = (1.0, height)
    return at


def route_figure(
    organ: str,
    encoders: Sequence[str],
    networks: Mapping[str, Sequence[Branch]],
) -> tuple[Figure, str]:
    """The diagram of one organ, and the paragraph under it.

    Args:
        organ: the organ.
        encoders: names of the encoder stages, from the image down.
        networks: title -> branches, side by side; the first is what the sentence is about, e.g.
            ``{"epoch 30": …, "epoch 0 (untrained)": …}``.

    Raises:
        InputError: no network, or one without edges.
    """
    if not networks or not all(networks.values()):
        raise InputError("no edges to draw; give the branches of at least one network")
    words = sentence(organ, next(iter(networks.values())))
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, 0.75 * (len(encoders) + 2)), layout="constrained")
        axes = figure.subplots(1, len(networks), squeeze=False)[0]
        for ax, (title, found) in zip(axes, networks.items(), strict=True):
            _draw(ax, title, encoders, found)
        bar = ScalarMappable(Normalize(0, 1), SCALE)
        figure.colorbar(bar, ax=axes.tolist(), label="Dice lost when cut", shrink=0.6)
        figure.suptitle(words)
    return figure, _caption(words, networks)


def _draw(ax: Axes, title: str, encoders: Sequence[str], found: Sequence[Branch]) -> None:
    at = places(encoders, found)
    for above, below in pairwise(encoders):
        _arrow(ax, at[above], at[below], GREY, THINNEST)
    for branch in found:
        end = at[branch.stage]
        start = at.get(branch.source, (0.0, end[1]))
        _arrow(ax, start, end, colour(branch), width(branch))
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.12)
        words = f"{branch.share:.2f} | {branch.lost:.2f}"
        ax.text(*middle, words, ha="center", va="bottom", fontsize=5.5)
    for name, place in at.items():
        ax.text(*place, name, ha="center", va="center", bbox={"fc": "white", "lw": 0.5})
    heights = [y for _, y in at.values()]
    ax.set(xlim=(-0.3, 1.3), ylim=(min(heights) - 0.5, max(heights) + 0.7), title=title)
    ax.set_axis_off()


def _arrow(ax: Axes, start: Place, end: Place, colour_: object, points: float) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=6 + points,
            linewidth=points,
            color=colour_,
            shrinkA=12,
            shrinkB=12,
        )
    )


def colour(branch: Branch) -> tuple[float, float, float, float] | str:
    """Of the Dice lost; grey where it is nothing or not defined."""
    return colormaps[SCALE](min(branch.lost, 1.0)) if branch.needed else GREY


def width(branch: Branch) -> float:
    """Points; the thinnest where the share is not defined."""
    share = np.clip(np.nan_to_num(branch.share), 0, 1)
    return float(THINNEST + share * (THICKEST - THINNEST))


def _caption(words: str, networks: Mapping[str, Sequence[Branch]]) -> str:
    worst = max(branch.error for found in networks.values() for branch in found)
    return (
        f"{words} Beside each edge: its share of the score's change | Dice lost when it is cut. "
        "Width: share, from integrated gradients over all edges of a decoder stage at once, from "
        f"their means over training slices; the shares of a stage add to 1 within {worst:.1%}. "
        "Colour: Dice lost, mean over the slices that hold the organ; grey: less than 0.01. "
        "A cut shows what this network relies on, not what a network trained without the edge "
        f"would need. Networks: {', '.join(plain(name) for name in networks)}."
    )


def as_picture(figure: Figure, dpi: int = 150) -> Picture:
    """The figure as (H, W, 3), for TensorBoard."""
    with print_style():
        figure.set_dpi(dpi)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
