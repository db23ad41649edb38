from dataclasses import replace

import pytest

from segtrace.report.captions import epoch_words, marks, paragraph, plain, rule_title, titled

SLICES = ["img0001, slice 11", "img0001, slice 11"]


def text_of(record, rule="seg_grad_cam"):
    return paragraph(
        [record], ["liver"], rule, "Evidence for liver.", SLICES, "from 0 to 1", "gain"
    )


def blind(record, epoch=7):
    """The network predicts no liver."""
    prediction = record.flow.prediction.masked_fill(record.flow.prediction == 2, 0)
    return replace(record, flow=replace(record.flow, prediction=prediction), epoch=epoch)


@pytest.mark.parametrize(
    "fact",
    [
        "Evidence for liver.",
        "Seg-Grad-CAM (Vinogradova et al., 2020)",
        "Eq. 1 and 3",
        "y: the class's logit",
        "M: ground truth",
        "Stages: enc1, enc2, head",
        "Colour: from 0 to 1. Below a map, its gain.",
        "img0001, slice 11",
        "Note: phantom",
        "prediction dashed orange. R, L: the patient's right and left.",
        "(slices counted from caudal)",
        "Head: the prediction redrawn",
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


def test_sides_are_named_only_where_they_are_known(record):
    unknown = text_of(replace(record, scene=replace(record.scene, sides_known=False)))
    assert "dashed orange. The patient's sides are not known. Image:" in unknown
    assert "(slices counted as they come)" in unknown
    assert "R, L" not in unknown


def test_of_an_organ_that_is_not_found_the_caption_says_so_and_no_prediction_is_redrawn(record):
    told = text_of(blind(record))
    assert "Liver, epoch 7: not found by the network on any of these slices: the maps" in told
    assert "redrawn" not in told
    assert "not found" not in text_of(record)


def test_of_several_epochs_and_organs_those_are_named_in_which_nothing_is_found(record):
    records = [blind(record, 0), blind(record, 1), record]
    told = paragraph(
        records, ["liver", "left_kidney"], "grad_pam", "Evidence.", SLICES, "0 to 1", "gain"
    )
    assert "Liver, epoch 0 (untrained), epoch 1: not found by the network" in told
    assert "Head: the prediction redrawn" in told
    assert "kidney" not in told
    both = paragraph(
        [blind(record)], ["liver", "left_kidney"], "grad_pam", "E.", SLICES, "0 to 1", "gain"
    )
    assert "Head: the prediction redrawn" in both  # of the kidney it is
    assert "Liver, epoch 7: not found" in both


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
    assert titled("inferior_vena_cava") == "Inferior vena cava"
    assert titled("left_IVC") == "Left IVC"


def test_a_rule_is_called_as_people_do(flow):
    assert rule_title(flow, "seg_grad_cam") == "Seg-Grad-CAM"
    assert rule_title(flow, "my_rule") == "my_rule"
