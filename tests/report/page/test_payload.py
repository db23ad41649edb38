from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.pages import COLUMNS, ROWS, blind, epoch, unpacked
from segtrace.report.page.page import Page
from segtrace.report.page.payload import Story, base_name, common, fact_rows, frame
from segtrace.report.page.sentences import CAUTIONS
from segtrace.report.page.snapshot import body, cut
from segtrace.report.page.whole_cases import WholeCases
from segtrace.report.scene import REASONS

WINDOW = (-125.0, 275.0)


def story_of(*epochs):
    page = Page()
    for number in epochs:
        page.add(epoch(number))
    return Story(page.first, body(page.first.scene.image), page.snapshots)


@pytest.fixture(scope="module")
def story():
    return story_of(0, 4, 8)


@pytest.fixture(scope="module")
def shared(story):
    return common(story, 1, WINDOW)


def test_labels_are_those_of_the_record(story, shared):
    shape = (3, *shared["crop"][2:])
    truth = unpacked(shared["truth"], "u1", *shape)
    np.testing.assert_array_equal(truth, cut(story.first.scene.truth.numpy(), story.crop))
    last = frame(story, story.snapshots[-1], 1)
    found = unpacked(last["prediction"], "u1", *shape)
    np.testing.assert_array_equal(found, cut(epoch(8).record.flow.prediction.numpy(), story.crop))
    assert shared["size"] == (ROWS, COLUMNS)


def test_stages_that_localise_untrained_are_marked_as_echo(shared):
    echo = unpacked(shared["echo"], "u1", 4, 2, 3)
    assert echo[3, 1].all()  # the element-wise map at the head
    assert not echo[:3].any()
    assert not echo[3, 0].any()


def test_without_the_untrained_network_nothing_is_called_echo_and_the_sentence_says_so():
    story = story_of(4)
    assert not unpacked(common(story, 1, WINDOW)["echo"], "u1", 4, 2, 3).any()
    assert (
        "the untrained network is not known, so nothing"
        in story.sentences(story.snapshots[0])[0][1]
    )


def test_a_sentence_stands_for_every_rule_and_organ_and_follows_the_epoch(story):
    first, last = (story.sentences(story.snapshots[i]) for i in (0, -1))
    assert [len(rule) for rule in last] == [3, 3]
    assert last[0][1].startswith(
        "Liver: found very well (Dice 1.00, these slices). Seen on 2 cases, "
    )
    assert first[0][1] != last[0][1]
    assert "head" not in "".join(last[1])  # an echo is no evidence


def test_the_worst_organ_comes_first():
    story = story_of(0, 4)
    dice = story.organ_dice(story.snapshots[-1])
    order = common(story, 1, WINDOW)["order"]
    assert dice[order].tolist() == sorted(dice.tolist())
    assert len(set(dice.tolist())) > 1


def test_the_dice_of_whole_cases_is_told_where_all_epochs_know_it(story):
    liver, cases = story.first.flow.organs.index("liver"), {"0027": 0.4, "0028": 0.8}
    found = {
        case: {organ: {"dice": dice, "voxels": 1} for organ in story.first.flow.organs}
        for case, dice in cases.items()
    }
    whole = WholeCases.from_plain({}, found)
    page = Page()
    for number in (0, 8):
        page.add(epoch(number), whole)
    told = Story(page.first, body(page.first.scene.image), page.snapshots)
    assert told.extent == "whole cases"
    assert told.organ_dice(told.snapshots[-1])[liver] == pytest.approx(0.6)
    assert "(Dice 0.60, whole cases)" in told.sentences(told.snapshots[-1])[0][liver]
    for organs in found.values():
        del organs["spleen"]  # of which the whole cases say nothing, and the first case has none
    there = {case: dict(organs) for case, organs in found.items()}
    there["0028"]["spleen"] = {"dice": 0.9, "voxels": 1}
    partly = Page()
    partly.add(epoch(8), WholeCases.from_plain({}, there))
    assert Story(partly.first, body(partly.first.scene.image), partly.snapshots).whole
    partly = Page()
    partly.add(epoch(8), WholeCases.from_plain({}, found))
    assert not Story(partly.first, body(partly.first.scene.image), partly.snapshots).whole
    page.add(epoch(9))  # an epoch that was not validated
    told = Story(page.first, body(page.first.scene.image), page.snapshots)
    assert told.extent == "these slices"
    assert told.organ_dice(told.snapshots[1])[liver] == pytest.approx(1.0)


def test_the_dice_of_an_organ_is_the_mean_over_cases(story):
    snapshot = story.snapshots[1]
    cases = snapshot.case_dice
    expected = [np.nanmean(cases[o, [0, 2]]) for o in range(3)]
    assert story.organ_dice(snapshot).tolist() == pytest.approx(expected)


def test_organs_that_are_found_nowhere_are_named_an_epoch_each():
    page = Page()
    for measured in (blind(0, "liver"), epoch(3)):
        page.add(measured)
    story = Story(page.first, body(page.first.scene.image), page.snapshots)
    assert [list(frame(story, s, 1)["missed"]) for s in story.snapshots] == [["liver"], []]
    before, after = (story.sentences(s)[0][1] for s in story.snapshots)
    assert before == ("Liver: not found (Dice 0.00, these slices). Its maps explain a decision "
                      "that the network makes on none of these slices.")  # fmt: skip
    assert "no claim: furthest above the untrained" in after


def test_a_pixel_has_mm_where_both_its_sides_are_known(story):
    nan = float("nan")
    spacing = torch.tensor([[0.8, 0.7], [nan, 0.7], [nan, nan]]).double()
    first = replace(story.first, scene=replace(story.first.scene, spacing=spacing))
    found = common(replace(story, first=first), 1, WINDOW)["spacing"]
    assert found[0] == pytest.approx([0.8, 0.7])
    assert found[1:] == [None, None]
    first = replace(story.first, scene=replace(story.first.scene, spacing=None))
    assert common(replace(story, first=first), 1, WINDOW)["spacing"] == [None] * 3


def test_the_page_knows_whether_sides_are_known(story, shared):
    assert shared["sides"] is True
    unknown = replace(story.first, scene=replace(story.first.scene, sides_known=False))
    assert common(replace(story, first=unknown), 1, WINDOW)["sides"] is False


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
    rows = fact_rows({"network": {"_target_": "a.B", "sizes": [1, 2]}, "score_of": "see /x/y.txt"})
    assert rows == [("network", "_target_ a.B, sizes 1, 2"), ("score of", "see y.txt")]
