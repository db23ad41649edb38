"""Events in words, and the table of what they were held against."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray

from helpers.invented import explained, labels
from segtrace.labelled import tensor
from segtrace.measures.over_cases import COVERAGE
from segtrace.report.claims.claim import USUAL_PLACE
from segtrace.report.claims.leaks import ELSEWHERE, FOLLOWS, STAYS
from segtrace.report.pictures.charts import leak_picture
from segtrace.report.tables import append_rows, read_table, save_table
from segtrace.tracking.leaks import LeakMeter, Leaks


def leak_of(record):
    return LeakMeter().of(record)


def density_at(found, stage):
    return tensor(found.found.summary["density"].sel(site=stage, rule="grad_pam"))


def leaks(leak=0.6, epoch=3, slices=16, **given):
    now = explained(epoch, 0.5, leak, slices).record
    then = explained(0, 0.0, 0.0, slices).record
    known = {"centred": leak_of(now), "untrained": leak_of(then)} | given
    return Leaks(now, leak_of(now), **known)


def test_a_planted_leak_is_told_in_words_and_an_absent_one_is_not_found():
    found = leaks().text("grad_pam")
    assert "left leaks onto right at dec1, within its nulls again at head" in found
    assert "epoch 3 (one run)" in found
    assert "none found" not in found
    assert f"{COVERAGE}\n" in found
    nothing = leaks(leak=0.0).text("grad_pam")
    assert "none found" in nothing
    assert COVERAGE not in nothing


def test_an_organ_that_the_network_finds_nowhere_leaks_nowhere():
    """What its maps show explains a decision that the network does not make."""
    found = leaks()
    flow = found.record.flow
    prediction = flow.prediction.masked_fill(flow.prediction == 1, 0)  # no left
    prediction[:, 12:15, 1:15] = 1  # but for some where none is
    record = replace(found.record, flow=replace(flow, prediction=prediction))
    blind = replace(found, record=record)
    assert [event.organ for event in found.events("grad_pam")] == ["left"]
    assert blind.events("grad_pam") == []
    text = blind.text("grad_pam")
    assert "none found" in text
    assert "Nothing can be said of:\n\n* left: Dice below 0.5" in text
    assert "left on right" in found.text("grad_pam")
    assert "left on right" not in text
    assert "right on left" not in text  # no more there than anywhere
    nothing = "nothing above uniform on 3 or more slices with both organs"
    assert f"dec1: {nothing}, of organs that something can be said of\n" in text
    density = density_at(found, "dec1")
    caption = ("leak  ·  dec1  ·  Grad-PAM  ·  epoch 3\n"
               "times uniform; region: ground truth; score: logit; one run")  # fmt: skip
    marked = leak_picture(density, ("left (not found)", "right"), caption,
                          columns=("left", "right"), vmax=4.0)  # fmt: skip
    np.testing.assert_array_equal(blind.picture("grad_pam", "dec1"), marked)


def test_an_organ_in_its_usual_place_leaks_nowhere():
    """What is predicted lies where the organ lies in the case before."""
    found = leaks()
    flow = found.record.flow
    elsewhere = flow.prediction.roll(2, 0)
    usual = torch.where(flow.prediction == 2, 2, torch.where(elsewhere == 1, 1, 0))
    record = replace(found.record, flow=replace(flow, prediction=usual))
    blind = replace(found, record=record)
    assert blind.events("grad_pam") == []
    assert f"* left: {USUAL_PLACE}" in blind.text("grad_pam")
    assert "Dice below" not in blind.text("grad_pam")


def test_a_leak_that_all_logits_share_is_no_event():
    shared = leak_of(explained(3, 0.5, 0.0, 16).record)
    assert leaks(centred=shared).events("grad_pam") == []


def test_a_leak_that_the_untrained_network_has_too_is_no_event():
    assert leaks(untrained=leak_of(explained(0, 0.5, 0.7, 16).record)).events("grad_pam") == []


def test_what_it_was_not_held_against_is_said():
    text = leaks(centred=None, untrained=None).text("grad_pam")
    assert "no event: centred logits and the untrained network not known to hold them" in text
    assert "no event: 2 cases, below 5 nothing is claimed" in leaks(slices=4).text("grad_pam")


def test_the_untrained_network_is_a_yardstick_and_has_no_event():
    text = leaks(epoch=0, untrained=None, centred=None).text("grad_pam")
    assert "no event, though 1 of 2 entries of all rules pass the test against uniform" in text


def test_the_table_holds_every_pair_beside_its_controls():
    rows = leaks(slices=4).rows()
    assert len(rows) == 2 * 2 * 2  # stages, organs, organs
    row = next(r for r in rows if (r["stage"], r["organ"], r["onto"]) == ("dec1", "left", "right"))
    # 0.6 of the map, and of the rest what is spread evenly: 0.4 · 0.5 · 16/256.
    assert row["share"] == pytest.approx(0.6 + 0.4 * 0.5 / 16, abs=1e-6)
    assert row["density"] == pytest.approx(16 * row["share"], abs=1e-4)
    assert row["density_untrained"] == pytest.approx(1, abs=1e-4)
    assert row["density_centred"] == row["density"]
    assert row["slices"] == 4


def test_leakage_csv_is_written_as_ever(tmp_path):
    """In the other case an organ lies a row lower: of the leak 3 of 4 rows, 0.75 · 4 + 0.375."""
    save_table(tmp_path / "leakage.csv", leaks(0.25, slices=4, centred=None).rows()[:3])
    assert (tmp_path / "leakage.csv").read_text() == (
        "epoch,rule,stage,organ,onto,density,share,density_coarse,density_mirrored,"
        "density_others,slices,density_untrained,density_centred,density_mean,density_low,"
        "density_high,cases,p,event,p_others,follows\n"
        "3,grad_pam,dec1,left,left,6.375,0.3984375,16.0,4.375,nan,4,1.0,nan,nan,nan,nan,nan,nan,nan,nan,nan\n"
        "3,grad_pam,dec1,left,right,4.375,0.2734375,0.0,nan,3.375,4,1.0,nan,nan,nan,nan,nan,nan,nan,nan,nan\n"
        "3,grad_pam,dec1,right,left,0.5,0.03125,0.0,nan,0.5,4,1.0,nan,nan,nan,nan,nan,nan,nan,nan,nan\n"
    )


def test_the_table_holds_the_numbers_of_the_tests():
    found = leaks()
    (event,) = found.events("grad_pam")
    at = (event.peak, event.organ, event.onto)
    row = next(r for r in found.rows() if (r["stage"], r["organ"], r["onto"]) == at)
    told = {"density_mean": "mean over cases", "cases": "cases", "p": "p",
            "density_others": ELSEWHERE, "p_others": "p, other cases"}  # fmt: skip
    assert {column: row[column] for column in told} == {
        column: event.numbers[name] for column, name in told.items()
    }
    assert row["density_low"] != row["density_low"]  # all cases are alike: no interval
    assert row["p"] <= 0.05
    own = next(r for r in found.rows() if r["organ"] == r["onto"])
    assert own["p"] != own["p"]  # an organ on itself is no leak and was not tested


def test_the_table_says_which_entries_are_events_and_which_of_them_follow_the_organ(tmp_path):
    found = leaks()
    (event,) = found.events("grad_pam")
    later = ("event", "p_others", "follows", "density_others")
    old = [{k: v for k, v in row.items() if k not in later} for row in found.rows()]
    save_table(tmp_path / "leakage.csv", old)  # of a run before there were such columns
    append_rows(tmp_path / "leakage.csv", found.rows())
    before, after = [read_table(tmp_path / "leakage.csv")[at] for at in (slice(8), slice(8, 16))]
    assert {row[column] for row in before for column in later} == {""}
    told = [row for row in after if row["event"] == "True"]
    assert [(row["stage"], row["organ"], row["onto"]) for row in told] == [
        (stage, event.organ, event.onto) for stage in event.stages
    ]
    assert [row["follows"] for row in told if row["stage"] == event.peak] == [str(event.follows)]
    assert {row["follows"] for row in after if row["event"] == "False"} == {"False"}
    untested = [row for row in after if row["p"] == "nan"]
    assert len(untested) == 6  # two organs on themselves, at two stages, and the head
    assert {row[column] for row in untested for column in ("event", "follows")} == {"nan"}


def test_of_many_events_those_that_follow_the_organ_are_told_first(monkeypatch):
    """Six, of which the weakest follows and a pair does at its weaker stage alone."""
    organs = list("abc")
    density = np.full((3, 1, 3, 3), 2.5) + np.arange(9.0).reshape(3, 3)
    density[1] = 0.5
    density[2] = 0.2
    density[1, 0, 2, 1] = 20.0  # the strongest of all, of a pair that follows at dec3 only
    follows = np.zeros_like(density, dtype=bool)
    follows[0, 0, [0, 2], [1, 1]] = True
    holds = (density > 2) & ~np.eye(3, dtype=bool)
    same = dict.fromkeys(("density", "mean", "centred", "low", "high"), density)
    one = {name: np.ones_like(density) for name in ("null", "cases", "share", "density_coarse",
           "untrained", "density_mirrored", "density_others", "p", "p_others")}  # fmt: skip
    axes = ("site", "rule", "organ", "onto")
    numbers = {name: (axes, values) for name, values in
               (same | one | {"holds": holds, "follows": follows}).items()}  # fmt: skip
    coords = {"site": ["dec3", "dec4", "head"], "rule": ["grad_pam"], "organ": organs,
              "onto": organs}  # fmt: skip
    monkeypatch.setattr(Leaks, "tests", xarray.Dataset(numbers, coords))
    found = leaks()
    pairs = [(event.organ, event.onto) for event in found.events("grad_pam")]
    assert pairs == [("c", "b"), ("a", "b"), ("c", "a"), ("b", "c"), ("b", "a")]
    first = found.events("grad_pam")[0]
    assert (first.stages, first.peak, first.follows) == (("dec3", "dec4"), "dec3", True)
    text = found.text("grad_pam")
    assert text.index(str(first)) < text.index(FOLLOWS, text.index(str(first)) + len(str(first)))
    assert (text.count(FOLLOWS), text.count(STAYS)) == (2, 3)
    assert "\n\n5 of 6 events are told: those that follow the organ first, then the" in text
    assert found.left_out("seg_grad_cam") == []


def test_independent_logits_are_tested_without_what_is_common_to_them():
    found = leaks(centred=None)
    assert found.events("grad_pam") == []
    behind = replace(found.record, flow=replace(found.record.flow, activation="sigmoid"))
    (event,) = replace(found, record=behind).events("grad_pam")
    assert (event.organ, event.onto) == ("left", "right")


def test_the_matrix_is_drawn_for_every_stage():
    found = leaks()
    for stage in ("dec1", "head"):
        density = density_at(found, stage)
        caption = (f"leak  ·  {stage}  ·  Grad-PAM  ·  epoch 3\n"
                   "times uniform; region: ground truth; score: logit; one run")  # fmt: skip
        expected = leak_picture(density, ("left", "right"), caption, vmax=4.0)
        np.testing.assert_array_equal(found.picture("grad_pam", stage), expected)
    assert (found.picture("grad_pam", "dec1") != expected).any()


def test_a_meter_that_has_seen_other_epochs_measures_the_same():
    meter = LeakMeter()
    meter.of(explained(0, 0.0).record)
    record = explained(3, 0.5, 0.6).record
    assert meter.of(record).data.identical(leak_of(record).data)


def test_a_meter_notices_that_the_organs_lie_elsewhere():
    meter = LeakMeter()
    meter.of(explained(0, 0.0).record)
    record = explained(3, 0.5, 0.6).record
    moved = replace(record, scene=replace(record.scene, truth=labels().roll(3, 1)))
    assert meter.of(moved).data.identical(leak_of(moved).data)
