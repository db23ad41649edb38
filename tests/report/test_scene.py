from dataclasses import replace

import pytest
import torch

from segtrace.attribution.flow import Status
from segtrace.report.scene import REASONS, Caption, Scene

FACTS = {
    "organ": "liver",
    "rule": "grad_pam",
    "region": "gt",
    "score": "logit",
    "scale": "each cell by its own maximum",
    "rows": ("img0001, slice 3",),
}


def test_every_status_but_ok_has_a_reason_in_words():
    assert {status.label for status in Status} - {"ok"} == set(REASONS)


def test_the_title_names_organ_rule_and_epoch():
    assert Caption(**FACTS, epoch=4).title.split("  ·  ") == ["liver", "grad_pam", "epoch 4"]


def test_epoch_zero_is_said_to_be_untrained_and_an_unknown_one_is_not_invented():
    assert "epoch 0 (untrained)" in Caption(**FACTS, epoch=0).title
    assert "epoch" not in Caption(**FACTS, epoch=None).title


@pytest.mark.parametrize("fact", ["ground truth", "logit", "each cell by its own maximum"])
def test_the_facts_name_region_score_and_scale(fact):
    assert fact in Caption(**FACTS, epoch=1).facts


def test_a_region_in_the_users_own_words_is_kept():
    assert "region: box 3 4 9 9" in Caption(**{**FACTS, "region": "box 3 4 9 9"}, epoch=1).facts


def test_marks_name_phantom_and_training_slices_and_are_empty_otherwise():
    assert Caption(**FACTS, epoch=1).marks == ""
    marks = Caption(**FACTS, epoch=1, phantom=True, training=True).marks
    assert "PHANTOM" in marks
    assert "TRAINING SLICES" in marks


def test_the_key_names_sides_and_use_and_the_truth_only_where_there_is_one():
    key = Caption(**FACTS, epoch=1).key.replace("\N{NO-BREAK SPACE}", " ")
    assert "solid blue: ground truth" in key
    assert "the patient's sides are not known" in key
    assert "not for diagnosis" in key
    assert "ground truth" not in Caption(**FACTS, epoch=1, truth=False).key


def test_the_key_names_the_patients_sides_only_where_they_are_known():
    assert "R, L: the patient's right and left" in Caption(**FACTS, epoch=1, sides=True).key
    assert "R, L" not in Caption(**FACTS, epoch=1).key


def test_a_mask_is_none_without_labels_or_channel(scene):
    assert scene.mask(None, "liver", 0) is None
    assert scene.mask(scene.truth, "pancreas", 0) is None
    assert int(scene.mask(scene.truth, "liver", 0).sum()) == 14 * 11


def test_a_slice_is_named_by_case_and_index(scene):
    assert scene.name(2) == "img0002, slice 5"


def test_the_final_stage_is_called_the_prediction_redrawn_where_it_is_shown():
    words = "head: the prediction redrawn"
    assert words in Caption(**FACTS, epoch=1, final=True).key
    assert words not in Caption(**FACTS, epoch=1).key


def test_of_an_organ_that_is_not_found_nothing_is_said_to_be_redrawn():
    key = Caption(**FACTS, epoch=1, final=True, missed=True).key
    assert "liver: not found by the network on any of these slices" in key
    assert "redrawn" not in key
    assert "not found" in Caption(**FACTS, epoch=1, missed=True).key  # whichever stages are shown


def test_nothing_is_known_of_a_scene_unless_it_is_said():
    place = Scene(torch.zeros(1, 1, 4, 4), ("a",), (0,), {"liver": 1})
    assert (place.sides_known, place.phantom, place.training) == (False, False, False)
    assert (place.truth, place.spacing, place.originals) == (None, None, None)


def test_an_organ_is_missed_where_no_pixel_of_the_prediction_lies_on_it(scene):
    prediction = scene.truth.clone()
    assert not scene.missed("liver", prediction)
    one_pixel = torch.zeros_like(prediction)
    one_pixel[1, 10, 5] = 2
    assert not scene.missed("liver", one_pixel)
    assert scene.missed("left_kidney", one_pixel)
    beside = prediction.roll(11, 2)  # as large, and nowhere on the organ
    assert scene.missed("liver", beside)
    assert not scene.missed("spleen", prediction)  # there is none to find
    assert not scene.missed("pancreas", prediction)  # none that the network knows


def test_without_a_truth_an_organ_is_missed_where_none_is_predicted(scene):
    blind = replace(scene, truth=None)
    assert blind.missed("spleen", scene.truth)
    assert not blind.missed("liver", scene.truth.roll(11, 2))
