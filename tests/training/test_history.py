"""What many epochs say together, on epochs whose gain is known."""

import math

import pytest
import torch

from invented import explained
from saving import reloaded
from segtrace import InputError
from segtrace.training.history import History, timelines

GAINS = (0.0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.9)


def told(gains=GAINS, dice=()):
    history = History()
    for epoch, gain in enumerate(gains):
        known = {"left": dice[epoch]} if dice else {}
        history.add(explained(epoch, gain), known)
    return history


def test_the_rows_of_an_epoch_stand_beside_those_of_the_untrained_network():
    history = told()
    row = next(r for r in history.rows() if (r["organ"], r["stage"]) == ("left", "dec1"))
    assert row["epoch"] == 6
    assert row["gain"] == pytest.approx(0.9, abs=1e-6)
    assert row["gain_untrained"] == pytest.approx(0, abs=1e-6)
    assert row["mass"] == pytest.approx(0.9 + 0.1 * 16 / 256, abs=1e-6)
    assert row["mass_untrained"] == pytest.approx(16 / 256, abs=1e-6)
    assert (row["gain_low"], row["gain_high"]) == pytest.approx((0.9, 0.9), abs=1e-6)
    assert row["n_valid"] == 4
    assert row["echo"] is False


def test_a_stage_whose_untrained_map_lies_in_its_region_is_an_echo():
    rows = told().rows()
    assert {row["stage"] for row in rows if row["echo"]} == {"head"}


def test_emergence_is_the_first_epoch_that_holds_half_of_the_rise():
    history = told(dice=(0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7))
    row = next(r for r in history.emergences() if (r["organ"], r["stage"]) == ("left", "dec1"))
    # Half of 0.9 is passed by the medians 0, .1, .3, .6, … at the fourth epoch.
    assert (row["answer"], row["epoch"], row["dice_epoch"], row["lag"]) == ("emerged", 3, 5, -2)
    assert row["words"] == "epoch 3 (one run)"
    head = next(r for r in history.emergences() if (r["organ"], r["stage"]) == ("left", "head"))
    assert (head["answer"], head["echo"]) == ("none", True)


def test_without_the_untrained_network_there_is_neither_emergence_nor_control():
    history = History()
    history.add(explained(3, 0.5), {})
    assert history.emergences() == []
    assert history.untrained is None
    assert all(math.isnan(row["gain_untrained"]) for row in history.rows())


def test_depth_rows_hold_dice_and_the_gap_between_decoder_and_encoder():
    history = told(dice=(0.25,) * 7)
    left, right = history.depth_rows()
    assert left["dice"] == 0.25
    assert math.isnan(right["dice"])
    assert math.isnan(left["contrast"])  # no encoder stage
    assert math.isnan(left["refinement"])  # two stages are too few


def test_an_epoch_of_another_network_is_refused():
    history = told()
    other = explained(7, 0.5)
    flow = other.record.flow
    object.__setattr__(flow, "organs", ("left", "liver"))
    with pytest.raises(InputError, match="epoch 7 has the organs left, liver, those before it"):
        history.add(other, {})


def test_it_comes_back_from_a_checkpoint_as_it_was():
    history = told()
    again = History.from_plain(reloaded(history.to_plain()))
    again.add(explained(7, 0.9), {})
    history.add(explained(7, 0.9), {})
    assert again.rows() == history.rows()
    assert again.emergences() == history.emergences()


def test_coherence_has_a_timeline_for_the_rules_that_average_alone():
    found = timelines(("seg_grad_cam", "grad_pam"))
    assert [rule for measure, rule in found if measure == "kappa"] == ["seg_grad_cam"]
    assert found[:2] == [("gain", "seg_grad_cam"), ("gain", "grad_pam")]


def test_a_picture_of_a_timeline_has_a_column_an_epoch():
    short, long = told(GAINS[:3]), told()
    widths = [h.picture("gain", "grad_pam", "left").shape[1] for h in (short, long)]
    assert widths[0] <= widths[1]
    assert short.picture("magnitude", "grad_pam", "left").shape[2] == 3


@pytest.mark.parametrize(
    "odd",
    [
        {"epochs": [0, 1]},
        {"dice": []},
        {"organs": ("left",)},
        {"means": {"gain": [torch.zeros(2, 1, 3)] * len(GAINS)}},
    ],
)
def test_a_history_that_does_not_add_up_is_refused(odd):
    with pytest.raises(InputError, match="numbers are not those of its epochs"):
        History.from_plain(told().to_plain() | odd)
