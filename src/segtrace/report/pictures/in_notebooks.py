"""What a notebook shows of slices that were explained: stages x organs, and one picture."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from segtrace.attribution.flow import Status
from segtrace.errors import InputError, unknown
from segtrace.html_table import Cell, paragraph, picture, table
from segtrace.labelled import Dataset
from segtrace.measures.localisation import over_slices
from segtrace.progress import counted
from segtrace.report.captions import epoch_words, marks, plain, rule_title
from segtrace.report.pictures.mosaic import ROWS, flow_picture
from segtrace.report.pictures.shown import ShownPicture
from segtrace.report.record import Record
from segtrace.report.scene import REGIONS, RESEARCH_USE

KEY = (
    "gain / outside, over all slices. gain: 0 for an even map, 1 for the organ's own mask at the "
    "stage's grid; outside: the share of the map off the patient's body. Read both against the "
    "untrained network; at the last stage the map is the prediction redrawn."
)


def shown(
    record: Record,
    organ: str | None = None,
    epoch: int | None = None,
    rule: str | None = None,
    rows: Sequence[int] | int = ROWS,
    *,
    shared: bool = False,
) -> ShownPicture:
    """The picture of one organ; see :meth:`segtrace.tracking.explained.Explained.show`."""
    flow, own = record.flow, record.epoch
    organ = flow.organs[0] if organ is None else organ
    rule = flow.rules[0] if rule is None else rule
    for what, name, known in (("organ", organ, flow.organs), ("rule", rule, flow.rules)):
        if name not in known:
            raise unknown(what, name, known, "these maps")
    if epoch is not None and epoch != own:
        raise InputError(
            f"epoch={epoch}: these maps are of {epoch_words(own)}; explain that epoch's "
            f"checkpoint, segtrace.explain_checkpoint('…/epoch_{epoch:03d}.ckpt')"
        )
    words = f"{rule_title(flow, rule)} of {plain(organ)}, {epoch_words(own)}"
    return ShownPicture(flow_picture(record, rule, organ, rows=rows, shared=shared), words)


def in_short(record: Record) -> str:
    """A line for a terminal."""
    flow, scene = record.flow, record.scene
    what = counted(len(scene.cases), "volume" if flow.axes > 2 else "slice")
    return (
        f"<{what}, {epoch_words(record.epoch)}: {counted(len(flow.stages), 'stage')}, "
        f"{counted(len(flow.organs), 'organ')}, rules {', '.join(flow.rules)}; numbers in "
        ".measures, a picture by .show()>"
    )


def as_html(record: Record, measured: Dataset) -> str:
    """A table a rule, the first one open, and the picture of the first organ.

    Args:
        record: the maps, and the slices they lie on.
        measured: their measures.
    """
    flow = record.flow
    of_what = "volume" if flow.axes > 2 else "slice"
    title = " · ".join([
        f"{counted(len(record.scene.cases), of_what)} of "
        f"{counted(len(set(record.scene.cases)), 'case')}",
        epoch_words(record.epoch), f"region: {REGIONS.get(record.region, record.region)}",
        *(mark.upper() for mark in marks(record)),
    ])  # fmt: skip
    tables = [
        f"<details{' open' * (r == 0)}><summary><b>{escape(rule_title(flow, rule))}</b></summary>"
        f"{_table(record, measured, rule)}</details>"
        for r, rule in enumerate(flow.rules)
    ]
    drawn = shown(record, rows=1)
    address = f"data:image/png;base64,{b64encode(drawn._repr_png_()).decode()}"
    other = f".show(organ={flow.organs[-1]!r}, rule={flow.rules[-1]!r})"
    more = f"Others: {other}. {RESEARCH_USE.capitalize()}."
    return "".join(
        [paragraph(title), *tables, paragraph(KEY), picture(address, drawn.words), paragraph(more)]
    )


def _table(record: Record, measured: Dataset, rule: str) -> str:
    """Stages x organs of one rule."""
    flow = record.flow
    numbers = over_slices(measured).sel(rule=rule)
    worst = measured["status"].sel(rule=rule).min("slice")

    def cell(stage: str, organ: str) -> Cell:
        gain, outside = (float(numbers[name].sel(site=stage, organ=organ))
                         for name in ("gain", "outside"))  # fmt: skip
        if gain != gain:
            return Cell(Status(int(worst.sel(site=stage, organ=organ))).label, faint=True)
        off = "–" if outside != outside else f"{outside:.2f}"
        return Cell(f"{round(gain, 2) + 0.0:.2f} / {off}", share=min(max(gain, 0.0), 1.0))

    rows = [
        (stage, " × ".join(map(str, maps.shape[3:])), [cell(stage, o) for o in flow.organs])
        for stage, maps in flow.maps.items()
    ]
    return table("stage", [plain(organ) for organ in flow.organs], rows)
