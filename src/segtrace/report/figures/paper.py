"""Figures for a manuscript, each with the caption that makes it honest."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from segtrace.attribution.flow import Status
from segtrace.errors import InputError, unknown
from segtrace.report.captions import epoch_words, marks, paragraph, plain
from segtrace.report.combined import NAME, NOTHING, counted
from segtrace.report.figures.panels import Panel, Strip, cell_pixels, lay_out, print_style
from segtrace.report.files import atomic, save_text
from segtrace.report.pictures.cells import PREDICTION, TRUTH, array, grey_cells, heat_cell
from segtrace.report.pictures.mosaic import shared_maximum
from segtrace.report.record import Record
from segtrace.report.references import bibliography
from segtrace.report.scene import REASONS

OWN_SCALE = "from 0 to each map's own maximum"
ONE_ROW = 8
"""Up to so many cells stand in one row; more are broken into two."""


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


def _ct_panel(record: Record, organ: str, n: int, size: int) -> Panel:
    scene = record.scene
    grey = grey_cells(scene.image[n : n + 1, 0], size)[0]
    masks = (
        (scene.mask(scene.truth, organ, n), TRUTH, False),
        (scene.mask(record.flow.prediction, organ, n), PREDICTION, True),
    )
    outlines = [(array(mask), colour, dash) for mask, colour, dash in masks if mask is not None]
    return Panel("CT", grey[..., None].repeat(3, -1), "", outlines, scene.sides_known)


def _stage_panel(
    record: Record, at: tuple[str, str, str, int], size: int, vmax: float | None
) -> Panel:
    """The map of (stage, rule, organ, slice), or why there is none."""
    flow, (stage, rule, organ, n) = record.flow, at
    s, r, o = flow.stages.index(stage), flow.rules.index(rule), flow.organs.index(organ)
    status = Status(int(flow.status[s, r, o, n]))
    if status != Status.OK:
        return Panel(stage, None, REASONS[status.label])
    values = flow.maps[stage][r, o, n]
    picture = heat_cell(values, record.scene.image[n, 0], size, vmax)
    return Panel(stage, picture, f"{float(values.max()):.1e}")


def _panels(record: Record, at: tuple[str, str, int], size: int, vmax: float | None) -> list[Panel]:
    """The CT and every stage of (rule, organ, slice)."""
    rule, organ, n = at
    stages = record.flow.stages
    return [
        _ct_panel(record, organ, n, size),
        *(_stage_panel(record, (stage, rule, organ, n), size, vmax) for stage in stages),
        *([] if record.aggregate is None else [_aggregate_panel(record, at, size)]),
    ]


def _columns(record: Record) -> int:
    """Cells of an organ: the CT, every stage, the map over several stages."""
    return 1 + len(record.flow.stages) + (record.aggregate is not None)


def _aggregate_panel(record: Record, at: tuple[str, str, int], size: int) -> Panel:
    """The map over several stages of (rule, organ, slice), where the record has one."""
    (rule, organ, n), flow, aggregate = at, record.flow, record.aggregate
    place = flow.rules.index(rule), flow.organs.index(organ), n
    if aggregate is None or not aggregate.used[place]:
        return Panel(NAME, None, NOTHING)
    picture = heat_cell(aggregate.map[place], record.scene.image[n, 0], size)
    return Panel(NAME, picture, counted(aggregate, place))


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
        columns: cells in a row; default one row of up to 8 cells, else two.
        shared: one colour scale for all stages of an organ instead of one for each map.

    Returns:
        The figure and its caption.

    Raises:
        InputError: for an organ or rule that the flow lacks, or that no slice holds.
    """
    _check_rule(record, rule)
    rows = slices or choose_slices(record, organs)
    cells = _columns(record)
    columns = columns or (cells if cells <= ONE_ROW else -(-cells // 2))
    strips = []
    for organ in organs:
        vmax = shared_maximum(record.flow, rule, organ) if shared else None
        panels = _panels(record, (rule, organ, rows[organ]), cell_pixels(columns), vmax)
        for start in range(0, cells, columns):
            label = _label(plain(organ), record, organ) if start == 0 else ""
            strips.append(Strip(label, panels[start : start + columns]))
    opening = (
        f"Evidence for {' and '.join(map(plain, organs))} at every stage of the network, "
        f"{epoch_words(record.epoch)}."
    )
    names = [record.scene.name(rows[organ]) for organ in organs]
    scale = "from 0 to the organ's maximum over all stages" if shared else OWN_SCALE
    caption = paragraph([record], organs, rule, opening, names, scale)
    return _drawn(record, strips, "organ's maximum" if shared else "map's maximum"), caption


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
    size = cell_pixels(_columns(last))
    strips = [
        Strip(
            _label(epoch_words(record.epoch), record, organ),
            _panels(record, (rule, organ, n), size, vmax),
            named=record is records[0],
        )
        for record in records
    ]
    opening = (
        f"Evidence for {plain(organ)} at every stage (columns) "
        f"at epochs {', '.join(str(record.epoch) for record in records)} (rows)."
    )
    scale = OWN_SCALE if vmax is None else f"from 0 to {vmax:.1e} in all maps"
    caption = paragraph(records, [organ], rule, opening, [last.scene.name(n)], scale)
    return _drawn(last, strips, "map's maximum" if vmax is None else f"{vmax:.1e}"), caption


def _label(words: str, record: Record, organ: str) -> str:
    """The words, and that the network does not find the organ, where it does not."""
    return words.capitalize() + ", not found by the network" * record.missed(organ)


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


def _drawn(record: Record, strips: Sequence[Strip], bar_words: str) -> Figure:
    mark = "  ·  ".join(marks(record)).upper()
    with print_style():
        return lay_out(strips, truth=record.scene.truth is not None, bar_words=bar_words, mark=mark)


def save_figure(folder: Path | str, name: str, figure: Figure, caption: str) -> list[Path]:
    """Write ``name.png`` (300 dpi) and ``name.pdf``, and its paragraph in ``caption.txt``.

    The paragraph of another figure in the same file stays, an older one of this name does not.
    ``references.bib`` holds the papers that the paragraphs cite.

    Raises:
        InputError: if they cannot be written.
    """
    folder = Path(folder)
    paths = [
        folder / f"{name}.png",
        folder / f"{name}.pdf",
        folder / "caption.txt",
        folder / "references.bib",
    ]
    with print_style():
        with atomic(paths[0]) as file:
            figure.savefig(file, format="png")
        with atomic(paths[1]) as file:
            figure.savefig(file, format="pdf", metadata={"CreationDate": None})
    kept = paths[2].read_text(encoding="utf-8").split("\n\n") if paths[2].exists() else []
    kept = [text.strip() for text in kept if text.strip() and not text.startswith(f"{name}: ")]
    text = "\n\n".join([*kept, f"{name}: {caption}"]) + "\n"
    save_text(paths[2], text)
    save_text(paths[3], bibliography(text))
    return paths
