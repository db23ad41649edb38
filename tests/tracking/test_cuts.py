"""What cuts found, on a network whose route is known by its weights: intervals, words, state."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.changed import changed
from helpers.routes import ROUTED_EDGES, ROUTED_STAGES, Routed, blob
from helpers.saving import reloaded
from segtrace import InputError
from segtrace.causal.baselines import collect
from segtrace.data.probes import Probes
from segtrace.network.sites import sites_of
from segtrace.report.tables import save_table
from segtrace.tracking.cut_tables import necessity_rows, report, route_rows, slice_rows
from segtrace.tracking.cuts import Cuts, cut_network
from segtrace.tracking.explained import Network, Settings

ORGANS = {"organ": 1, "ghost": 2}


NECESSITY = """\
epoch,site,place,cut_vertex,cut,organ,dice,dice_lost,dice_lost_low,dice_lost_high,\
dice_lost_untrained,score_lost,slices,cases,p
3,enc2,stage,False,channel_mean,organ,1.0,0.0,nan,nan,1.0,0.0,3,2,nan
3,dec1,stage,True,channel_mean,organ,1.0,1.0,nan,nan,1.0,0.9375,3,2,nan
"""
ROUTE = """\
epoch,source,edge,stage,organ,share,sum_error,change,dice_lost
3,,skip_1,dec1,organ,1.0,0.0,11.25,1.0
3,,up_1,dec1,organ,0.0,0.0,11.25,0.0
"""


def probes(cases=("a", "b", "b"), labelled=True):
    images, truth = blob(3)
    spacing = torch.full((3, 2), torch.nan, dtype=torch.float64)
    labels = truth.to(torch.uint8) if labelled else None
    return Probes(images, labels, cases, (0, 1, 2), spacing, "train", phantom=True)


def cut(epoch=3, weights=(1.0, 0.0), organs=None, shown=None, edges=ROUTED_EDGES, progress=None):
    net = Routed(*weights)
    images, _ = blob(3)
    means = collect(net, sites_of(net, ROUTED_STAGES, edges), [images])
    settings = Settings(["grad_pam"], organs=organs)
    network = Network(net, ROUTED_STAGES, shown or probes(), ORGANS, settings)
    return cut_network(network, edges, means, epoch, progress=progress)


def test_the_way_that_the_weights_take_is_the_one_whose_cut_costs():
    found = cut()
    lost = found.necessity.lost["mean"].sel(organ="organ")
    assert lost.sel(site=["skip_1", "up_1"]).values.tolist() == pytest.approx([1, 0])
    assert found.dice("organ") == 1
    assert found.encoders == ("enc1", "enc2")
    assert found.sentences() == {
        "organ": "Seen on 2 cases, no claim: the organ loses most without skip_1 (all of it) and "
        "up_1 (0.00)."
    }
    assert found.marks == ("PHANTOM", "TRAINING SLICES")


def test_an_organ_that_no_slice_holds_is_left_out_and_alone_leaves_nothing():
    assert cut().left_out == ("ghost",)
    assert cut().organs == ["organ"]
    assert cut(organs=["ghost"]) is None


def test_mistakes_are_named():
    with pytest.raises(InputError, match=r"no organ 'organs'; .*did you mean organ"):
        cut(organs=["organs"])
    with pytest.raises(InputError, match="judged against labels, which these slices lack"):
        cut(shown=probes(labelled=False))


def with_dice(left, cases=("a", "b", "c"), whole=0.9):
    """Cuts that leave so much of a whole Dice in every slice, whichever site is cut."""
    found = cut(shown=probes(cases))
    dice = np.broadcast_to(left, found.necessity.data["dice"].shape)
    necessity = changed(found.necessity, whole_dice=[[whole] * 3], dice=dice.copy())
    return replace(found, necessity=necessity)


def words(found):
    return found.sentences()["organ"]


def test_a_row_and_the_words_hold_the_interval_over_cases():
    found = with_dice([0.3, 0.5, 0.4])
    row = next(r for r in necessity_rows(found, None) if r["site"] == "skip_1")
    # 0.6, 0.4, 0.5 are lost: standard deviation 0.1, t of 2 degrees of freedom 4.302653.
    half = 4.302653 * 0.1 / 3**0.5
    ends = row["dice_lost_low"], row["dice_lost_high"]
    assert (row["dice"], row["dice_lost"]) == pytest.approx((0.9, 0.5))
    assert ends == pytest.approx((0.5 - half, 0.5 + half))
    assert (row["cases"], row["slices"]) == (3, 3)
    assert "no claim: the organ loses most without skip_1 (0.50, 0.25 to 0.75)" in words(found)


def test_two_cases_have_no_interval_and_every_case_weighs_the_same():
    two = with_dice([0.3, 0.5, 0.5], ("a", "b", "b"))
    row = necessity_rows(two, None)[0]
    assert (row["cases"], row["slices"]) == (2, 3)
    assert row["dice_lost"] == pytest.approx((0.6 + 0.4) / 2)
    assert math.isnan(row["dice_lost_low"])
    assert "loses most without skip_1 (0.50) and up_1 (0.50)" in words(two)


def test_where_all_is_lost_or_all_cases_agree_the_words_say_so():
    assert "skip_1 and up_1 (all of it)" in words(with_dice([0.0, 0.0, 0.0]))
    assert "skip_1 (0.40, the same in all 3 cases)" in words(with_dice([0.5, 0.5, 0.5]))


def test_what_is_printed_names_the_interval_and_its_coverage(capsys):
    report(with_dice([0.3, 0.5, 0.4]))
    printed = capsys.readouterr().out
    assert "In brackets: mean over cases, 95 % t interval over cases." in printed
    assert words(with_dice([0.3, 0.5, 0.4])) in printed
    assert "the mean over 3 to 12 cases in 92 to 95 %" in printed
    assert "Of sites that are one path the last is named: up_1 (for enc2)." in printed


def test_where_no_organ_is_found_no_brackets_are_explained(capsys):
    report(with_dice([0.0, 0.0, 0.0], whole=0.05))
    printed = capsys.readouterr().out
    assert "next to no Dice" in printed
    assert "brackets" not in printed
    assert "what the network relies on" not in printed


def test_rows_stand_beside_those_of_the_untrained_network():
    now, before = cut(), cut(0, weights=(0.0, 1.0))
    rows = {row["site"]: row for row in necessity_rows(now, before)}
    assert rows["skip_1"]["dice_lost_untrained"] == pytest.approx(0)
    assert rows["enc1"]["cut_vertex"] is True
    shares = {row["edge"]: row for row in route_rows(now)}
    assert shares["skip_1"]["share"] == pytest.approx(1)
    assert shares["skip_1"]["dice_lost"] == pytest.approx(1)


def test_the_rows_of_slices_hold_every_number():
    found = cut()
    rows = slice_rows(found)
    assert len(rows) == found.necessity.data["dice"].size
    assert [row["number"] for row in rows[:3]] == [0, 1, 2]
    assert [row["case"] for row in rows[:3]] == ["a", "b", "b"]
    lost = [row["dice"] - row["dice_cut"] for row in rows]
    assert lost == found.necessity.dice_lost.values.flatten().tolist()
    assert {row["site"] for row in rows if row["cut_vertex"]} == {"enc1", "dec1", "head"}
    assert {row["cut"] for row in rows} == {"channel_mean"}


def test_the_table_holds_the_p_of_what_is_claimed():
    """Of six cases of which each loses all: 1 of their 64 signs is as large."""
    images, truth = blob(6)
    cases, spacing = tuple("abcdef"), torch.full((6, 2), torch.nan, dtype=torch.float64)
    six = Probes(images, truth.to(torch.uint8), cases, tuple(range(6)), spacing, "train", True)
    rows = {
        row["site"]: row for row in necessity_rows(cut(shown=six), None) if row["organ"] == "organ"
    }
    assert rows["skip_1"]["p"] == 1 / 64
    assert rows["up_1"]["p"] == 1.0
    assert math.isnan(rows["enc2"]["p"])  # one path with up_1 is one test
    assert math.isnan(rows["dec1"]["p"])  # a cut vertex is none


def test_necessity_csv_and_route_csv_are_written_as_ever(tmp_path):
    now, before = cut(), cut(0, weights=(0.0, 1.0))
    save_table(tmp_path / "a.csv", necessity_rows(now, before)[1:3])
    assert (tmp_path / "a.csv").read_text() == NECESSITY
    save_table(tmp_path / "a.csv", route_rows(now))
    assert (tmp_path / "a.csv").read_text() == ROUTE


@pytest.mark.parametrize("odd", [{"dice": torch.zeros(2)}, {"sites": ("enc1",)}, {"cases": None}])
def test_cuts_of_a_file_whose_numbers_do_not_fit_are_refused(odd):
    plain = cut().to_plain()
    plain["necessity"] |= odd
    with pytest.raises(InputError, match="numbers that do not fit their names"):
        Cuts.from_plain(plain)


def test_no_cut_vertex_is_named():
    told = words(cut())
    assert "enc1" not in told  # every path runs through it
    assert "head" not in told


def test_it_is_said_of_what_is_not_found_that_nothing_can_be_lost():
    assert "cutting can take nothing away" in words(cut(weights=(-1.0, 0.0)))


def test_cuts_come_back_from_a_checkpoint_as_they_were():
    found = cut()
    again = Cuts.from_plain(reloaded(found.to_plain()))
    assert repr(necessity_rows(again, found)) == repr(necessity_rows(found, found))
    assert route_rows(again) == route_rows(found)
    assert again.sentences() == found.sentences()


def test_cuts_of_older_checkpoints_are_read():
    """Written out: what is read today was written by any version so far."""
    one, dice = torch.ones(1, 2).double(), torch.tensor([[[0.5, 0.7]], [[1.0, 1.0]]]).double()
    necessity = {
        "sites": ("enc1", "skip_1"), "places": ("stage", "edge"), "organs": ("organ",),
        "cases": ("a", "b"), "cut": "channel_mean", "draws": 1, "score": "logit",
        "cut_vertex": torch.tensor([True, False]), "whole": {"dice": one, "score": one},
        "dice": dice, "scores": dice,
    }  # fmt: skip
    route = {
        "edges": ("skip_1",), "stages": ("dec1",), "sources": ("enc1",), "organs": ("organ",),
        "part": torch.ones(1, 1, 2), "change": torch.ones(1, 1, 2) * 2,
    }  # fmt: skip
    plain = {"epoch": 0, "necessity": necessity, "route": route, "encoders": ("enc1",),
             "left_out": ("ghost",), "marks": ("PHANTOM",)}  # fmt: skip
    found = Cuts.from_plain(reloaded(plain))
    assert found.necessity.lost["mean"].values.tolist() == [[pytest.approx(0.4)], [0]]
    assert found.route.summary["share"].item() == 0.5
    assert found.to_plain().keys() == plain.keys() | {"unseen"}
    assert found.unseen == ()
    for name in ("necessity", "route"):
        again = found.to_plain()[name]
        assert repr({key: again[key] for key in plain[name]}) == repr(plain[name])


def test_progress_is_told_of_the_cuts_and_then_of_the_route():
    seen = []
    cut(progress=seen.append)
    starts = [k for k, progress in enumerate(seen) if progress.done == 0]
    assert len(starts) == 2
    assert seen[starts[1] - 1].left == seen[-1].left == 0
