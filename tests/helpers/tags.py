"""The tags that a run must leave in its event file, told by its settings alone."""

from collections.abc import Iterable, Sequence

from segtrace.report.tensorboard import (
    ESTIMATE_TAG,
    NECESSITY_TAG,
    OVERVIEW_TAG,
    ROUTES_TAG,
    Block,
    events_tag,
    flow_tag,
    leading,
    leak_tag,
    loss_timeline_tag,
    route_tag,
    scalar_blocks,
    scalar_tag,
    timeline_tag,
)


def expected_tags(
    *,
    rules: Sequence[str],
    organs: Sequence[str],
    cut: Iterable[str] = (),
    estimated: bool = False,
) -> set[str]:
    """Every tag a run holds by default, no more and no less.

    Args:
        rules: all that are drawn.
        organs: all that are explained.
        cut: organs whose stages and edges are cut, of a network whose edges are known.
        estimated: what cuts would cost is estimated, since the weights keep means.
    """
    cut = list(cut)
    return {
        OVERVIEW_TAG,
        *(flow_tag(rule, organ) for rule in rules for organ in organs),
        *(timeline_tag("gain", leading(rules), organ) for organ in organs),
        *(events_tag(rule) for rule in rules),
        *(route_tag(organ) for organ in cut),
        *([NECESSITY_TAG, ROUTES_TAG] if cut else []),
        *([ESTIMATE_TAG] if estimated else []),
    }


def further_tags(
    *,
    rules: Sequence[str],
    organs: Sequence[str],
    stages: Sequence[str],
    blocks: Iterable[Block] = (),
    timelines: Iterable[Block] = (),
    cut: Iterable[str] = (),
) -> set[str]:
    """Those that ``measures=all`` adds: of (measure, rule) blocks and timelines."""
    kept, _ = scalar_blocks(blocks, organs, stages)
    return {
        *(timeline_tag(m, r, organ) for m, r in timelines for organ in organs),
        *(leak_tag(rule, stage) for rule in rules for stage in stages),
        *(loss_timeline_tag(organ) for organ in cut),
        *(scalar_tag(m, r, o, s) for m, r in kept for o in organs for s in stages),
    }
