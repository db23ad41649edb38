from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.pages import COLUMNS, ROWS, blind, epoch, original, unpacked
from segtrace.report.page.labels import numbering
from segtrace.report.page.opening import CLAIMED
from segtrace.report.page.page import Page
from segtrace.report.page.page_data import PageData, common, frame
from segtrace.report.page.page_epoch import body, cut
from segtrace.report.page.sentences import CAUTIONS, base_name, fact_rows
from segtrace.report.page.whole_cases import WholeCases
from segtrace.report.scene import REASONS

WINDOW = (-125.0, 275.0)


def story_of(*epochs):
    page = Page()
    for number in epochs:
        page.add(epoch(number))
    return PageData(page.first, body(page.first.scene.image), page.epochs)


def sentences(page_data, page_epoch):
    return page_data.sentences(page_epoch, page_data.headlines(page_epoch))


@pytest.fixture(scope="module")
def page_data():
    return story_of(0, 4, 8)


@pytest.fixture(scope="module")
def shared(page_data):
    return common(page_data, 1, WINDOW)


def test_labels_are_those_of_the_record(page_data, shared):
    shape = (3, *shared["crop"][2:])
    truth = unpacked(shared["truth"], "u1", *shape)
    np.testing.assert_array_equal(truth, cut(page_data.first.scene.truth.numpy(), page_data.crop))
    last = frame(page_data, page_data.epochs[-1], 1)
    found = unpacked(last["prediction"], "u1", *shape)
    np.testing.assert_array_equal(
        found, cut(epoch(8).record.flow.prediction.numpy(), page_data.crop)
    )
    assert shared["size"] == (ROWS, COLUMNS)
    assert shared["channels"] == numbering(page_data.first)["channels"]
    assert shared["input_channels"] == 1


def test_stages_that_localise_untrained_are_marked_as_echo(shared):
    echo = unpacked(shared["echo"], "u1", 4, 2, 3)
    assert echo[3, 1].all()  # the element-wise map at the head
    assert not echo[:3].any()
    assert not echo[3, 0].any()


def test_without_the_untrained_network_nothing_is_called_echo_and_the_sentence_says_so():
    page_data = story_of(4)
    assert not unpacked(common(page_data, 1, WINDOW)["echo"], "u1", 4, 2, 3).any()
    assert (
        "no untrained network with the same regions"
        in sentences(page_data, page_data.epochs[0])[0][1]
    )


def test_a_sentence_stands_for_every_rule_and_organ_and_follows_the_epoch(page_data):
    first, last = (sentences(page_data, page_data.epochs[i]) for i in (0, -1))
    assert [len(rule) for rule in last] == [3, 3]
    assert last[0][1].startswith(
        "Liver: found very well (Dice 1.00, these slices). Seen on 2 cases, "
    )
    assert first[0][1] != last[0][1]
    assert "head" not in "".join(last[1])  # an echo is no evidence


def test_the_organ_of_which_something_is_claimed_comes_first_and_then_the_best_found(monkeypatch):
    page_data = story_of(0, 4)
    dice = page_data.organ_dice(page_data.epochs[-1])
    order = common(page_data, 1, WINDOW)["order"]
    assert dice[order].tolist() == sorted(dice.tolist(), reverse=True)
    assert len(set(dice.tolist())) > 1
    says = [[(0, CLAIMED if o == order[-1] else 1) for o in range(len(dice))]] * 2
    monkeypatch.setattr("segtrace.report.page.page_data.named_stages", lambda _: says)
    assert common(page_data, 1, WINDOW)["order"] == [order[-1], *order[:-1]]


def test_the_dice_of_whole_cases_is_told_where_all_epochs_know_it(page_data):
    liver, cases = page_data.first.flow.organs.index("liver"), {"0027": 0.4, "0028": 0.8}
    found = {
        case: {organ: {"dice": dice, "voxels": 1} for organ in page_data.first.flow.organs}
        for case, dice in cases.items()
    }
    whole = WholeCases.from_plain({}, found)
    page = Page()
    for number in (0, 8):
        page.add(epoch(number), whole)
    told = PageData(page.first, body(page.first.scene.image), page.epochs)
    assert told.extent == "whole cases"
    assert told.organ_dice(told.epochs[-1])[liver] == pytest.approx(0.6)
    assert "(Dice 0.60, whole cases)" in sentences(told, told.epochs[-1])[0][liver]
    for organs in found.values():
        del organs["spleen"]  # of which the whole cases say nothing, and the first case has none
    there = {case: dict(organs) for case, organs in found.items()}
    there["0028"]["spleen"] = {"dice": 0.9, "voxels": 1}
    partly = Page()
    partly.add(epoch(8), WholeCases.from_plain({}, there))
    assert PageData(partly.first, body(partly.first.scene.image), partly.epochs).whole
    partly = Page()
    partly.add(epoch(8), WholeCases.from_plain({}, found))
    assert not PageData(partly.first, body(partly.first.scene.image), partly.epochs).whole
    page.add(epoch(9))  # an epoch that was not validated
    told = PageData(page.first, body(page.first.scene.image), page.epochs)
    assert told.extent == "these slices"
    assert told.organ_dice(told.epochs[1])[liver] == pytest.approx(1.0)


def test_the_dice_of_an_organ_is_the_mean_over_cases(page_data):
    page_epoch = page_data.epochs[1]
    cases = page_epoch.case_dice
    expected = [np.nanmean(cases[o, [0, 2]]) for o in range(3)]
    assert page_data.organ_dice(page_epoch).tolist() == pytest.approx(expected)


def test_organs_that_are_found_nowhere_are_named_an_epoch_each():
    page = Page()
    for measured in (blind(0, "liver"), epoch(3)):
        page.add(measured)
    page_data = PageData(page.first, body(page.first.scene.image), page.epochs)
    assert [list(frame(page_data, s, 1)["missed"]) for s in page_data.epochs] == [
        ["liver"],
        [],
    ]
    before, after = (sentences(page_data, s)[0][1] for s in page_data.epochs)
    assert before == ("Liver: not found (Dice 0.00, these slices). Its maps explain a decision "
                      "that the network makes on none of these slices.")  # fmt: skip
    assert "no claim: furthest above the untrained" in after


def test_a_pixel_has_mm_where_both_its_sides_are_known(page_data):
    nan = float("nan")
    spacing = torch.tensor([[0.8, 0.7], [nan, 0.7], [nan, nan]]).double()
    first = replace(page_data.first, scene=replace(page_data.first.scene, spacing=spacing))
    found = common(replace(page_data, first=first), 1, WINDOW)["spacing"]
    assert found[0] == pytest.approx([0.8, 0.7])
    assert found[1:] == [None, None]
    first = replace(page_data.first, scene=replace(page_data.first.scene, spacing=None))
    assert common(replace(page_data, first=first), 1, WINDOW)["spacing"] == [None] * 3


def test_the_page_knows_whether_sides_are_known(page_data, shared):
    assert shared["sides"] is True
    unknown = replace(page_data.first, scene=replace(page_data.first.scene, sides_known=False))
    assert common(replace(page_data, first=unknown), 1, WINDOW)["sides"] is False


def test_values_that_nobody_called_hu_are_grey_levels(page_data, shared):
    assert shared["hounsfield"] is True
    assert shared["window"] == WINDOW
    unknown = replace(page_data.first.scene, hounsfield_known=False)
    told = common(replace(page_data, first=replace(page_data.first, scene=unknown)), 1, WINDOW)
    assert told["hounsfield"] is False
    assert told["window"] == (0.0, 1.0)  # the network's input as it is
    assert told["ct"]["range"] == (0.0, pytest.approx(0.55))
    files = replace(unknown, originals=(original(1),) * 3)
    told = common(replace(page_data, first=replace(page_data.first, scene=files)), 1, WINDOW)
    assert told["window"] == WINDOW  # in the units of its file
    assert told["ct"]["range"] == (-1000.0, 1500.0)


def test_every_status_and_caution_has_its_words(shared):
    assert set(shared["reasons"]) == set(shared["statuses"]) - {"ok"} == set(REASONS)
    assert shared["cautions"] == CAUTIONS


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("/home/meier/a.ckpt", "a.ckpt"),
        ("C:\\Users\\meier\\a.ckpt", "a.ckpt"),
        ("runs/meier/", "meier"),
        ("my_module:build", "my_module:build"),
        ("0027", "0027"),
    ],
)
def test_a_folder_is_cut_off(value, name):
    assert base_name(value) == name


def test_nested_facts_become_lines():
    rows = fact_rows({"network": {"_target_": "a.B", "sizes": [1, 2]}, "score_of": "see /x/y.txt",
                      "cautions": [], "name": ""})  # fmt: skip
    assert rows == [("network", "_target_ a.B, sizes 1, 2"), ("score of", "see y.txt")]
