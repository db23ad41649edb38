"""How maps differ along the depth and over the epochs, as rows."""

from typing import Any

from segtrace.measures.change import between_epochs, between_stages
from segtrace.report.record import Record


def change_rows(before: Record | None, record: Record) -> list[dict[str, Any]]:
    """How maps differ from the next stage's and from the epoch's before, means over slices.

    One row a rule, organ and stage; NaN at the last stage and at the first epoch.
    """
    flow = record.flow
    depth = {f"{name}_to_next_stage": values.nanmean(-1).tolist()
             for name, values in between_stages(flow).items()}  # fmt: skip
    churn = {}
    if before is not None:
        churn = {f"{name}_since_epoch": values.nanmean(-1).tolist()
                 for name, values in between_epochs(before.flow, flow).items()}  # fmt: skip
    last, nan = len(flow.stages) - 1, float("nan")
    names = [name.replace("_to_next_stage", "_since_epoch") for name in depth]
    return [
        {
            "epoch": record.epoch,
            "since": None if before is None else before.epoch,
            "rule": rule,
            "organ": organ,
            "stage": stage,
            **{name: nan if s == last else values[s][r][o] for name, values in depth.items()},
            **{name: churn[name][s][r][o] if churn else nan for name in names},
        }
        for r, rule in enumerate(flow.rules)
        for o, organ in enumerate(flow.organs)
        for s, stage in enumerate(flow.stages)
    ]
