"""Maps of two parts of one organ: how far apart, by stage and rule, and one example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from segtrace.measures.over_cases import COVERAGE, method, over_cases
from segtrace.report.captions import title_of
from segtrace.report.figures.panels import PAGE_WIDTH, print_style

SERIES = {
    "parts": ("#0072b2", "-", "two parts of one organ"),
    "untrained": ("#0072b2", ":", "the same, untrained network"),
    "organs": ("0.5", "--", "two organs, a scale"),
}
"""Of the Okabe-Ito palette."""
HEIGHT, CELL = 2.2, 1.15
"""Inches of the curves, and of a row of maps."""


@dataclass(frozen=True, eq=False)
class Example:
    """One organ in one slice, and the maps of its two parts.

    Attributes:
        image: (H, W) the slice.
        masks: (H, W) bool each, the parts.
        maps: rule -> (h, w) signed map of either part.
        words: organ, slice and stage.
    """

    image: Tensor
    masks: tuple[Tensor, ...]
    maps: Mapping[str, tuple[Tensor, Tensor]]
    words: str


def instances_figure(
    apart: Mapping[str, Tensor],
    sites: Sequence[str],
    rules: Sequence[str],
    example: Example | None = None,
    marks: Sequence[str] = (),
) -> tuple[Figure, str]:
    """A panel a rule: 1 - cos of the maps of two parts along the stages; below, an example.

    Args:
        apart: series -> (S, R, C), mean over organs of each case.
        sites: names along S.
        rules: names along R.
        example: drawn below; ``None`` for none.
        marks: what the slices are not, e.g. ``PHANTOM``.

    Returns:
        The figure and its caption.
    """
    below = len(rules) * CELL * (example is not None)
    with print_style():
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT + below + 0.5), layout="constrained")
        heights = [HEIGHT, below] if below else [HEIGHT]
        above, *rest = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[
            :, 0
        ]
        axes = above.subplots(1, len(rules), sharey=True, squeeze=False)[0]
        for r, (ax, rule) in enumerate(zip(axes, rules, strict=True)):
            _curves(ax, {name: values[:, r] for name, values in apart.items()}, sites)
            ax.set_title(title_of(rule), fontsize=7)
        axes[0].set_ylabel("1 - cos of the maps")
        above.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
                     frameon=False)  # fmt: skip
        if example is not None:
            _draw(rest[0], example)
        words = ["Is it in the map which part of the organ is explained?", *marks]
        above.suptitle("  ·  ".join(words), fontsize=8)
    return figure, _caption(apart, example)


def _curves(ax: Axes, apart: Mapping[str, Tensor], sites: Sequence[str]) -> None:
    x = range(len(sites))
    for name, values in apart.items():
        colour, style, label = SERIES[name]
        over = over_cases(values, list(map(str, range(values.shape[-1]))), within=(0.0, 1.0))
        ax.plot(x, over.mean, style, color=colour, marker=".", ms=4, label=label)
        if name == "parts":
            ax.vlines(x, over.low, over.high, color=colour, lw=1.2)
    ax.set_xticks(x, sites, rotation=45, fontsize=6)
    ax.set_ylim(-0.03, 1.03)
    ax.axhline(0, color="0.8", lw=0.5, zorder=0)


def _draw(figure, example: Example) -> None:  # type: ignore[no-untyped-def]  # a SubFigure
    axes = figure.subplots(len(example.maps), 3, squeeze=False)
    for row, (rule, maps) in zip(axes, example.maps.items(), strict=True):
        row[0].imshow(example.image.numpy(), cmap="gray", vmin=0, vmax=1)
        for mask, colour in zip(example.masks, ("#e69f00", "#56b4e9"), strict=True):
            row[0].contour(mask.float().numpy(), [0.5], colors=[colour], linewidths=0.8)
        for ax, one in zip(row[1:], maps, strict=True):
            ax.imshow(one.relu().numpy(), cmap="viridis", interpolation="nearest")
        for ax, words in zip(row, ("the two parts", "map of the first (orange)",
                                   "map of the second (blue)"), strict=True):  # fmt: skip
            ax.set_title(f"{title_of(rule)}: {words}", fontsize=6)
            ax.set_axis_off()
    figure.suptitle(example.words, fontsize=7)


def _caption(apart: Mapping[str, Tensor], example: Example | None) -> str:
    beside = " Dotted: the untrained network." if "untrained" in apart else ""
    shown = f" Below: {example.words}, each map on a scale of its own." if example else ""
    return (
        "1 - cos of the positive maps of two parts of an organ's region (its two largest connected "
        "components, or else its halves), mean over organs; line: mean over cases, bar: "
        f"{method(apart['parts'].shape[-1])}. 0: the same map whichever part is explained; 1: maps "
        f"that do not overlap. Dashed: of the maps of two organs in the same slice.{beside}"
        f"{shown} {COVERAGE}"
    )
