"""The tags that a run must leave in its event file, told by its settings alone."""

from collections.abc import Iterable, Sequence

from segtrace.report.tensorboard import (
    LAYOUT_TAG,
    NECESSITY_TAG,
    ROUTES_TAG,
    SCALAR_BUDGET,
    Block,
    events_tag,
    flow_tag,
    leak_tag,
    loss_timeline_tag,
    route_tag,
    scalar_blocks,
    scalar_tags,
    timeline_tag,
)


def expected_tags(
    *,
    rules: Sequence[str],
    organs: Sequence[str],
    stages: Sequence[str],
    blocks: Iterable[Block] = (),
    timelines: Iterable[Block] = (),
    leaks: Iterable[str] = (),
    events: Iterable[str] = (),
    cut: Iterable[str] = (),
    budget: int = SCALAR_BUDGET,
) -> set[str]:
    """Every tag a run must hold, no more and no less, computed from its settings alone.

    Args:
        rules: those with pictures of the flow.
        organs: all that are explained.
        stages: all that are traced.
        blocks: (measure, rule) pairs asked for as scalars, before the budget.
        timelines: (measure, rule) pairs drawn over the epochs.
        leaks: rules with leakage matrices.
        events: rules with events as text.
        cut: organs whose stages and edges are cut, of a network whose edges are known.
        budget: as for :func:`scalar_blocks`.
    """
    kept, _ = scalar_blocks(blocks, organs, stages, budget)
    cut = list(cut)
    return {
        *(flow_tag(rule, organ) for rule in rules for organ in organs),
        *(timeline_tag(m, r, organ) for m, r in timelines for organ in organs),
        *(leak_tag(rule, stage) for rule in leaks for stage in stages),
        *(events_tag(rule) for rule in events),
        *(tag(organ) for tag in (route_tag, loss_timeline_tag) for organ in cut),
        *([NECESSITY_TAG, ROUTES_TAG] if cut else []),
        *scalar_tags(kept, organs, stages),
        *([LAYOUT_TAG] if kept else []),
    }
