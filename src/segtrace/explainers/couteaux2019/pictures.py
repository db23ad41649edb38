"""Pictures of an organ on the way up its score: the image, what was added, numbers over steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from torch import Tensor

from segtrace.attribution.flow import Status
from segtrace.explainers.couteaux2019.features import Ruler
from segtrace.explainers.couteaux2019.trajectory import Frames, Trajectory
from segtrace.measures.over_cases import over_cases
from segtrace.report.captions import epoch_words, plain, titled
from segtrace.report.figures.animation import Animation
from segtrace.report.pictures.cells import (
    PREDICTION,
    TRUTH,
    Picture,
    grey_cell,
    outline,
    paint,
)
from segtrace.report.pictures.curves import curves_picture
from segtrace.report.pictures.sheet import FAINT, INK, band, blank, head, paragraph, sheet_width
from segtrace.report.pictures.strip import Cell, decimal
from segtrace.report.pictures.view import View, array, drawn, view_of
from segtrace.report.scene import PREDICTION_LINE, REASONS, RESEARCH_USE, TRUTH_LINE, Scene

ACROSS, SIDE, WIDE = 6, 150, 300
"""Cells of a line, pixels of a cell, and of one of the animation."""
CHARTS = (220, 470)
SIGNED = "RdBu_r"
"""Red where the image was made brighter, blue where darker; white where nothing was added."""


@dataclass(frozen=True)
class Shot:
    """One organ's trajectory, with what its pictures say.

    Attributes:
        trajectory: of all organs.
        organ: whose.
        scene: the slices.
        ruler: units.
        marks: what must not be overlooked.
        epoch: of the network, where known.
        facts: what was climbed.
    """

    trajectory: Trajectory
    organ: str
    scene: Scene
    ruler: Ruler
    marks: Sequence[str]
    epoch: int | None
    facts: str

    @property
    def o(self) -> int:
        """Of the organ."""
        return self.trajectory.organs.index(self.organ)

    @property
    def title(self) -> str:
        """Over every picture."""
        when = [] if self.epoch is None else [epoch_words(self.epoch)]
        return "  ·  ".join([titled(self.organ), "DeepDream", *when])

    def name(self, frames: Frames) -> str:
        """Case and slice, or plane."""
        plane = "" if frames.plane is None else f", plane {frames.plane}"
        return f"{self.scene.name(frames.n)}{plane}"

    def score(self, j: int, n: int) -> str:
        """At a step shown, per slice."""
        return f"score {number(float(self.trajectory.scores[j, self.o, n]))}"


def number(value: float) -> str:
    """Of any size and sign, as people write it.

    >>> number(-11624.6), number(0.0234)
    ('-11625', '0.023')
    """
    return f"{'-' * (value < 0)}{decimal(abs(value))}" if np.isfinite(value) else "–"


def sheet(shot: Shot) -> Picture:
    """Slices down; for each the image at steps 0 … last, and below what was added, (H, W, 3)."""
    trajectory = shot.trajectory
    steps = trajectory.steps
    at = np.unique(np.linspace(0, len(steps) - 1, ACROSS).round().astype(int)).tolist()
    own = trajectory.frames[shot.organ]
    view, bands = view_of([frames.images[0] for frames in own], SIDE), []
    for frames in own:
        largest = _largest(frames)
        images = [_image(shot, frames, j, view) for j in at]
        added = [Cell("added", None, _scale_words(shot, largest))]
        added += [_added(shot, frames, j, view, largest) for j in at[1:]]
        bands += [
            band(shot.name(frames), images, view, ACROSS),
            band("", added, view, ACROSS),
        ]
    width = sheet_width(view, ACROSS)
    facts = f"How the image has to change for the organ's score to rise  ·  {shot.facts}"
    above = head(shot.title, "  ·  ".join(shot.marks).upper(), facts, width)
    truth = f"{TRUTH_LINE}: ground truth, " if shot.scene.truth is not None else ""
    lines = (
        f"Contours: {truth}{PREDICTION_LINE}: the organ as predicted at that step. Added: the "
        "image less that of step 0, red brighter, blue darker, one scale a slice.",
        RESEARCH_USE.capitalize(),
    )
    below = paragraph([(line, INK, False) for line in lines], width)
    return np.concatenate([above, *bands, below, blank(6, width)])


def curves(shot: Shot) -> Picture:
    """Score; area and Dice of every predicted organ; the organ's mean value: means over cases."""
    trajectory, width = shot.trajectory, CHARTS[1]
    area = _observed(shot, "area")
    share = {name: [100 * v / one[0] if one[0] else np.nan for v in one]
             for name, one in area.items()}  # fmt: skip
    charts = [
        _chart(shot, {"score": _mean(shot, trajectory.scores[:, shot.o])}, "Score"),
        _chart(shot, share, "Area as predicted, % of step 0"),
        _chart(shot, _observed(shot, "dice"), "Dice to the prediction at step 0", (0.0, 1.0)),
        _chart(
            shot, {"mean": _mean(shot, trajectory.own("mean")[:, shot.o]),
                   "sd": _mean(shot, trajectory.own("sd")[:, shot.o])},
            f"Values in the organ as predicted, {shot.ruler.value}",
        ),
    ]  # fmt: skip
    rows = [np.concatenate(charts[:2], 1), np.concatenate(charts[2:], 1)]
    above = head(shot.title, "  ·  ".join(shot.marks).upper(), shot.facts, 2 * width)
    said = "Means over the cases that have the organ. Other organs: what becomes of them meanwhile."
    notes = paragraph([(said, FAINT, False)], 2 * width)
    return np.concatenate([above, *rows, notes, blank(6, 2 * width)])


def animation(shot: Shot) -> bytes:
    """A GIF: the slice with most of the organ, and what was added, at every step shown."""
    frames, film = shot.trajectory.frames[shot.organ][0], Animation()
    view, largest = view_of([frames.images[0]], WIDE), _largest(frames)
    width = sheet_width(view, 2)
    for j in range(len(shot.trajectory.steps)):
        above = head(shot.title, "  ·  ".join(shot.marks).upper(), shot.facts, width)
        cells = [_image(shot, frames, j, view), _added(shot, frames, j, view, largest)]
        film.add(np.concatenate([above, band(shot.name(frames), cells, view, 2)]))
    return film.gif()


def _image(shot: Shot, frames: Frames, j: int, view: View) -> Cell:
    picture = grey_cell(frames.images[j], view)[..., None].repeat(3, -1)
    there = shot.scene.there(shot.organ)
    if there is not None:
        paint(picture, outline(frames.of(there[frames.n]), view), TRUTH, dashed=False)
    paint(picture, outline(frames.masks[j], view), PREDICTION, dashed=True)
    step, status = f"step {shot.trajectory.steps[j]}", shot.trajectory.status(j, shot.o, frames.n)
    if status != Status.OK:
        return Cell(step, None, REASONS[status.label])
    return Cell(step, picture, shot.score(j, frames.n), sides=shot.scene.sides_known)


def _added(shot: Shot, frames: Frames, j: int, view: View, largest: float) -> Cell:
    added = drawn(array(frames.images[j] - frames.images[0]), view)
    shares = 0.5 + 0.5 * np.clip(added / (largest or 1.0), -1, 1)
    picture = (colormaps[SIGNED](shares)[..., :3] * 255 + 0.5).astype(np.uint8)
    area = float(shot.trajectory.own("area")[j, shot.o, frames.n])
    step = f"step {shot.trajectory.steps[j]}"
    return Cell(step, picture, f"area {number(area)} {shot.ruler.size}")


def _largest(frames: Frames) -> float:
    return float((frames.images[-1] - frames.images[0]).abs().max())


def _scale_words(shot: Shot, largest: float) -> str:
    return (
        f"added since step 0: red brighter, blue darker, up to {largest * shot.ruler.width:.3g} "
        f"{shot.ruler.value}"
    )


def _mean(shot: Shot, values: Tensor) -> list[float]:
    """Over cases, of (J, N)."""
    found: list[float] = over_cases(values, shot.scene.cases).mean.tolist()
    return found


def _observed(shot: Shot, name: str) -> dict[str, list[float]]:
    """Organ -> over the steps; the organ itself first."""
    held = shot.trajectory.features[name][:, shot.o]  # (J, Q, N)
    names = shot.trajectory.observed
    order = sorted(range(len(names)), key=lambda q: names[q] != shot.organ)
    return {plain(names[q]): _mean(shot, held[:, q]) for q in order}


def _chart(
    shot: Shot,
    lines: dict[str, list[float]],
    title: str,
    ends: tuple[float, float] | None = None,
) -> Picture:
    known = [v for one in lines.values() for v in one if np.isfinite(v)] or [0.0, 1.0]
    low, high = ends or (min(0.0, *known), max(0.0, *known))
    return curves_picture(lines, shot.trajectory.steps, title, CHARTS, high, low, along="step")
