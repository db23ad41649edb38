"""What many epochs say together, on epochs whose gain is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from helpers.invented import explained
from helpers.saving import reloaded
from segtrace import InputError
from segtrace.attribution.flow import Status
from segtrace.labelled import tensor
from segtrace.report.pictures.charts import timeline_picture
from segtrace.report.tables import save_table
from segtrace.tracking.history import History, timelines

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
    assert (row["gain_over_cases"], row["cases"]) == (pytest.approx(0.9, abs=1e-6), 2)
    assert math.isnan(row["gain_low"])  # of two cases
    assert row["n_valid"] == 4
    assert row["echo"] is False


def test_timeline_csv_is_written_as_ever(tmp_path):
    """To the last digit: files of one run may have been begun by another version."""
    history = History()
    for one in (explained(0, 0.0), explained(3, 0.5, 0.25)):
        history.add(one, {})
    save_table(tmp_path / "timeline.csv", history.rows())
    strength = "-2.40823996520067"
    head = f"1.0,0.5,{strength},1.0,1.0,0.5,{strength},1.0,1.0,nan,nan,2,True,4"
    dec1 = f"0.5,{strength},0.0625"
    gain = "0.35833333333333334"
    assert (tmp_path / "timeline.csv").read_text() == (
        "epoch,rule,organ,stage,gain,kappa,magnitude,mass,gain_untrained,kappa_untrained,"
        "magnitude_untrained,mass_untrained,gain_over_cases,gain_low,gain_high,cases,echo,n_valid\n"
        f"3,grad_pam,left,dec1,{gain},0.5,{strength},0.3984375,0.0,{dec1},{gain},nan,nan,2,False,4\n"
        f"3,grad_pam,left,head,{head}\n"
        f"3,grad_pam,right,dec1,0.5,0.5,{strength},0.53125,0.0,{dec1},0.5,nan,nan,2,False,4\n"
        f"3,grad_pam,right,head,{head}\n"
    )


def with_gains(gains, rooms, cases):
    """An epoch whose slices have these gains at every stage, for these rooms above uniform."""
    one = explained(0, 0.0, slices=len(gains))
    known = one.measures
    gain, room = (xr.full_like(known["gain"], 1.0) * np.array(given) for given in (gains, rooms))
    mass, ceiling = known["area"] + gain * room, known["area"] + room
    record = replace(one.record, scene=replace(one.record.scene, cases=tuple(cases)))
    measures = known.assign(gain=gain, ceiling=ceiling, mass=mass)
    return replace(one, record=record, measures=measures)


def test_the_interval_of_the_gain_is_over_what_each_case_has_of_its_own():
    history = History()
    history.add(with_gains([0.2, 0.8, 0.3, 0.6, 0.9], [0.3, 0.1, 0.5, 0.5, 0.2], "aabcc"), {})
    row = history.rows()[0]
    assert row["gain"] == pytest.approx((0.06 + 0.08 + 0.15 + 0.3 + 0.18) / 1.6)  # of all slices
    own = torch.tensor([0.14 / 0.4, 0.3, 0.48 / 0.7]).double()
    half = 4.302653 * own.std().item() / 3**0.5
    assert row["gain_over_cases"] == pytest.approx(own.mean().item())
    assert row["gain_low"] == pytest.approx(own.mean().item() - half)
    assert row["gain_high"] == pytest.approx(own.mean().item() + half)
    assert row["cases"] == 3


def test_a_case_whose_maps_may_not_be_read_drops_out_of_the_interval_of_that_stage():
    one = with_gains([0.2, 0.8, 0.3, 0.6], [0.5] * 4, "abcd")
    one.record.flow.status[0, 0, 1, 2] = Status.GAP_DEGENERATE  # dec1 of right, in case c
    history = History()
    history.add(one, {})
    counts = {(r["organ"], r["stage"]): (r["cases"], r["n_valid"]) for r in history.rows()}
    assert counts == {("left", "dec1"): (4, 4), ("right", "dec1"): (3, 3),
                      ("left", "head"): (4, 4), ("right", "head"): (4, 4)}  # fmt: skip
    right = next(r for r in history.rows() if r["organ"] == "right")
    assert right["gain_over_cases"] == pytest.approx((0.2 + 0.8 + 0.6) / 3)


def test_a_stage_emerges_only_beyond_the_untrained_networks_best_slice():
    """Untrained, one slice of four has a gain of 0.95 already: an end of 0.9 is not beyond it."""
    history = History()
    history.add(with_gains([0.0, 0.0, 0.0, 0.95], [0.5] * 4, "abcd"), {})
    for epoch, gain in enumerate(GAINS[1:], 1):
        history.add(explained(epoch, gain), {})
    answers = {(r["organ"], r["stage"]): r["answer"] for r in history.emergences()}
    assert answers["left", "dec1"] == "none"
    assert {row["answer"] for row in told().emergences() if row["stage"] == "dec1"} == {"emerged"}


def test_a_stage_whose_untrained_map_lies_in_its_region_is_an_echo():
    rows = told().rows()
    assert {row["stage"] for row in rows if row["echo"]} == {"head"}


def test_emergence_is_the_first_epoch_that_holds_half_of_the_rise():
    history = told(dice=(0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7))
    row = next(r for r in history.emergences() if (r["organ"], r["stage"]) == ("left", "dec1"))
    # Half of 0.9 is passed by the medians 0, .1, .3, .6, … at the fourth epoch.
    assert (row["answer"], row["epoch"], row["dice_epoch"], row["lag"]) == ("emerged", 3, 3, None)
    assert row["words"] == "epoch 3 (one run)"
    assert "head" not in {row["stage"] for row in history.emergences()}  # the output itself


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
    other = replace(other, measures=other.measures.assign_coords(organ=["left", "liver"]))
    with pytest.raises(InputError, match="epoch 7 has the organs left, liver, those before it"):
        history.add(other, {})


def test_it_comes_back_from_a_checkpoint_as_it_was():
    history = told()
    again = History.from_plain(reloaded(history.to_plain()))
    again.add(explained(7, 0.9), {})
    history.add(explained(7, 0.9), {})
    assert repr(again.rows()) == repr(history.rows())
    assert again.emergences() == history.emergences()


def test_a_checkpoint_holds_lists_of_epochs_as_those_of_older_versions_do():
    """Written out: what is read today was written by any version so far."""
    shape, masks = (1, 1, 2), (1, 2, 2, 3)
    one = {"mean": torch.ones(shape), "low": torch.zeros(shape), "high": torch.ones(shape) * 2,
           "cases": torch.full(shape, 3)}  # fmt: skip
    leak = {
        "share": torch.rand(1, 1, 2, 2, 3), "mirrored": torch.rand(1, 1, 2, 2, 3),
        "rim": torch.rand(1, 1, 2, 3), "background": torch.rand(1, 1, 2, 3),
        "coarse": torch.rand(masks), "area": torch.rand(masks), "mirrored_area": torch.rand(masks),
        "counted": torch.ones(masks).bool(), "stages": ("dec1",), "rules": ("grad_pam",),
        "organs": ("left", "right"), "columns": ("left", "right"),
    }  # fmt: skip
    means = {name: [torch.rand(shape), torch.rand(shape)] for name in ("gain", "mass")}
    plain = {
        "epochs": [0, 2], "stages": ("dec1",), "rules": ("grad_pam",), "organs": ("left", "right"),
        "means": means | {"n_valid": [torch.ones(shape).long()] * 2},
        "gains": [one, one],
        "dice": [{"left": math.nan, "right": 0.5}, {"left": 0.1, "right": 0.6}],
        "missed": [("left",), ()],
        "largest": torch.rand(shape), "leak": leak, "facts": "over 4 slices",
    }  # fmt: skip
    history = History.from_plain(reloaded(plain))
    assert history.data["dice"].sel(organ="right").values.tolist() == [0.5, 0.6]
    assert history.data["missed"].sel(organ="left").values.tolist() == [True, False]
    assert history.rows()[1]["gain_untrained"] == means["gain"][0][0, 0, 1].item()
    assert (history.measures, history.rows()[0]["gain_high"]) == (["gain", "mass"], 2)
    assert history.leak.data["area"].dims == ("site", "organ", "onto", "slice")
    again = history.to_plain()
    assert repr({name: again["leak"][name] for name in leak}) == repr(leak)
    assert repr({name: again[name] for name in plain} | {"leak": leak}) == repr(plain)


def test_coherence_has_a_timeline_for_the_rules_that_average_alone():
    found = timelines(("seg_grad_cam", "grad_pam"))
    assert [rule for measure, rule in found if measure == "kappa"] == ["seg_grad_cam"]
    assert found[:2] == [("gain", "seg_grad_cam"), ("gain", "grad_pam")]


def test_a_picture_of_a_timeline_has_a_column_an_epoch():
    short, long = told(GAINS[:3]), told()
    whole = long.picture("gain", "grad_pam", "left")
    assert whole.shape[1] > short.picture("gain", "grad_pam", "left").shape[1]
    curves = tensor(long.data["gain"][:, :, 0, 0]).T  # (stage, epoch)
    names = ["dec1", "head (prediction redrawn, echo)"]
    caption = f"Left  ·  gain  ·  Grad-PAM\n{long.facts}"
    np.testing.assert_array_equal(whole, timeline_picture(curves, names, range(7), caption))


def test_the_last_stage_redraws_no_prediction_of_an_organ_that_is_not_found():
    one = explained(1, 0.5)
    flow = one.record.flow
    blind = flow.prediction.masked_fill(flow.prediction == 1, 0)  # no left
    history = told(GAINS[:1])
    history.add(replace(one, record=replace(one.record, flow=replace(flow, prediction=blind))), {})
    assert history.data["missed"].values.tolist() == [[False, False], [True, False]]
    found, redrawn = (history._marked("grad_pam", organ) for organ in history.organs)
    assert found == ["dec1", "head (organ not found, echo)"]
    assert redrawn == ["dec1", "head (prediction redrawn, echo)"]
    left, right = (history.picture("gain", "grad_pam", organ) for organ in ("left", "right"))
    assert left.shape != right.shape or (left != right).any()


def test_the_magnitudes_of_all_organs_share_whole_numbers_as_ends_of_their_colours():
    history = told(GAINS[:3])
    values = tensor(history.data["magnitude"])
    ends = (values.min().floor(), values.max().ceil())
    assert history._limits("magnitude", "grad_pam") == ends
    assert history._limits("gain", "grad_pam") == (0, 1)


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
