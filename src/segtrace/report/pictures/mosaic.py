"""The picture of one organ and rule: probes down, the CT and every stage across."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from segtrace.attribution.flow import Flow, Status
from segtrace.report.combined import NAME, NOTHING, Combined, counted, explained
from segtrace.report.pictures.cells import (
    Picture,
    array,
    ct_cell,
    grey_cells,
    heat_cell,
    heat_cells,
    note_cell,
)
from segtrace.report.pictures.sheet import Column, grid, head, key
from segtrace.report.scene import FINAL, REASONS, Caption, Scene

__all__ = ["choose_rows", "describe_picture", "flow_picture", "heat_cell", "shared_maximum"]

CELL = 96
ROWS = 4
VMax = float | Mapping[str, float] | None
"""Brightest value of all cells, or of each stage; None: each cell's own maximum."""
Drawn = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""The shown CT slices as they are, and as the grey cells they make."""


def choose_rows(flow: Flow, scene: Scene, organ: str, rows: int = ROWS) -> list[int]:
    """The slices that hold most of the organ, largest first.

    The ground truth decides where there is one, so that the rows stay the same over the epochs;
    else the explained region does. An organ that no slice holds gets one row, which says so.
    """
    area = flow.region_px[flow.organs.index(organ)].tolist()
    if scene.truth is not None and organ in scene.channels:
        # numpy counts the bytes of one slice many times as fast as along axes, or as torch does.
        there = array(scene.truth) == scene.channels[organ]
        area = [int(np.count_nonzero(mask)) for mask in there]
    order = sorted(range(len(area)), key=lambda n: (-area[n], n))
    return [n for n in order if area[n] > 0][:rows] or order[:1]


def shared_maximum(flow: Flow, rule: str, organ: str) -> float:
    """The largest value of all sound maps of an organ, for one colour scale; 0 if there is none."""
    r, o = flow.rules.index(rule), flow.organs.index(organ)
    sound = flow.status[:, r, o] == Status.OK
    peaks = [
        float(flow.maps[stage][r, o][sound[s]].max())
        for s, stage in enumerate(flow.stages)
        if sound[s].any()
    ]
    return max(peaks, default=0.0)


def _scale_words(vmax: VMax) -> tuple[str, str]:
    """What the colours mean, and the upper end of the colour bar."""
    if vmax is None:
        return "each cell from 0 to its own maximum, which is written below it", "max"
    if isinstance(vmax, Mapping):
        words = "a fixed scale for each stage; each cell's maximum is written below it"
        return words, "stage's limit"
    top = f"{vmax:.1e}"
    return f"all cells from 0 to {top}; each cell's maximum is written below it", top


def describe_picture(
    flow: Flow,
    scene: Scene,
    rule: str,
    organ: str,
    *,
    region: str,
    epoch: int | None,
    rows: Sequence[int],
    vmax: VMax = None,
    aggregate: Combined | None = None,
) -> Caption:
    """Everything the picture of these rows must say, from the flow and the scene."""
    pixels = flow.region_px[flow.organs.index(organ)]
    scale, brightest = _scale_words(vmax)
    return Caption(
        organ=organ,
        rule=rule,
        region=region,
        score=flow.score,
        epoch=epoch,
        scale=scale,
        brightest=brightest,
        rows=tuple(f"{scene.name(n)}, {int(pixels[n])} px explained" for n in rows),
        truth=scene.truth is not None,
        training=scene.training,
        phantom=scene.phantom,
        final=FINAL in flow.stages,
        aggregate="" if aggregate is None else explained(aggregate),
        sides=scene.sides_known,
        missed=scene.missed(organ, flow.prediction),
    )


def flow_picture(
    flow: Flow,
    scene: Scene,
    rule: str,
    organ: str,
    *,
    region: str,
    epoch: int | None,
    cell: int = CELL,
    rows: Sequence[int] | int = ROWS,
    vmax: VMax = None,
    aggregate: Combined | None = None,
) -> Picture:
    """The paper's Figure 1 for one organ, with what must be known to read it.

    Args:
        flow: the maps.
        scene: the slices they were traced on.
        rule: one of the flow's rules.
        organ: one of the flow's organs.
        region: the region that was explained, e.g. ``"gt"``.
        epoch: finished passes of the network, or None.
        cell: pixels of a cell's side.
        rows: slices to show, or how many of those with most of the organ.
        vmax: brightest value for all cells or for each stage; None: each cell's own maximum.
        aggregate: a map over several stages, in a last column.

    Returns:
        (H, W, 3).
    """
    shown = choose_rows(flow, scene, organ, rows) if isinstance(rows, int) else list(rows)
    caption = describe_picture(
        flow,
        scene,
        rule,
        organ,
        region=region,
        epoch=epoch,
        rows=shown,
        vmax=vmax,
        aggregate=aggregate,
    )
    image = array(scene.image)[shown, 0]
    grey = grey_cells(image, cell)
    columns = [_ct_column(flow, scene, organ, shown, cell)]
    for stage in flow.stages:
        limit = vmax[stage] if isinstance(vmax, Mapping) else vmax
        columns.append(_stage_column(flow, (stage, rule, organ), shown, (image, grey), limit))
    if aggregate is not None:
        at = flow.rules.index(rule), flow.organs.index(organ)
        columns.append(_aggregate_column(aggregate, at, shown, (image, grey)))
    body = grid(columns, caption.rows, cell)
    return np.concatenate([head(caption, body.shape[1]), body, key(caption, body.shape[1])])


def _ct_column(flow: Flow, scene: Scene, organ: str, rows: list[int], cell: int) -> Column:
    cells = [
        ct_cell(
            scene.image[n, 0],
            scene.mask(scene.truth, organ, n),
            scene.mask(flow.prediction, organ, n),
            cell,
            sides=scene.sides_known,
        )
        for n in rows
    ]
    return Column("CT", cells, [""] * len(cells))


def _stage_column(
    flow: Flow, at: tuple[str, str, str], rows: list[int], ct: Drawn, vmax: float | None
) -> Column:
    """The cells of one stage (stage, rule, organ); an unsound map gives way to its reason."""
    image, grey = ct
    stage, rule, organ = at
    s, r, o = flow.stages.index(stage), flow.rules.index(rule), flow.organs.index(organ)
    size = grey.shape[-1]
    maps = array(flow.maps[stage][r, o])[rows]
    cells = list(heat_cells(maps, image, size, vmax, grey))
    words = []
    for i, n in enumerate(rows):
        status = Status(int(flow.status[s, r, o, n]))
        words.append(_below(maps[i], status, float(flow.kappa[s, o, n])))
        if status != Status.OK:
            cells[i] = note_cell(REASONS[status.label], size)
    return Column(stage, cells, words)


def _below(values: NDArray, status: Status, kappa: float) -> str:
    """The line below a cell: its maximum, or the number that made the map unsound."""
    if status == Status.OK:
        return f"max {values.max():.1e}"
    return f"kappa {kappa:.3f}" if status == Status.GAP_DEGENERATE else ""


def _aggregate_column(
    aggregate: Combined, at: tuple[int, int], rows: list[int], ct: Drawn
) -> Column:
    """The cells of (rule, organ), with the number of stages that went in below each."""
    image, grey = ct
    maps, size = array(aggregate.map[at])[rows], grey.shape[-1]
    cells = list(heat_cells(maps, image, size, None, grey))
    for i, n in enumerate(rows):
        if not aggregate.used[(*at, n)]:
            cells[i] = note_cell(NOTHING, size)
    return Column(NAME, cells, [counted(aggregate, (*at, n)) for n in rows])
