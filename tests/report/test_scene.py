from dataclasses import replace

import pytest
import torch

from segtrace.activation import Organ
from segtrace.attribution.flow import Status
from segtrace.report.scene import REASONS, Scene


def test_every_status_but_ok_has_a_reason_in_words():
    assert {status.label for status in Status} - {"ok"} == set(REASONS)


def test_a_mask_is_none_without_labels_or_channel(scene):
    assert replace(scene, truth=None).there("liver") is None
    assert scene.there("pancreas") is None
    assert scene.found("pancreas", scene.truth) is None
    assert int(scene.there("liver")[0].sum()) == 14 * 11
    assert torch.equal(scene.found("liver", scene.truth), scene.there("liver"))


def test_organs_that_overlap_are_read_by_their_channels_and_a_label_map_by_their_numbers():
    masks = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    masks[0, 0, :3], masks[0, 1, 2:] = True, True
    organs = {"core": Organ(1, 7), "whole": Organ(0, 3)}
    place = Scene(torch.zeros(1, 1, 4, 4), ("a",), (0,), organs, truth=masks)
    assert place.apart
    assert torch.equal(place.there("core"), masks[:, 1])
    assert torch.equal(place.found("whole", masks), masks[:, 0])
    assert place.dice("core", masks.flip(1)) == pytest.approx(2 * 4 / (8 + 12))
    assert place.missed("core", masks & False)
    labelled = replace(place, truth=torch.full((1, 4, 4), 7))
    assert labelled.there("core").all()
    assert not labelled.there("whole").any()


def test_a_slice_is_named_by_case_and_index(scene):
    assert scene.name(2) == "img0002, slice 5"


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
