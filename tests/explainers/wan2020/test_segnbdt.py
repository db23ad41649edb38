"""SegNBDT as explain.py and Python run it: files, words, time, refusals."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import segtrace.explainers
from helpers import nets
from helpers.explaining import NET, ORGANS, TRUTH, X, explained, network
from helpers.scripts import answer_of
from helpers.untouched import untouched
from segtrace import InputError
from segtrace.explainers.wan2020.inference import Inference
from segtrace.explainers.wan2020.segnbdt import SegNbdt
from segtrace.explainers.wan2020.words import OTHER, kept, sentences
from segtrace.report.files import load_maps
from segtrace.report.tables import read_table


def dice(mask, truth):
    return 2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum())


@torch.no_grad()
@pytest.mark.parametrize("with_truth", [True, False])
def test_from_python_it_is_one_call_that_leaves_no_mark(with_truth):
    truth = TRUTH if with_truth else None
    with untouched(NET):
        found = segtrace.explainers.segnbdt(
            NET, nets.PLAIN_STAGES, X, ORGANS, truth, region="pred", draws=1
        )
    logits = NET(X)
    tree, own = found.hierarchy.tree.logprob(logits).argmax(1), logits.argmax(1)
    held = TRUTH if with_truth else own
    rows = found.inference.rows([*ORGANS], (0, 1, 2))
    for row in rows:
        n, c = row["slice"], ORGANS[row["organ"]]
        assert row["dice"] == pytest.approx(dice(own[n] == c, held[n] == c))
        assert row["tree_dice"] == pytest.approx(dice(tree[n] == c, held[n] == c))
        assert row["agree"] == pytest.approx(float((tree[n] == own[n]).double().mean()))
    assert len(rows) == sum(int((held[n] == c).any()) for n in range(3) for c in ORGANS.values())
    assert ("for want of a truth" in kept(found)) is not with_truth
    assert found.explained.record.flow.stages == ("enc1", "enc2")
    assert found.facts["whole"]


def test_an_organ_that_is_nowhere_has_no_figure_and_no_number():
    truth = torch.where(TRUTH == 2, 0, TRUTH)
    found = explained(SegNbdt(draws=1), network(truth=truth))
    assert [name for name in found.figures if name.startswith("tree_")] == ["tree_a"]
    assert {row["organ"] for row in found.inference.rows([*ORGANS], (0, 1, 2))} == {"a"}
    assert found.erased.left[1].isnan().all()
    assert len(sentences(found)) == 4


def test_the_decision_that_loses_most_is_named():
    found = explained(SegNbdt(draws=1))
    whole = found.erased.whole.clone()
    numbers = [decision for _, decision in found.erased.measured]
    for m, decision in enumerate(numbers):
        whole[m] = 0.25 if decision == 2 else 0.75
    masks = torch.stack([channel == TRUTH for channel in ORGANS.values()])
    lost = Inference.of(TRUTH, 0 * TRUTH, [*ORGANS.values()], masks, ("c",) * 3)
    words = kept(replace(found, inference=lost, erased=replace(found.erased, whole=whole)))
    assert "the organs' pixels 0.25 go the right way at decision 2, 0.75 at the others." in words
    whole[[m for m, one in enumerate(numbers) if one == 1]] = torch.nan  # of what is nowhere
    words = kept(replace(found, inference=lost, erased=replace(found.erased, whole=whole)))
    assert "nan" not in words


def test_dice_over_cases_is_a_ratio_of_sums_in_each():
    said, tree = torch.zeros(4, 2, 4).long(), torch.zeros(4, 2, 4).long()
    masks = torch.zeros(1, 4, 2, 4).bool()
    masks[0, :, 0] = True  # four pixels a slice
    said[:, 0, :3], tree[:2, 0, :1] = 1, 1
    said[3], masks[0, 3] = 0, False
    said[3, 0, :2] = 1  # found where it is absent: no part of the case's Dice
    found = Inference.of(said, tree, [1], masks, ("a", "a", "b", "b"))
    over = found.over_cases
    assert float(over["network"].mean[0]) == pytest.approx(6 / 7)
    assert float(over["tree"].mean[0]) == pytest.approx((2 * 2 / (2 + 8) + 0) / 2)
    assert float(over["lost"].mean[0]) == pytest.approx(6 / 7 - 0.2)
    assert found.agree.tolist() == pytest.approx([6 / 8, 6 / 8, 5 / 8, 6 / 8])
    (row,) = found.rows_over_cases(["liver"])
    assert row["cases"] == 2
    assert np.isnan(row["lost_low"])


def test_a_tree_that_loses_the_organs_is_said_to_be_another_classifier():
    found = explained(SegNbdt(draws=1))
    masks = torch.stack([channel == TRUTH for channel in ORGANS.values()])
    for tree, differs in ((TRUTH, False), (torch.zeros_like(TRUTH), True)):
        one = Inference.of(TRUTH, tree, [*ORGANS.values()], masks, ("c",) * 3)
        words = kept(replace(found, inference=one))
        assert (OTHER in words) is differs
        assert ("go the right way at decision" in words) is differs
        assert f"Dice {'0.00' if differs else '1.00'} beside the network's own 1.00" in words


@pytest.mark.parametrize("combine", ["product", "maximum"])
def test_stages_may_be_combined(combine):
    flow = explained(SegNbdt(draws=1, combine=combine)).explained.record.flow
    assert flow.stages == ("enc1", "enc2", combine)
    assert torch.nan_to_num(flow.maps[combine]).amax() <= 1
    one = explained(SegNbdt(draws=1, combine=combine, maps_at=["enc2"]))
    assert one.explained.record.flow.stages == ("enc2",)


def test_what_is_not_reached_in_time_is_left_out_and_said(monkeypatch):
    monkeypatch.setattr("segtrace.explainers.explainer.perf_counter", lambda: 9)
    monkeypatch.setattr("segtrace.explainers.scores.perf_counter", lambda: 0)
    found = explained(SegNbdt(draws=1), max_seconds=5)
    assert found.done.organs == ("a",)  # one at least
    assert found.done.left_out == ("b",)
    assert found.erased.passes == 0
    assert not found.whole
    assert "Partial, when the time was over: no maps of b; 0 of " in sentences(found)[-1]
    assert {name for name in found.figures if name.startswith("tree_")} == {"tree_a"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"combine": "sum"}, "no way to combine stages 'sum'"),
        ({"draws": 0}, "draws of SegNbdt is 0"),
        ({"against": 2}, "against"),
        ({"baseline": "grey"}, "no baseline 'grey'"),
        ({"max_seconds": 0.0}, "max_seconds"),
    ],
)
def test_options_without_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        SegNbdt(**options)


def test_where_the_head_alone_is_named_its_maps_are_drawn():
    found = segtrace.explainers.segnbdt(NET, {"head": "5"}, X, {"a": 1, "b": 2})
    assert found.explained.record.flow.stages == ("head",)


def test_a_sigmoid_is_refused_in_one_line():
    named = {"a": 1, "b": 2, "c": 3}
    with pytest.raises(InputError, match="each channel decides for itself: leave segnbdt out"):
        segtrace.explainers.segnbdt(NET, nets.PLAIN_STAGES, X, named, activation="sigmoid")


def test_volumes_are_refused():
    net = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 1))
    with pytest.raises(InputError, match=r"SegNBDT explains slices \(N, C, H, W\)"):
        segtrace.explainers.segnbdt(net, {"head": "0"}, torch.rand(1, 1, 4, 4, 4), {"a": 1})


def test_explain_py_writes_it_into_a_folder_of_its_own_and_shows_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "explainer=[segnbdt]",
        "explainers.segnbdt.draws=1", "organs=[liver]", "failures=false", "rules=grad_pam",
        "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    assert "SegNBDT: " in ran.out
    folder = tmp_path / "out" / "explainers" / "segnbdt"
    tree = read_table(folder / "tree.csv")
    assert [row["decision"] for row in tree] == [str(n) for n in range(1, len(tree) + 1)]
    flow = load_maps(folder / "maps.npz").flow
    assert all(name.startswith("liver, decision ") for name in flow.organs)
    assert {row["organ"] for row in read_table(folder / "measures.csv")} == set(flow.organs)
    assert {row["way"] for row in read_table(folder / "sir.csv")} >= {"organ", "shifted"}
    assert read_table(folder / "tree_dice.csv")
    assert read_table(folder / "tree_dice_cases.csv")
    assert json.loads((folder / "manifest.json").read_text())["options"]["draws"] == 1
    figures = folder / "figures" / "segnbdt"
    assert (figures / "tree_liver.png").is_file()
    assert "wan2020" in (figures / "references.bib").read_text()
    assert "tree_liver: Liver: the tree of all classes" in (figures / "caption.txt").read_text()
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<h2>SegNBDT</h2>" in page
    assert "Soft inference on these slices" in page
