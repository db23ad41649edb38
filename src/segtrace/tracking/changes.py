"""How maps differ along the depth and over the epochs, as rows."""

import math
from typing import Any

from segtrace.labelled import mean, rows
from segtrace.measures.change import MEASURES, between_epochs, between_stages
from segtrace.report.record import Record

ALONG = ("rule", "organ", "stage")


def change_rows(before: Record | None, record: Record) -> list[dict[str, Any]]:
    """How maps differ from the next stage's and from the epoch's before, means over slices.

    One row a rule, organ and stage; NaN at the last stage and at the first epoch.
    """
    flow = record.flow
    depth = mean(between_stages(flow), "slice").reindex(site=list(flow.stages))
    churn = depth * math.nan
    if before is not None:
        churn = mean(between_epochs(before.flow, flow), "slice")
    ways = {"to_next_stage": depth, "since_epoch": churn}
    numbers = {f"{name}_{way}": found[name] for way, found in ways.items() for name in MEASURES}
    since = None if before is None else before.epoch
    shown = depth.assign(numbers).assign_coords(epoch=((), record.epoch), since=((), since))
    return rows(shown.rename(site="stage"), ALONG, ("epoch", "since", *ALONG, *numbers))
