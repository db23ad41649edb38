"""The table of measures: what an entry must hold, and that everything shown follows from it."""

import math
from dataclasses import replace

import pytest
import torch
import xarray as xr
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from helpers.invented import explained, labels
from segtrace.errors import InputError
from segtrace.measures import measure as table_of
from segtrace.measures.localisation import measure, over_slices
from segtrace.measures.measure import MEASURES, Measure, RatioOfSums, followed, on_page, wanted
from segtrace.report.page.page import Page
from segtrace.report.page.page_data import PageData, common
from segtrace.report.sinks import TensorBoardSink
from segtrace.report.tables import read_table
from segtrace.report.tensorboard import scalar_tag, timeline_tag
from segtrace.tracking.history import History, charts, timelines
from segtrace.tracking.writer import Writer

LEADING = (
    "mass gain ceiling ceiling_max outside outside_uniform area kappa magnitude gradient "
    "score_per_px max positive_fraction"
)
THE_REST = (
    "lift pointing_game relevance_rank_accuracy average_precision best_dice best_threshold "
    "best_iou effective_area gini centre_distance_mm locality"
)
EVEN = Measure(
    "evenness",
    "How alike the map's cells are: 1 is all alike",
    lambda stage: stage.maps.double().mean((-2, -1)) / stage.largest,
    range=(0.0, 1.0),
    leading=True,
    charted=True,
    timeline=True,
    on_page="chart",
)


def with_measure(monkeypatch, *more):
    monkeypatch.setattr(table_of, "MEASURES", (*MEASURES, *more))


def again(epoch, which="leading"):
    """The explained epoch of ``invented``, measured by the table as it is now."""
    one = explained(epoch, 0.5)
    masks = torch.stack([labels() == channel for channel in (1, 2)])
    return replace(one, measures=measure(one.record.flow, masks, measures=which))


def data_of(*epochs):
    page = Page()
    for one in epochs:
        page.add(one)
    return common(PageData(page.first, (0, 0, 16, 16), page.epochs), 1, (-125.0, 275.0))


def test_columns_timelines_charts_and_page_have_the_order_of_the_table() -> None:
    assert [one.name for one in wanted("leading")] == LEADING.split()
    assert [one.name for one in wanted("all")] == [*LEADING.split(), *THE_REST.split()]
    assert [one.name for one in followed()] == ["gain", "kappa", "magnitude", "mass"]
    drawn = [("gain", "a"), ("kappa", "a"), ("magnitude", "a")]
    assert timelines(("a",)) == drawn
    assert charts(("a",)) == [*drawn, ("mass", "a")]
    assert {one.name for one in on_page()} == {
        "gain", "mass", "kappa", "magnitude", "max", "score_per_px", "outside",
        "outside_uniform",
    }  # fmt: skip


@pytest.mark.parametrize("one", MEASURES, ids=lambda one: one.name)
def test_every_entry_says_in_words_what_it_is_and_can_be_shown(one) -> None:
    assert one.name.isidentifier()
    assert len(one.words) > 20
    assert not one.words.endswith(".")
    assert one.range[0] < one.range[1]
    assert one.charted or not one.timeline
    assert one.title or one.on_page != "chart"
    assert one.caution is None or str(one.caution) in one.words


def test_values_stay_within_the_range_that_the_table_names() -> None:
    one = explained(0, 0.5)
    masks = torch.stack([labels() == channel for channel in (1, 2)])
    spacing = torch.ones(4, 2)
    flow = one.record.flow
    for name, values in measure(flow, masks, spacing, "all", parts=(flow, flow)).items():
        low, high = table_of.table()[name].range
        assert values.notnull().any() or name.startswith("outside"), name
        assert ((values >= low - 1e-6) & (values <= high + 1e-6) | values.isnull()).all(), name


def test_a_measure_more_is_in_tables_logger_and_page(monkeypatch, tmp_path) -> None:
    with_measure(monkeypatch, EVEN)
    board, history = SummaryWriter(str(tmp_path / "log")), History()
    writer, first, second = (
        Writer(tmp_path / "flow", (TensorBoardSink(board),), more=True),
        again(0),
        again(1),
    )
    for one in (first, second):
        history.add(one, {})
        writer.numbers(one, history)
    writer.timelines(history)
    board.close()

    expected = first.measures["evenness"][0, 0, 0, 0].item()  # dec1, grad_pam, left
    assert expected == pytest.approx(1 / 256 / (0.5 / 16 + 0.5 / 256))
    assert float(read_table(tmp_path / "flow" / "measures.csv")[0]["evenness"]) == expected
    row = read_table(tmp_path / "flow" / "timeline.csv")[-4]
    assert float(row["evenness"]) == pytest.approx(expected)
    assert float(row["evenness_untrained"]) == pytest.approx(expected)
    assert (tmp_path / "flow" / "timeline" / "evenness" / "grad_pam" / "left.png").exists()

    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    tag = scalar_tag("evenness", "grad_pam", "left", "dec1")
    assert [point.step for point in events.Scalars(tag)] == [0, 1]
    assert events.SummaryMetadata(tag).summary_description == EVEN.words
    assert timeline_tag("evenness", "grad_pam", "left") in events.Tags()["images"]

    data = data_of(first, second)
    assert "evenness" in data["means"]
    shown = {chart["name"]: chart for chart in data["measures"]}
    assert list(shown) == ["gain", "kappa", "magnitude", "evenness"]
    assert (shown["evenness"]["words"], shown["evenness"]["axis"]) == (EVEN.words, (0, 1))


def test_a_measure_that_is_not_leading_comes_with_all_of_them_alone(monkeypatch) -> None:
    with_measure(monkeypatch, replace(EVEN, leading=False))
    for which, there in (("leading", False), ("all", True)):
        history, one = History(), again(0, which)
        history.add(one, {})
        assert ("evenness" in one.rows()[0]) == there
        assert ("evenness" in history.rows()[0]) == there
        assert (
            any("evenness" in block for block in charts(history.rules, history.measures)) == there
        )
        assert ("evenness" in {chart["name"] for chart in data_of(one)["measures"]}) == there


def test_a_measure_on_the_images_grid_is_computed_with_the_others(monkeypatch) -> None:
    brightest = Measure("brightest", "", lambda one: float(one.rising[-1]), each="image")
    with_measure(monkeypatch, brightest)
    values = again(0, "all").measures
    assert values["brightest"].shape == values["gini"].shape
    assert (values["brightest"] == values["best_threshold"]).all()


def test_a_ratio_of_sums_is_put_together_as_the_table_says(monkeypatch) -> None:
    axes = ("site", "rule", "organ", "slice")
    numbers = {"mass": [0.5, 0.2], "area": [0.1, 0.1], "ceiling": [0.9, 0.2], "ours": [0.5, 1.0]}
    values = xr.Dataset(
        {name: (axes, [[[given]]]) for name, given in numbers.items()},
        {"status": (axes, [[[[0, 0]]]])},
    )
    with_measure(monkeypatch, replace(EVEN, name="ours"))
    assert over_slices(values)["ours"].item() == 0.75
    ratio = RatioOfSums("mass", "ceiling", "area")
    with_measure(monkeypatch, replace(EVEN, name="ours", slices=ratio))
    assert over_slices(values)["ours"].item() == pytest.approx(0.5 / 0.9)
    with pytest.raises(InputError, match="'ceiling'"):
        over_slices(values.drop_vars("ceiling"))


def test_an_epoch_that_lacks_a_measure_of_those_before_it_is_refused(monkeypatch) -> None:
    history = History()
    with_measure(monkeypatch, EVEN)
    history.add(again(0), {})
    monkeypatch.undo()
    with pytest.raises(InputError, match="epoch 1 has no evenness, which those before it have"):
        history.add(again(1), {})
    assert history.epochs == [0]


def test_a_run_that_goes_on_keeps_the_measures_it_began_with(monkeypatch) -> None:
    history = History()
    history.add(again(0), {})
    history = History.from_plain(history.to_plain())
    with_measure(monkeypatch, EVEN)
    history.add(again(1), {})
    assert "evenness" not in history.rows()[0]
    assert not math.isnan(history.rows()[0]["gain"])
