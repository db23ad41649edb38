from dataclasses import replace
from math import nan

import numpy as np

from segtrace.report.pictures.lettering import INK_HEIGHT
from segtrace.report.pictures.overview import Course, overview_picture, worst_organ
from segtrace.report.pictures.sheet import WARNING

DICE = {"left_kidney": [0.1, 0.8], "liver": [0.5, 0.9], "spleen": [0.0, 0.0]}


def course(**given):
    gain = np.full((3, 3), 0.5)
    known = {"epochs": [0, 7], "dice": DICE, "gain": gain, "untrained": gain / 2}
    return Course(**{**known, **given})


def test_the_worst_organ_is_one_that_the_slices_hold(record):
    assert worst_organ(record, DICE) == "left_kidney"
    assert worst_organ(record, {**DICE, "liver": [0.5, 0.2]}) == "liver"
    assert worst_organ(record, {organ: [nan, nan] for organ in DICE}) == "left_kidney"


def test_everything_stands_on_one_sheet(record):
    picture = overview_picture(record, course(loss={7: 0.4}))
    assert picture.dtype == np.uint8
    assert (picture[:, :3] == 255).all()
    assert (np.abs(picture[: 2 * INK_HEIGHT].astype(int) - WARNING) < 40).all(-1).any()


def test_the_gain_is_told_beyond_the_untrained_networks_where_that_is_known(record):
    pictures = [
        overview_picture(record, course(untrained=untrained))
        for untrained in (None, np.full((3, 3), 0.25), np.full((3, 3), 0.5))
    ]
    assert pictures[1].shape == pictures[2].shape
    assert all(
        (a != b).any() for a, b in zip(pictures[1:], [pictures[2], pictures[1]], strict=True)
    )


def test_one_epoch_without_dice_or_loss_is_enough(record):
    dice = {organ: [nan] for organ in DICE}
    first = replace(record, epoch=0)
    alone = Course(epochs=[0], dice=dice, gain=np.full((3, 3), nan))
    assert overview_picture(first, alone).ndim == 3
