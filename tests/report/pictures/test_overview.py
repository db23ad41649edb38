from dataclasses import replace
from math import nan

import numpy as np

from segtrace.report.pictures import charts, curves, lettering, overview, sheet
from segtrace.report.pictures.lettering import INK_HEIGHT
from segtrace.report.pictures.overview import Course, chosen_organ, overview_picture
from segtrace.report.pictures.sheet import WARNING

DICE = {"left_kidney": [0.1, 0.8], "liver": [0.5, 0.9], "spleen": [0.0, 0.0]}


def course(**given):
    gain = np.full((3, 3), 0.5)
    known = {"epochs": [0, 7], "dice": DICE, "gain": gain, "untrained": gain / 2}
    return Course(**{**known, **given})


def test_shown_is_the_worst_of_the_organs_that_are_found_on_these_slices(record):
    assert chosen_organ(record, DICE) == ("left_kidney", ", found with the lowest Dice (0.80)")
    for lost in (0.0, 0.2, 0.49):  # its maps explain nothing that the network does
        assert chosen_organ(record, {**DICE, "left_kidney": [0.5, lost]})[0] == "liver"
    few = {**DICE, "left_kidney": [0.0, 0.1], "liver": [0.0, 0.2]}
    assert chosen_organ(record, few) == ("liver", ", the organ with the highest Dice (0.20)")
    assert chosen_organ(record, {organ: [nan, nan] for organ in DICE}) == ("left_kidney", "")


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


def test_of_what_was_never_logged_there_is_no_chart(record, monkeypatch):
    drawn, curves_picture = [], overview.curves_picture

    def seen(curves, epochs, title, *args):
        drawn.append(title)
        return curves_picture(curves, epochs, title, *args)

    monkeypatch.setattr(overview, "curves_picture", seen)
    none = {organ: [nan, nan] for organ in DICE}
    for given, titles in (
        ({}, ["Dice of the validation"]),
        ({"loss": {7: 0.4}}, ["Dice of the validation", "Loss of the training"]),
        ({"dice": none, "loss": {7: 0.4}}, ["Loss of the training"]),
        ({"dice": none}, []),
        ({"dice": none | {"liver": [nan, 0.0]}}, ["Dice of the validation"]),
    ):
        drawn.clear()
        assert overview_picture(record, course(**given)).ndim == 3
        assert drawn == titles


def test_one_epoch_without_dice_or_loss_is_enough(record):
    dice = {organ: [nan] for organ in DICE}
    first = replace(record, epoch=0)
    alone = Course(epochs=[0], dice=dice, gain=np.full((3, 3), nan))
    assert overview_picture(first, alone).ndim == 3


def test_long_names_of_many_organs_and_stages_stay_whole(record, monkeypatch):
    """13 organs of 40 letters and 24 stages: nothing is written over an edge or left out."""
    long = {organ: f"{organ}_{'of_the_upper_abdominal_cavity'[: 39 - len(organ)]}".ljust(40, "x")
            for organ in record.flow.organs}  # fmt: skip
    stages = {f"stage_{n:02d}_of_the_encoder": record.flow.maps["enc2"] for n in range(24)}
    flow = replace(
        record.flow,
        organs=tuple(long.values()),
        maps=stages,
        status=record.flow.status[1:2].repeat(24, 1, 1, 1),
        kappa=record.flow.kappa[1:2].repeat(24, 1, 1),
        gradient_l1=record.flow.gradient_l1[1:2].repeat(24, 1, 1),
    )
    scene = replace(record.scene, channels={long[o]: c for o, c in record.scene.channels.items()},
                    cases=("a_case_of_which_the_name_is_" + "long_" * 8,) * 3)  # fmt: skip
    others = {f"organ_{n}".ljust(40, "y"): [0.1, 0.2] for n in range(10)}
    dice = {long[organ]: values for organ, values in DICE.items()} | others
    gain = np.full((24, 3), 0.5)
    cut, written = [], []
    stamped = lettering.stamp

    def seen(picture, text, left, top, *args, **given):
        mask = lettering.sprite(text, given.get("bold", False))
        down, across = mask.shape[::-1] if given.get("upright") else mask.shape
        if left < 0 or top < 0 or top + down > len(picture) or left + across > picture.shape[1]:
            cut.append(text)
        written.append(text)
        return stamped(picture, text, left, top, *args, **given)

    for module in (sheet, charts, curves):
        monkeypatch.setattr(module, "stamp", seen)
    overview_picture(
        replace(record, flow=flow, scene=scene), Course([0, 7], dice, gain, gain, {7: 0.4})
    )
    assert len(written) > 100
    assert [text for text in cut if text.strip()] == []
    assert [text for text in written if lettering.ELLIPSIS in text] == []
