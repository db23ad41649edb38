"""What ``segtrace.report.tensorboard`` writes is on TensorBoard's screen."""

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from browser.screenshots import DEEP, LINES, PICTURES, open_board, tensorboard, until
from segtrace.report.tensorboard import (
    add_layout,
    add_picture,
    add_scalars,
    flow_tag,
    scalar_tag,
)

ORGANS, STAGES, EPOCHS = ("liver", "spleen"), ("enc1", "dec1", "head"), range(4)
BLOCKS = [("gain", "seg_grad_cam"), ("kappa", "seg_grad_cam")]
SHAPE = (120, 210, 3)


@pytest.fixture(scope="module")
def address(driver, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    writer = SummaryWriter(str(run))
    add_layout(writer, BLOCKS, ORGANS, STAGES)
    for epoch in EPOCHS:
        for organ in ORGANS:
            picture = np.full(SHAPE, 40 * epoch + 60, np.uint8)
            add_picture(writer, flow_tag("seg_grad_cam", organ), picture, epoch)
        tags = [scalar_tag(*block, o, s) for block in BLOCKS for o in ORGANS for s in STAGES]
        values = {tag: (i + 1) * epoch / 10 for i, tag in enumerate(tags)}
        add_scalars(writer, values, epoch)
    writer.close()
    with tensorboard(run) as address:
        yield address


def words(driver):
    """All that is written on the screen."""
    leaves = "return found.filter((node) => !node.childElementCount).map((n) => n.textContent)"
    return [
        " ".join(text.split()) for text in driver.execute_script(DEEP + leaves, "div, span, h3")
    ]


def test_the_pictures_are_on_the_images_page(driver, address):
    open_board(driver, address, "images")
    assert driver.execute_script(PICTURES, "img") == [[SHAPE[1], SHAPE[0]]] * len(ORGANS)
    shown = words(driver)
    assert {flow_tag("seg_grad_cam", organ) for organ in ORGANS} <= set(shown)
    assert str(EPOCHS[-1]) in shown  # the step


def test_the_custom_scalars_page_has_a_chart_an_organ_with_all_stages(driver, address):
    open_board(driver, address, "custom_scalars")
    expected = len(ORGANS) * len(STAGES)  # of the first block; the second is folded away
    until(lambda: driver.execute_script(LINES, "path.line") >= expected)
    assert {*ORGANS, *map(" · ".join, BLOCKS)} <= set(words(driver))
