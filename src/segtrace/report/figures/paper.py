"""Figures for a manuscript, each with the caption that makes it honest."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from segtrace.errors import InputError, unknown
from segtrace.report.captions import epoch_words, marks, paragraph, plain, titled
from segtrace.report.figures.panels import Legend, Strip, cell_pixels, lay_out, print_style
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
from segtrace.report.pictures.view import View
from segtrace.report.record import Record

OWN_SCALE = "from 0 to each map's own maximum"


def choose_slices(record: Record, organs: Sequence[str]) -> dict[str, int]:
    """One slice for all organs: where the smallest of them is largest; else each its own.

    Raises:
        InputError: for an organ that the flow lacks, or that no slice holds.
    """
    flow = record.flow
    for organ in organs:
        if organ not in flow.organs:
            raise unknown("organ", organ, flow.organs, "this flow")
    areas = flow.region_px[[flow.organs.index(organ) for organ in organs]]
    if int(areas.min(0).values.max()) > 0:
        return dict.fromkeys(organs, int(areas.min(0).values.argmax()))
    empty = [organ for organ, area in zip(organs, areas, strict=True) if int(area.max()) == 0]
    if empty:
        raise InputError(
            f"region {record.region!r} of {empty[0]!r} is empty on every slice; "
            "choose another organ, region or slice"
        )
    return {organ: int(area.argmax()) for organ, area in zip(organs, areas, strict=True)}


def _check_rule(record: Record, rule: str) -> None:
    if rule not in record.flow.rules:
        raise unknown("rule", rule, record.flow.rules, "this flow")


def paper_figure(
    record: Record,
    organs: Sequence[str] = ("left_kidney", "liver"),
    rule: str = "seg_grad_cam",
    *,
    slices: dict[str, int] | None = None,
    columns: int | None = None,
    shared: bool = False,
) -> tuple[Figure, str]:
    """Figure 1 of the paper: for each organ the CT and every stage in order.

    Args:
        record: a trace.
        organs: one block each.
        rule: which maps.
        slices: organ -> index along N; default :func:`choose_slices`.
        columns: cells in a row; default at most 6, in rows of equal length.
        shared: one colour scale for all stages of an organ instead of one for each map.

    Returns:
        The figure and its caption.

    Raises:
        InputError: for an organ or rule that the flow lacks, or that no slice holds.
    """
    _check_rule(record, rule)
    rows = slices or choose_slices(record, organs)
    line = columns or across(count(record))
    window = view(record, set(rows.values()), cell_pixels(line))
    strips = []
    for organ in organs:
        vmax = shared_maximum(record.flow, rule, organ) if shared else None
        cells = strip(Place(record, rule, organ, rows[organ]), window, vmax)
        for start in range(0, len(cells), line):
            label = _label(titled(organ), record, organ) if start == 0 else ""
            strips.append(Strip(label, cells[start : start + line]))
    opening = (
        f"Evidence for {' and '.join(map(plain, organs))} at every stage of the network, "
        f"{epoch_words(record.epoch)}."
    )
    names = [record.scene.name(rows[organ]) for organ in organs]
    scale = "from 0 to the organ's maximum over all stages, of the square root"
    number = number_words(shared=shared)
    caption = paragraph(
        [record], organs, rule, opening, names, scale if shared else OWN_SCALE, number
    )
    most = "organ's maximum (square root)" if shared else "map's maximum"
    return _drawn(record, strips, window, most, number), caption


def epoch_grid(
    records: Sequence[Record],
    organ: str,
    rule: str = "seg_grad_cam",
    *,
    n: int | None = None,
    shared: bool = False,
) -> tuple[Figure, str]:
    """How the stages of one organ form: an epoch in each row, a stage in each column.

    Args:
        records: traces of the same slices and stages, in the order of the rows.
        organ: which organ.
        rule: which maps.
        n: index of the slice along N; default where the organ's region is largest in the last.
        shared: one colour scale for all maps instead of one for each.

    Returns:
        The figure and its caption.

    Raises:
        InputError: for no record, an organ or rule that a flow lacks, or other stages or slices.
    """
    _check_series(records)
    last = records[-1]
    _check_rule(last, rule)
    n = choose_slices(last, [organ])[organ] if n is None else n
    vmax = max(shared_maximum(x.flow, rule, organ) for x in records) if shared else None
    window = view(last, [n], cell_pixels(count(last)))
    strips = [
        Strip(
            _label(titled(epoch_words(record.epoch)), record, organ),
            strip(Place(record, rule, organ, n), window, vmax),
            named=record is records[0],
        )
        for record in records
    ]
    opening = (
        f"Evidence for {plain(organ)} at every stage (columns) "
        f"at epochs {', '.join(str(record.epoch) for record in records)} (rows)."
    )
    scale, most = OWN_SCALE, "map's maximum"
    if vmax is not None:
        most = f"{decimal(vmax)} (square root)"
        scale = f"from 0 to {decimal(vmax)} in all maps, of the square root"
    number = number_words(shared=shared)
    caption = paragraph(records, [organ], rule, opening, [last.scene.name(n)], scale, number)
    return _drawn(last, strips, window, most, number), caption


def _label(words: str, record: Record, organ: str) -> str:
    """The words, and that the network does not find the organ, where it does not."""
    return words + ", not found by the network" * record.missed(organ)


def _check_series(records: Sequence[Record]) -> None:
    if not records:
        raise InputError("no epochs to draw; name at least one checkpoint")
    first = records[0]
    for record in records[1:]:
        for what, ours, theirs in (
            ("stages", first.flow.stages, record.flow.stages),
            ("cases", first.scene.cases, record.scene.cases),
            ("slices", first.scene.slices, record.scene.slices),
        ):
            if ours != theirs:
                raise InputError(
                    f"epochs {first.epoch} and {record.epoch} have other {what} "
                    f"({ours} and {theirs}); draw checkpoints of one run"
                )


def _drawn(record: Record, strips: Sequence[Strip], window: View, most: str, number: str) -> Figure:
    mark = "  ·  ".join(marks(record)).upper()
    scene = record.scene
    legend = Legend(scene.truth is not None, scene.sides_known, most, f"Below a map: {number}")
    with print_style():
        return lay_out(strips, window, legend, mark)
