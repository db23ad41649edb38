import io
import math

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from segtrace.report.tensorboard import (
    BY_EPOCH,
    LEARNING_RATE_TAG,
    NECESSITY_TAG,
    OVERVIEW_TAG,
    add_picture,
    add_scalars,
    add_text,
    dice_tag,
    events_tag,
    flow_tag,
    leading,
    leak_tag,
    route_tag,
    scalar_blocks,
    scalar_tag,
    timeline_tag,
)

ORGANS, STAGES = ("liver", "spleen"), ("enc1", "head")
BLOCKS = [("gain", "seg_grad_cam"), ("gain", "grad_pam"), ("kappa", "seg_grad_cam")]


def read(folder):
    everything = {"images": 0, "scalars": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def test_tags_are_those_of_the_design():
    assert flow_tag("seg_grad_cam", "liver") == "2_flow/1_seg_grad_cam/liver"
    assert timeline_tag("gain", "grad_pam", "liver") == "3_timeline/gain/2_grad_pam/liver"
    assert leak_tag("grad_pam", "dec4") == "5_leak/density/2_grad_pam/dec4"
    assert events_tag("grad_pam") == "5_leak/events/2_grad_pam"
    assert scalar_tag("gain", "grad_pam", "liver", "dec4") == "z_measure/gain/grad_pam/liver/dec4"


def test_tags_sort_by_what_they_tell():
    pictures = [
        OVERVIEW_TAG, flow_tag("seg_grad_cam", "liver"), flow_tag("grad_pam", "aorta"),
        timeline_tag("gain", "seg_grad_cam", "liver"), NECESSITY_TAG, route_tag("liver"),
        leak_tag("grad_pam", "enc1"), events_tag("seg_grad_cam"),
    ]  # fmt: skip
    assert pictures == sorted(pictures)
    curves = [
        "train/loss", dice_tag("val", "liver"), LEARNING_RATE_TAG,
        scalar_tag("gain", "grad_pam", "liver", "enc1"),
    ]  # fmt: skip
    assert curves == sorted(curves)
    assert all(tag.startswith(BY_EPOCH) for tag in pictures + curves if tag != LEARNING_RATE_TAG)
    assert not LEARNING_RATE_TAG.startswith(BY_EPOCH)


def test_the_first_rule_leads():
    assert leading(("grad_pam", "seg_grad_cam")) == "grad_pam"
    assert leading(("seg_grad_cam", "grad_pam")) == "seg_grad_cam"
    assert leading(("grad_pam", "layer_cam")) == "grad_pam"


@pytest.mark.parametrize(("budget", "kept"), [(400, 3), (12, 3), (11, 2), (4, 1), (3, 0), (0, 0)])
def test_blocks_are_kept_in_order_while_they_fit_the_budget(budget, kept):
    chosen, left_out = scalar_blocks(BLOCKS, ORGANS, STAGES, budget)
    assert chosen == BLOCKS[:kept]
    assert left_out == BLOCKS[kept:]
    assert len(chosen) * len(ORGANS) * len(STAGES) <= budget


def test_a_block_named_twice_counts_once():
    assert scalar_blocks([BLOCKS[0]] * 3, ORGANS, STAGES) == ([BLOCKS[0]], [])


def test_eight_organs_and_eleven_stages_have_room_for_four_blocks():
    blocks = [(measure, rule) for measure in "abc" for rule in ("r", "s")]
    chosen, left_out = scalar_blocks(blocks, range(8), range(11))
    assert (len(chosen), len(left_out)) == (4, 2)


def test_a_picture_is_a_jpeg_of_its_size_at_its_epoch(tmp_path):
    writer = SummaryWriter(tmp_path)
    picture = np.full((24, 40, 3), (200, 100, 50), np.uint8)
    for epoch in (0, 5):
        add_picture(writer, "2_flow/r/o", picture, epoch)
    writer.close()
    first, second = read(tmp_path).Images("2_flow/r/o")
    assert (first.step, second.step) == (0, 5)
    assert (first.width, first.height) == (40, 24)
    with Image.open(io.BytesIO(first.encoded_image_string)) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - picture).max() < 6


def test_scalars_and_text_keep_epoch_value_and_nan(tmp_path):
    writer = SummaryWriter(tmp_path)
    add_scalars(writer, {"z_measure/gain/r/o/s": 0.25}, 0)
    add_scalars(writer, {"z_measure/gain/r/o/s": math.nan}, 3)
    add_text(writer, "5_leak/events/r", "liver onto kidney", 3)
    writer.close()
    events = read(tmp_path)
    first, second = events.Scalars("z_measure/gain/r/o/s")
    assert (first.step, first.value, second.step) == (0, 0.25, 3)
    assert math.isnan(second.value)
    (text,) = events.Tensors("5_leak/events/r")
    assert text.step == 3
    assert text.tensor_proto.string_val == [b"liver onto kidney"]


def test_a_writer_that_was_closed_between_two_fits_is_written_to_again(tmp_path):
    writer = SummaryWriter(tmp_path)
    writer.close()
    add_picture(writer, "2_flow/r/o", np.zeros((4, 4, 3), np.uint8), 1)
    writer.close()
    assert len(read(tmp_path).Images("2_flow/r/o")) == 1


def test_names_with_slashes_have_tags_of_their_own():
    assert flow_tag("grad_pam", "../x") == "2_flow/2_grad_pam/___x~d6b96a97d1"
    pairs = [("a/b", "c"), ("a", "b/c"), ("a", "b"), ("", "a"), ("a", "")]
    tags = {scalar_tag("gain", "r", organ, stage) for organ, stage in pairs}
    assert len(tags) == len(pairs)
    assert {tag.count("/") for tag in tags} == {4}
    assert dice_tag("val", "liver") == "val/dice/liver"
    assert dice_tag("val", "a/b").count("/") == 2


@pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated:DeprecationWarning")
def test_names_in_a_text_are_no_links_pictures_or_html(tmp_path):
    from tensorboard.plugin_util import markdown_to_safe_html

    writer = SummaryWriter(tmp_path)
    hostile = "![x](http://there/x.png) <img src=http://there/y.png> `code`"
    add_text(writer, "5_leak/events/r", f"* {hostile} [0.1, 0.2]", 0)
    writer.close()
    (text,) = read(tmp_path).Tensors("5_leak/events/r")
    html = markdown_to_safe_html(text.tensor_proto.string_val[0])
    assert "<img" not in html
    assert "<a " not in html
    assert "<code>" not in html
    assert "![x](http://there/x.png)" in html
    assert "[0.1, 0.2]" in html
