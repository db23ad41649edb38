import io
import math
import re

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from torch.utils.tensorboard import SummaryWriter

from helpers.tags import expected_tags
from segtrace.report.tensorboard import (
    LAYOUT_TAG,
    add_layout,
    add_picture,
    add_scalars,
    add_text,
    dice_tag,
    events_tag,
    flow_tag,
    layout,
    leak_tag,
    scalar_blocks,
    scalar_tag,
    scalar_tags,
    timeline_tag,
)

ORGANS, STAGES = ("liver", "spleen"), ("enc1", "head")
BLOCKS = [("gain", "seg_grad_cam"), ("gain", "grad_pam"), ("kappa", "seg_grad_cam")]


def read(folder):
    everything = {"images": 0, "scalars": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def written_tags(events):
    tags = events.Tags()
    return {*tags["images"], *tags["scalars"], *tags["tensors"]}


def test_tags_are_those_of_the_design():
    assert flow_tag("seg_grad_cam", "liver") == "flow/seg_grad_cam/liver"
    assert timeline_tag("gain", "grad_pam", "liver") == "timeline/gain/grad_pam/liver"
    assert leak_tag("grad_pam", "dec4") == "leak/grad_pam/dec4"
    assert events_tag("grad_pam") == "events/grad_pam"
    assert scalar_tag("gain", "grad_pam", "liver", "dec4") == "measure_gain/grad_pam/liver/dec4"


@pytest.mark.parametrize(("budget", "kept"), [(400, 3), (12, 3), (11, 2), (4, 1), (3, 0), (0, 0)])
def test_blocks_are_kept_in_order_while_they_fit_the_budget(budget, kept):
    chosen, left_out = scalar_blocks(BLOCKS, ORGANS, STAGES, budget)
    assert chosen == BLOCKS[:kept]
    assert left_out == BLOCKS[kept:]
    assert len(scalar_tags(chosen, ORGANS, STAGES)) <= budget


def test_a_block_named_twice_counts_once():
    assert scalar_blocks([BLOCKS[0]] * 3, ORGANS, STAGES) == ([BLOCKS[0]], [])


def test_eight_organs_and_eleven_stages_have_room_for_four_blocks():
    blocks = [(measure, rule) for measure in "abc" for rule in ("r", "s")]
    chosen, left_out = scalar_blocks(blocks, range(8), range(11))
    assert (len(chosen), len(left_out)) == (4, 2)


def test_the_expected_tags_are_exactly_those():
    tags = expected_tags(
        rules=["grad_pam"],
        organs=["liver"],
        stages=["enc1", "head"],
        blocks=[("gain", "grad_pam")],
        timelines=[("gain", "grad_pam")],
        leaks=["grad_pam"],
        events=["grad_pam"],
    )
    assert tags == {
        "flow/grad_pam/liver",
        "timeline/gain/grad_pam/liver",
        "leak/grad_pam/enc1",
        "leak/grad_pam/head",
        "events/grad_pam",
        "measure_gain/grad_pam/liver/enc1",
        "measure_gain/grad_pam/liver/head",
        "custom_scalars__config__",
    }


def test_an_event_file_holds_the_expected_tags_and_no_others(tmp_path):
    writer = SummaryWriter(tmp_path)
    picture = np.zeros((8, 8, 3), np.uint8)
    kept, _ = scalar_blocks(BLOCKS, ORGANS, STAGES, budget=9)
    add_layout(writer, kept, ORGANS, STAGES)
    for epoch in range(2):
        for organ in ORGANS:
            add_picture(writer, flow_tag("grad_pam", organ), picture, epoch)
        add_scalars(writer, dict.fromkeys(scalar_tags(kept, ORGANS, STAGES), 0.5), epoch)
        add_text(writer, events_tag("grad_pam"), "liver leaks", epoch)
    writer.close()
    assert written_tags(read(tmp_path)) == expected_tags(
        rules=["grad_pam"],
        organs=ORGANS,
        stages=STAGES,
        blocks=BLOCKS,
        events=["grad_pam"],
        budget=9,
    )


def test_a_picture_is_a_jpeg_of_its_size_at_its_epoch(tmp_path):
    writer = SummaryWriter(tmp_path)
    picture = np.full((24, 40, 3), (200, 100, 50), np.uint8)
    for epoch in (0, 5):
        add_picture(writer, "flow/r/o", picture, epoch)
    writer.close()
    first, second = read(tmp_path).Images("flow/r/o")
    assert (first.step, second.step) == (0, 5)
    assert (first.width, first.height) == (40, 24)
    with Image.open(io.BytesIO(first.encoded_image_string)) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - picture).max() < 6


def test_scalars_and_text_keep_epoch_value_and_nan(tmp_path):
    writer = SummaryWriter(tmp_path)
    add_scalars(writer, {"measure_gain/r/o/s": 0.25}, 0)
    add_scalars(writer, {"measure_gain/r/o/s": math.nan}, 3)
    add_text(writer, "events/r", "liver onto kidney", 3)
    writer.close()
    events = read(tmp_path)
    first, second = events.Scalars("measure_gain/r/o/s")
    assert (first.step, first.value, second.step) == (0, 0.25, 3)
    assert math.isnan(second.value)
    (text,) = events.Tensors("events/r")
    assert text.step == 3
    assert text.tensor_proto.string_val == [b"liver onto kidney"]


def test_a_writer_that_was_closed_between_two_fits_is_written_to_again(tmp_path):
    writer = SummaryWriter(tmp_path)
    writer.close()
    add_picture(writer, "flow/r/o", np.zeros((4, 4, 3), np.uint8), 1)
    writer.close()
    assert len(read(tmp_path).Images("flow/r/o")) == 1


def test_the_custom_page_has_a_chart_per_organ_with_all_stages(tmp_path):
    writer = SummaryWriter(tmp_path)
    add_layout(writer, BLOCKS[:2], ORGANS, STAGES)
    writer.close()
    (event,) = read(tmp_path).Tensors(LAYOUT_TAG)
    page = Layout.FromString(event.tensor_proto.string_val[0])
    assert [c.title for c in page.category] == ["gain · seg_grad_cam", "gain · grad_pam"]
    for (measure, rule), category in zip(BLOCKS, page.category, strict=False):
        assert [chart.title for chart in category.chart] == list(ORGANS)
        for organ, chart in zip(ORGANS, category.chart, strict=True):
            wanted = [scalar_tag(measure, rule, organ, stage) for stage in STAGES]
            assert all(re.match(p, t) for p, t in zip(chart.multiline.tag, wanted, strict=True))


def test_a_stage_does_not_draw_the_curve_of_one_that_begins_like_it():
    patterns = layout([("gain", "r")], ["o"], ["enc1"])["gain · r"]["o"][1]
    assert re.match(patterns[0], scalar_tag("gain", "r", "o", "enc1"))
    assert not re.match(patterns[0], scalar_tag("gain", "r", "o", "enc10"))


def test_no_layout_is_written_without_charts(tmp_path):
    writer = SummaryWriter(tmp_path)
    add_layout(writer, [], ORGANS, STAGES)
    writer.close()
    assert written_tags(read(tmp_path)) == set()


def test_names_with_slashes_have_tags_of_their_own():
    assert flow_tag("grad_pam", "../x") == "flow/grad_pam/___x~d6b96a97d1"
    pairs = [("a/b", "c"), ("a", "b/c"), ("a", "b"), ("", "a"), ("a", "")]
    tags = {scalar_tag("gain", "r", organ, stage) for organ, stage in pairs}
    assert len(tags) == len(pairs)
    assert {tag.count("/") for tag in tags} == {3}
    assert dice_tag("val", "liver") == "val/dice/liver"
    assert dice_tag("val", "a/b").count("/") == 2


@pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated:DeprecationWarning")
def test_names_in_a_text_are_no_links_pictures_or_html(tmp_path):
    from tensorboard.plugin_util import markdown_to_safe_html

    writer = SummaryWriter(tmp_path)
    hostile = "![x](http://there/x.png) <img src=http://there/y.png> `code`"
    add_text(writer, "events/r", f"* {hostile} [0.1, 0.2]", 0)
    writer.close()
    (text,) = read(tmp_path).Tensors("events/r")
    html = markdown_to_safe_html(text.tensor_proto.string_val[0])
    assert "<img" not in html
    assert "<a " not in html
    assert "<code>" not in html
    assert "![x](http://there/x.png)" in html
    assert "[0.1, 0.2]" in html
