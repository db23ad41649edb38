"""What ``segtrace.report.tensorboard`` writes is on TensorBoard's screen, in the order meant."""

from contextlib import suppress

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from browser.screenshots import DEEP, PICTURES, open_board, tensorboard, until
from segtrace.report.tensorboard import (
    LEARNING_RATE_TAG,
    OVERVIEW_TAG,
    add_picture,
    add_scalars,
    dice_tag,
    flow_tag,
)

RULES, ORGANS, EPOCHS = ("grad_pam", "seg_grad_cam"), ("liver", "spleen"), range(4)
SHAPE = (120, 210, 3)
FLOWS = [flow_tag(rule, organ) for rule in reversed(RULES) for organ in ORGANS]
CURVES = ["train/loss", *(dice_tag("val", organ) for organ in ORGANS), LEARNING_RATE_TAG]


@pytest.fixture(scope="module")
def address(driver, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    writer = SummaryWriter(str(run))
    for epoch in EPOCHS:
        picture = np.full(SHAPE, 40 * epoch + 60, np.uint8)
        for tag in [*reversed(FLOWS), OVERVIEW_TAG]:
            add_picture(writer, tag, picture, epoch)
        add_scalars(writer, dict.fromkeys(reversed(CURVES), epoch / 10), epoch)
    writer.close()
    with tensorboard(run) as address:
        yield address


def shown(driver):
    """All that is written on the screen, from the top down, each text once."""
    leaves = "return found.filter((node) => !node.childElementCount).map((n) => n.textContent)"
    texts = driver.execute_script(DEEP + leaves, "div, span, h3")
    return dict.fromkeys(" ".join(text.split()) for text in texts)


def holds_soon(look, expected):
    """The screen fills picture by picture: wait for the last one, then tell what is there."""
    with suppress(TimeoutError):
        until(lambda: look() == expected)
    assert look() == expected


def test_the_overview_is_the_first_picture_and_the_papers_rule_before_others(driver, address):
    open_board(driver, address, "images")
    pictures = [[SHAPE[1], SHAPE[0]]] * (1 + len(FLOWS))
    holds_soon(lambda: driver.execute_script(PICTURES, "img"), pictures)
    tags = [OVERVIEW_TAG, *FLOWS]
    holds_soon(lambda: [text for text in shown(driver) if text in tags], tags)
    holds_soon(lambda: str(EPOCHS[-1]) in shown(driver), True)  # the step


def test_loss_and_dice_are_the_first_curves_and_the_learning_rate_the_last(driver, address):
    open_board(driver, address, "scalars")
    groups = ["train", "val", LEARNING_RATE_TAG]
    holds_soon(lambda: [text for text in shown(driver) if text in groups], groups)
