"""An epoch in one picture: how well each organ is found, where its evidence lies, and the maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import isfinite, isnan, nan

import numpy as np
from numpy.typing import NDArray

from segtrace.report.captions import epoch_words, marks, plain, rule_title, titled
from segtrace.report.claims.claim import FOUND
from segtrace.report.pictures.cells import PREDICTION, TRUTH, Picture
from segtrace.report.pictures.charts import table_picture
from segtrace.report.pictures.curves import curves_picture
from segtrace.report.pictures.lettering import text_width
from segtrace.report.pictures.mosaic import SIDE, choose_rows, colours, of_slices, sentences
from segtrace.report.pictures.sheet import GAP, band, blank, head, key, sheet_width
from segtrace.report.pictures.strip import Place, across, count, strip, view
from segtrace.report.record import Record
from segtrace.report.scene import PREDICTION_LINE, TRUTH_LINE
from segtrace.report.tensorboard import leading

LOSS_PX, CURVES_PX = 120, 430
"""Height of the loss's chart, and width of the charts."""


@dataclass(frozen=True)
class Course:
    """What is known of a training up to an epoch.

    Attributes:
        epochs: finished passes, rising.
        dice: organ -> validation Dice an epoch, NaN where not known.
        gain: (S, O) of the newest epoch, by the rule shown.
        untrained: (S, O) of epoch 0; None where not known, or where this is it.
        loss: epoch -> mean loss of the steps that led there, as far as known.
    """

    epochs: Sequence[int]
    dice: Mapping[str, Sequence[float]]
    gain: NDArray
    untrained: NDArray | None = None
    loss: Mapping[int, float] = field(default_factory=dict)


def chosen_organ(record: Record, dice: Mapping[str, Sequence[float]]) -> tuple[str, str]:
    """Whose maps are shown, and why, in words that may be empty.

    Of the organs that are found the one with the lowest Dice; while none is found, the one with the
    highest: maps of an organ that is not found explain a decision that the network does not make.
    """
    area = record.flow.region_px.sum(1).tolist()
    held = [o for o, px in zip(record.flow.organs, area, strict=True) if px] or record.flow.organs
    now = {organ: dice[organ][-1] for organ in held if not isnan(dice[organ][-1])}
    if not now:
        return held[0], ""
    if found := [organ for organ in now if now[organ] >= FOUND]:
        organ = min(found, key=now.__getitem__)
        return organ, f", found with the lowest Dice ({now[organ]:.2f})"
    organ = max(now, key=now.__getitem__)
    return organ, f", the organ with the highest Dice ({now[organ]:.2f})"


def overview_picture(record: Record, course: Course) -> Picture:
    """Loss and Dice that were logged, gain over the untrained network, and a strip of maps.

    Args:
        record: of the newest epoch.
        course: what led there.

    Returns:
        (H, W, 3).
    """
    rule, (organ, why) = leading(record.flow.rules), chosen_organ(record, course.dice)
    drawn, (n,) = of_slices(record, organ, choose_rows(record.flow, record.scene, organ, 1))
    window, line = view(drawn, [n], SIDE), across(count(record))
    table = _table(record, course, rule)
    curves = _curves(course, max(table.shape[0], 3 * LOSS_PX))
    width = max(sheet_width(window, line), curves.shape[1] + GAP + table.shape[1])
    upper = _beside(curves, table, width)
    label = f"{titled(organ)}{why}  ·  {drawn.scene.name(n)}"
    maps = band(label, strip(Place(drawn, rule, organ, n), window), window, line)
    title = f"Overview  ·  {epoch_words(record.epoch)}  ·  {rule_title(record.flow, rule)}"
    below = key(
        sentences(record, organ, shared=False),
        colours(None),
        ((TRUTH_LINE, TRUTH), (PREDICTION_LINE, PREDICTION)),
        width,
    )
    above = head(title, "  ·  ".join(marks(record)).upper(), "", width)
    filled = blank(maps.shape[0], width)
    filled[:, : maps.shape[1]] = maps
    return np.concatenate([above, upper, blank(GAP, width), filled, below])


def _beside(left: Picture, right: Picture, width: int) -> Picture:
    sheet = blank(max(left.shape[0], right.shape[0]), width)
    sheet[: left.shape[0], : left.shape[1]] = left
    sheet[: right.shape[0], width - right.shape[1] :] = right
    return sheet


def _curves(course: Course, height: int) -> Picture:
    """Dice per organ, the loss below; of what was never logged there is no chart."""
    charts = []
    loss = height if not _logged(course) else LOSS_PX if course.loss else 0
    organs = {plain(organ): values for organ, values in course.dice.items()}
    names = max(text_width(f"{name} 0.00") for name in organs)
    width = max(CURVES_PX, CURVES_PX // 2 + names + GAP)  # long names leave the curves their half
    if _logged(course):
        size = height - loss, width
        charts.append(curves_picture(organs, course.epochs, "Dice of the validation", size, 1.0))
    if course.loss:
        losses = {"loss": [course.loss.get(epoch, nan) for epoch in course.epochs]}
        size = loss, width
        charts.append(curves_picture(losses, course.epochs, "Loss of the training", size))
    return np.concatenate(charts) if charts else blank(0, 0)


def _logged(course: Course) -> bool:
    """Whether there is a Dice of any organ and epoch."""
    return any(map(isfinite, chain(*course.dice.values())))


def _table(record: Record, course: Course, rule: str) -> Picture:
    """Stage x organ: the gain beyond the untrained network's, or the untrained network's own."""
    flow = record.flow
    known = course.untrained is not None
    values = course.gain - course.untrained if course.untrained is not None else course.gain
    words = (
        "Gain beyond the untrained network's" if known else "Gain: how far maps lie on the organ"
    )
    facts = "0: none  ·  1: from even to as exactly as the grid allows"
    return table_picture(
        values, flow.stages, f"{words}\n{facts}", columns=[plain(organ) for organ in flow.organs]
    )
