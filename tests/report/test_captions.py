from dataclasses import replace

import pytest

from segtrace.report.captions import epoch_words, marks, paragraph, plain

SLICES = ["img0001, slice 11", "img0001, slice 11"]


def text_of(record, rule="seg_grad_cam"):
    return paragraph(record, rule, "Evidence for liver.", SLICES, "from 0 to 1")


@pytest.mark.parametrize(
    "fact",
    [
        "Evidence for liver.",
        "Seg-Grad-CAM (Vinogradova et al., 2020)",
        "Eq. 1 and 3",
        "y: the class's logit",
        "M: ground truth",
        "Stages: enc1, enc2, head",
        "Colour: from 0 to 1",
        "img0001, slice 11",
        "Note: phantom",
        "R, L: the patient's right and left",
        "Research use only, not for diagnosis.",
    ],
)
def test_the_paragraph_states(record, fact):
    assert fact in text_of(record)


def test_equal_slices_are_named_once(record):
    assert text_of(record).count("img0001, slice 11") == 1


def test_a_rule_of_the_users_own_is_named_as_it_is(record):
    assert "Method: my_rule." in text_of(record, "my_rule")


def test_the_truth_is_spoken_of_only_where_there_is_one(record):
    blind = replace(record, scene=replace(record.scene, truth=None), region="pred")
    assert "ground truth" not in text_of(blind)


def test_marks_are_what_the_image_is_not(record):
    real = replace(record, scene=replace(record.scene, phantom=False))
    assert marks(real) == []
    assert marks(record) == ["phantom (generated image)"]
    seen = replace(real, scene=replace(real.scene, training=True))
    assert marks(seen) == ["slices from the training split"]


def test_epochs_are_counted_in_finished_passes():
    words = [epoch_words(epoch) for epoch in (None, 0, 3)]
    assert words == ["epoch unknown", "epoch 0 (untrained)", "epoch 3"]


def test_names_are_written_in_words():
    assert plain("inferior_vena_cava") == "inferior vena cava"
