"""The one table of measures: what each is called, says, is computed by, and where it is shown.

CSV columns, timelines, loggers, the page and its words read :data:`MEASURES`. A measure more is an
entry here (and a function, where a line does not do).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf, isfinite, log10
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow
from segtrace.measures import energy, pixels
from segtrace.measures.locality import locality


class Traced(NamedTuple):
    """A flow, and where they were traced the flows of two parts of every organ's region."""

    flow: Flow
    parts: tuple[Flow, Flow] | None


class RatioOfSums(NamedTuple):
    """Σ(above - base) / Σ(below - base), each the name of a measure.

    Over the slices where the measure itself is defined: a mean of ratios is ruled by slivers.
    """

    above: str
    below: str
    base: str


@dataclass(frozen=True)
class Measure:
    """A number read off a map.

    Attributes:
        name: as in the CSV column, tags and file names.
        words: one sentence in plain words, for the page and the loggers.
        of: computes it, float64 or a float; NaN where it is not defined.
        each: what ``of`` is given: ``stage``, all maps of a stage
            (:class:`~segtrace.measures.energy.StageMaps`), for (R, O, N); ``image``, one positive
            map on the image's grid (:class:`~segtrace.measures.pixels.ImageMap`), for a number;
            ``flow``, all there is (:class:`Traced`), for what broadcasts to (S, R, O, N).
        title: in a few words, over a chart.
        unit: of the number; empty for a share, a ratio or a count.
        range: the least and the largest value there can be.
        leading: computed at every epoch; the others with ``measures=all``.
        of_map: it is read off the map; else it stays where the map may not be read.
        slices: how slices are put together; ``None`` is the mean over those where it is defined.
        charted: a column of timeline.csv and a curve of the logger for every rule, organ and stage.
        timeline: also drawn over the epochs, stage by stage.
        on_page: ``numbers``, in the page's data; ``chart``, drawn there with its words.
        averaging_only: charted for the rules that average the gradient, which it qualifies.
        axis: ends of charts and colours; ``None`` is the range, or where that is open the values.
        dip: how far below its axis a chart shows values.
        nothing: the value that says that nothing was there; no chart is fitted to it.
        caution: below this value a map is not to be leaned on.
    """

    name: str
    words: str
    of: Callable[[Any], Any]
    each: Literal["stage", "image", "flow"] = "stage"
    title: str = ""
    unit: str = ""
    range: tuple[float, float] = (-inf, inf)
    leading: bool = False
    of_map: bool = True
    slices: RatioOfSums | None = None
    charted: bool = False
    timeline: bool = False
    on_page: Literal["numbers", "chart"] | None = None
    averaging_only: bool = False
    axis: tuple[float, float] | None = None
    dip: float = 0.0
    nothing: float | None = None
    caution: float | None = None

    @property
    def scale(self) -> tuple[float, float] | None:
        """Ends of charts and colours; ``None`` where the values say."""
        closed = self.range if all(map(isfinite, self.range)) else None
        return self.axis or closed

    @property
    def attributes(self) -> dict[str, str]:
        """What xarray shows beside the number: its title and unit."""
        return {"long_name": self.title or self.words} | ({"units": self.unit} if self.unit else {})

    @property
    def over_slices(self) -> bool:
        """The page holds its number over the slices too, for every epoch."""
        return self.charted or self.on_page == "chart"


SHARE = (0.0, 1.0)
NOTHING = log10(energy.FLOOR)


def _locality(traced: Traced) -> Tensor:
    status = traced.flow.status
    if traced.parts is None:
        return torch.full(status.shape, torch.nan, dtype=torch.float64, device=status.device)
    return locality(*traced.parts)


MEASURES: tuple[Measure, ...] = (
    Measure(
        "mass",
        "How much of the evidence lies on the organ: 1 is all of it",
        lambda stage: stage.mass,
        title="Evidence on the organ (mass)",
        range=SHARE,
        leading=True,
        charted=True,
        on_page="numbers",
    ),
    Measure(
        "gain",
        "1: as much on the organ as its own mask at this grid; single cells can exceed it; 0: even",
        lambda stage: stage.gain,
        title="Focus (gain) on the organ",
        leading=True,
        slices=RatioOfSums("mass", "ceiling", "area"),
        charted=True,
        timeline=True,
        on_page="chart",
        axis=SHARE,
        dip=0.25,
    ),
    Measure(
        "ceiling",
        "The mass of the organ's own mask, averaged over the cells of the stage's grid",
        lambda stage: stage.ceiling,
        range=SHARE,
        leading=True,
        of_map=False,
    ),
    Measure(
        "ceiling_max",
        "The largest mass that any map of the stage's grid can have, in single cells",
        lambda stage: stage.ceiling_max,
        range=SHARE,
        leading=True,
        of_map=False,
    ),
    Measure(
        "outside",
        "How much of the evidence lies off the patient's body, in the air: 0 is none of it",
        lambda stage: stage.outside,
        title="Evidence off the body",
        range=SHARE,
        leading=True,
        on_page="numbers",
    ),
    Measure(
        "outside_uniform",
        "How much of an even map lies off the patient's body",
        lambda stage: stage.outside_uniform,
        range=SHARE,
        leading=True,
        of_map=False,
        on_page="numbers",
    ),
    Measure(
        "area",
        "The organ's part of the image, which is the mass of an even map",
        lambda stage: stage.area,
        range=SHARE,
        leading=True,
        of_map=False,
    ),
    Measure(
        "kappa",
        "How much of the gradient is left when it is averaged: 1 is all of it; below 0.2 do not "
        "lean on the map",
        lambda traced: traced.flow.kappa.double()[:, None],
        each="flow",
        title="Coherence (kappa) of the gradient",
        range=SHARE,
        leading=True,
        of_map=False,
        charted=True,
        timeline=True,
        on_page="chart",
        averaging_only=True,
        caution=0.2,
    ),
    Measure(
        "magnitude",
        "How strong the map is, before any scaling for display: its mean, as a power of ten",
        lambda stage: stage.magnitude,
        title="Strength (log10 of the map's mean)",
        nothing=NOTHING,
        unit="log10",
        range=(NOTHING, inf),
        leading=True,
        charted=True,
        timeline=True,
        on_page="chart",
    ),
    Measure(
        "gradient",
        "How large the gradient at the stage is: the sum of its absolute values, as a power of ten",
        lambda traced: (energy.FLOOR + traced.flow.gradient_l1.double()).log10()[:, None],
        each="flow",
        unit="log10",
        nothing=NOTHING,
        range=(NOTHING, inf),
        leading=True,
        of_map=False,
    ),
    Measure(
        "score_per_px",
        "The score that is explained, per pixel of its region",
        lambda traced: energy.ratio(traced.flow.scores.double(), traced.flow.region_px),
        each="flow",
        unit="1/px",
        leading=True,
        of_map=False,
        on_page="numbers",
    ),
    Measure(
        "max",
        "The map's largest value",
        lambda stage: stage.largest,
        range=(0.0, inf),
        leading=True,
        on_page="numbers",
    ),
    Measure(
        "positive_fraction",
        "How much of the map, signs aside, speaks for the organ: 1 is all of it",
        lambda stage: stage.positive_fraction,
        range=SHARE,
        leading=True,
    ),
    Measure(
        "lift",
        "How many times more of the evidence lies on the organ than of an even map",
        lambda stage: stage.lift,
        range=(0.0, inf),
    ),
    Measure(
        "pointing_game",
        "1 where a largest pixel of the map lies on the organ, else 0",
        lambda one: pixels.pointing_game(one.image, one.mask),
        each="image",
        range=SHARE,
    ),
    Measure(
        "relevance_rank_accuracy",
        "How many of the map's largest pixels, as many as the organ has, lie on the organ",
        lambda one: pixels.rank_accuracy(one.image, one.mask, one.rising),
        each="image",
        range=SHARE,
    ),
    Measure(
        "average_precision",
        "How well the map tells the organ's pixels from all others; by chance it is their part",
        lambda one: pixels.average_precision(one.image, one.mask, one.rising),
        each="image",
        range=SHARE,
    ),
    Measure(
        "best_dice",
        "The Dice of the map cut at the threshold that suits it best: an upper bound",
        lambda one: one.best[0],
        each="image",
        range=SHARE,
    ),
    Measure(
        "best_threshold",
        "The threshold that gives the best Dice",
        lambda one: one.best[1],
        each="image",
        range=(0.0, inf),
    ),
    Measure(
        "best_iou",
        "Intersection over union at the threshold that gives the best Dice: an upper bound",
        lambda one: one.best[2],
        each="image",
        range=SHARE,
    ),
    Measure(
        "effective_area",
        "The part of the image that the evidence fills: 1 is even, 0 a point",
        lambda one: pixels.effective_area(one.image),
        each="image",
        range=SHARE,
    ),
    Measure(
        "gini",
        "How unevenly the evidence is spread over the pixels: 0 is even, 1 a point",
        lambda one: pixels.gini(one.rising),
        each="image",
        range=SHARE,
    ),
    Measure(
        "centre_distance_mm",
        "How far the evidence's centre lies from the organ's",
        lambda one: pixels.centre_distance(one.image, one.mask, one.spacing),
        each="image",
        unit="mm",
        range=(0.0, inf),
    ),
    Measure(
        "locality",
        "How far the maps for two parts of the organ differ: 0 not at all, 1 wholly",
        _locality,
        each="flow",
        range=SHARE,
    ),
)
"""Every measure, in the order of the columns of measures.csv."""


def table() -> dict[str, Measure]:
    """Name -> measure, in the order of the columns."""
    return {one.name: one for one in MEASURES}


def wanted(measures: Literal["leading", "all"]) -> list[Measure]:
    """Those that ``measures=leading`` or ``all`` computes."""
    return [one for one in MEASURES if one.leading or measures == "all"]


def followed(kept: Collection[str] | None = None) -> list[Measure]:
    """Those of timeline.csv, the most telling first: with a timeline, then with curves alone.

    Args:
        kept: the names that there are numbers of; ``None`` for all.
    """
    found = [one for one in MEASURES if one.charted and (kept is None or one.name in kept)]
    return sorted(found, key=lambda one: not one.timeline)


def on_page() -> list[Measure]:
    """Those whose numbers the page holds."""
    return [one for one in MEASURES if one.on_page]
