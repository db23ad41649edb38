"""The picture of one organ and rule: slices down, the CT and every stage in order."""

from collections.abc import Sequence

import numpy as np

from segtrace.attribution.flow import Flow
from segtrace.report.captions import SCORES, epoch_words, marks, rule_title, titled
from segtrace.report.captions import final_words as of_final
from segtrace.report.combined import explained
from segtrace.report.pictures.cells import PREDICTION, TRUTH, Picture
from segtrace.report.pictures.sheet import band, head, key, sheet_width
from segtrace.report.pictures.strip import (
    Place,
    across,
    count,
    decimal,
    number_words,
    shared_maximum,
    strip,
    view,
)
from segtrace.report.pictures.view import array
from segtrace.report.record import Record
from segtrace.report.scene import (
    NO_SIDES_WORDS,
    PREDICTION_LINE,
    REGIONS,
    RESEARCH_USE,
    SIDES_WORDS,
    TRUTH_LINE,
    Scene,
)
from segtrace.report.volumes.planes import through, words

SIDE = 150
"""Pixels of a cell: six side by side are as wide as a page, or as what a logger shows."""
ROWS = 2


def choose_rows(flow: Flow, scene: Scene, organ: str, rows: int = ROWS) -> list[int]:
    """The slices that hold most of the organ, largest first.

    The ground truth decides where there is one, so that the rows stay the same over the epochs;
    else the explained region does. An organ that no slice holds gets one row, which says so.
    """
    area = flow.region_px[flow.organs.index(organ)].tolist()
    if (there := scene.there(organ)) is not None:
        # numpy counts the bytes of one slice many times as fast as along axes, or as torch does.
        area = [int(np.count_nonzero(mask)) for mask in array(there)]
    order = sorted(range(len(area)), key=lambda n: (-area[n], n))
    return [n for n in order if area[n] > 0][:rows] or order[:1]


def flow_picture(
    record: Record,
    rule: str,
    organ: str,
    *,
    side: int = SIDE,
    rows: Sequence[int] | int = ROWS,
    shared: bool = False,
) -> Picture:
    """The paper's Figure 1 for one organ, with what must be known to read it.

    Args:
        record: the maps, and the slices they were traced on.
        rule: one of the flow's rules.
        organ: one of the flow's organs.
        side: pixels of a cell along its longer side.
        rows: slices to show, or how many of those with most of the organ; of each volume the plane
            with most of it is shown.
        shared: one colour scale for all cells instead of one for each.

    Returns:
        (H, W, 3).
    """
    flow, scene = record.flow, record.scene
    shown = choose_rows(flow, scene, organ, rows) if isinstance(rows, int) else list(rows)
    vmax = shared_maximum(flow, rule, organ) if shared else None
    drawn, shown = of_slices(record, organ, shown)
    window, line = view(drawn, shown, side), across(count(record))
    pixels = drawn.flow.region_px[flow.organs.index(organ)]
    unit = "voxels" if scene.of_volumes else "px"
    bands = [
        band(
            f"{drawn.scene.name(n)}, {int(pixels[n])} {unit} explained",
            strip(Place(drawn, rule, organ, n), window, vmax),
            window,
            line,
        )
        for n in shown
    ]
    width = sheet_width(window, line)
    parts = [titled(organ), rule_title(flow, rule)]
    title = "  ·  ".join(parts + ([] if record.epoch is None else [epoch_words(record.epoch)]))
    above = head(title, "  ·  ".join(marks(record)).upper(), facts(record), width)
    below = key(
        sentences(record, organ, shared=shared),
        colours(vmax),
        ((TRUTH_LINE, TRUTH), (PREDICTION_LINE, PREDICTION)),
        width,
    )  # fmt: skip
    return np.concatenate([above, *bands, below])


def of_slices(record: Record, organ: str, shown: Sequence[int]) -> tuple[Record, list[int]]:
    """What is drawn of slices, or of volumes: of each the plane with most of an organ."""
    if not record.scene.of_volumes:
        return record, list(shown)
    return through(record, organ, shown), list(range(len(shown)))


def colours(vmax: float | None) -> tuple[str, str, str]:
    """Words for the key's colour bar, of maps on scales of their own or on one."""
    most = (
        "each map's own maximum" if vmax is None else f"{decimal(vmax)} in all maps (square root)"
    )
    return "Colour: evidence for the organ,", "none", most


def facts(record: Record) -> str:
    """Which score of which region is explained."""
    region = REGIONS.get(record.region, record.region)
    score = SCORES.get(record.flow.score, record.flow.score)
    return f"What speaks for the organ at every stage  ·  region: {region}  ·  score: {score}"


def sentences(record: Record, organ: str, *, shared: bool) -> list[str]:
    """How to read numbers, contours and the last cells."""
    scene = record.scene
    lines = f"{PREDICTION_LINE}: prediction"
    if scene.truth is not None:
        lines = f"{TRUTH_LINE}: ground truth, {lines}"
    sides = SIDES_WORDS if scene.sides_known or scene.axcodes else NO_SIDES_WORDS
    aggregate = [] if record.aggregate is None else [explained(record.aggregate)]
    smooth = [f"maps {record.drawn}"] if record.smooth else []
    return [
        f"Number: {number_words(shared=shared)}",
        *words(scene),
        "  ·  ".join(
            [f"Contour: {lines}", sides, *smooth, *aggregate, *of_final([record], [organ])]
        ),
        RESEARCH_USE.capitalize(),
    ]
