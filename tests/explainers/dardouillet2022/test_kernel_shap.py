"""KernelSHAP on superpixels against the definition, captum, and what is known of it by hand."""

import json
from itertools import permutations

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

import segtrace.explainers
from helpers import nets
from helpers.explaining import NET, ORGANS, TRUTH, Additive, X, clock, explained, network
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.attribution.flow import Status
from segtrace.causal import batches
from segtrace.explainers.dardouillet2022.kernel_shap import KernelShap
from segtrace.report.files import load_maps
from segtrace.report.tables import read_table

QUARTERS = torch.arange(16)[:, None] // 8 * 2 + torch.arange(16) // 8


def maps_of(found):
    return found.explained.record.flow.maps["input"][0]


def sums(maps, labels=QUARTERS):
    """(…, S) of maps (…, H, W) over superpixels."""
    return torch.stack([maps[..., labels == s].sum(-1) for s in labels.unique()], -1)


def score_of(organ, n, x):
    """Of one organ's region on images (B, 1, H, W) that stand in the place of slice n."""
    region = (TRUTH[n] == ORGANS[organ]).double()
    return (NET(x)[:, ORGANS[organ]] * region).flatten(1).sum(1)


@torch.no_grad()
@pytest.mark.parametrize("baseline", [0.0, "mean"])
def test_shares_equal_the_definition_order_by_order(baseline):
    found = explained(KernelShap(cells=2, baseline=baseline))
    flow, seen = found.explained.record.flow, 0
    assert (flow.rules, flow.organs, flow.stages) == (("kernel_shap",), ("a", "b"), ("input",))
    for o, organ in enumerate(ORGANS):
        for n in range(3):
            if not (TRUTH[n] == ORGANS[organ]).any():
                assert flow.status[0, 0, o, n] == Status.ABSENT
                continue
            hidden = torch.full_like(X[n], 0.0 if baseline == 0 else float(X[n].mean()))
            expected = torch.zeros(4, dtype=torch.float64)
            for order in permutations(range(4)):
                now = hidden.clone()
                for s in order:
                    before = float(score_of(organ, n, now[None]))
                    now = torch.where(s == QUARTERS, X[n], now)
                    expected[s] += (float(score_of(organ, n, now[None])) - before) / 24
            torch.testing.assert_close(sums(maps_of(found)[o, n]), expected)
            assert len(maps_of(found)[o, n].unique()) == 4  # one value a superpixel
            seen += 1
    assert seen > 3
    assert not found.error.any()
    assert (found.drawn.done, found.drawn.whole) == (14, True)


@torch.no_grad()
def test_captum_says_the_same_of_the_same_superpixels():
    found = sums(maps_of(explained(KernelShap(cells=2)))[0, 0])

    def score(x):
        return score_of("a", 0, x)

    mask = QUARTERS[None, None]
    exact = captum.attr.ShapleyValues(score).attribute(X[:1], baselines=0, feature_mask=mask)
    theirs = torch.stack([exact[0, 0][s == QUARTERS][0] for s in range(4)])  # float32
    torch.testing.assert_close(found, theirs.double(), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_captums_drawn_shares_lie_within_the_error():
    cells = torch.arange(16)[:, None] // 4 * 4 + torch.arange(16) // 4
    drawn = explained(KernelShap(cells=4, samples=600))
    own, error = sums(maps_of(drawn)[0, 0], cells), sums(drawn.error[0, 0].double(), cells)
    torch.manual_seed(0)
    sampling = captum.attr.ShapleyValueSampling(lambda x: score_of("a", 0, x))
    runs = torch.stack([
        sampling.attribute(X[:1], baselines=0, feature_mask=cells[None, None], n_samples=10)[0, 0]
        for _ in range(12)
    ])  # fmt: skip
    theirs = torch.stack([runs[:, cells == s][:, 0] for s in range(16)], 1)
    away = (own - theirs.mean(0)) / (error.square() + theirs.var(0) / len(runs)).sqrt()
    assert float(away.square().mean()) < 2
    assert float(away.abs().max()) < 4
    assert (error > 0).all()


WEIGHT = torch.linspace(-1, 2, 144, dtype=torch.float64).reshape(12, 12) ** 3


def additive():
    x, truth = nets.images(2, 12), torch.zeros(2, 12, 12, dtype=torch.long)
    truth[:, :, 4:] = 1
    return network(net=Additive(WEIGHT), x=x, truth=truth, organs={"a": 1}), x


@pytest.mark.parametrize("kind", ["grid", "organs"])
def test_additive_scores_are_exact_from_few_coalitions(kind):
    of, x = additive()
    found = explained(KernelShap(superpixels=kind, cells=6, samples=300), of)
    labels = found.arrays["superpixels"]
    for n in range(2):
        expected = sums(WEIGHT * x[n, 0] * (of.probes.labels[n] == 1), labels[n])
        torch.testing.assert_close(sums(maps_of(found)[0, n], labels[n]), expected)
    assert float(found.error.max()) < 1e-6


def test_the_map_sums_to_the_score_less_that_of_the_hidden_slice():
    found = explained(KernelShap(cells=4, samples=130, baseline=0.5, seed=3))
    flow = found.explained.record.flow
    rows = {(row["slice"], row["organ"]): row for row in found.numbers}
    for o, organ in enumerate(ORGANS):
        for n in range(3):
            row = rows[n, organ]
            total = float(maps_of(found)[o, n].sum())
            assert total == pytest.approx(row["score"] - row["baseline_score"])
            assert row["score"] == pytest.approx(float(flow.scores[o, n]))
    assert rows[0, "a"]["superpixels"] == 16
    assert 0 < rows[0, "a"]["r2"] < 1


def test_what_looks_like_the_baseline_takes_no_part():
    x = X.clone()
    x[0, :, :8] = 0
    found = explained(KernelShap(cells=2), network(x=x))
    counts = {row["slice"]: row["superpixels"] for row in found.numbers}
    assert counts == {0: 2, 1: 4, 2: 4}
    assert not maps_of(found)[0, 0, :8].any()
    whole = explained(KernelShap(cells=2), network(x=x[1:], truth=TRUTH[1:]))
    torch.testing.assert_close(maps_of(found)[:, 1:], maps_of(whole))


def test_a_slice_without_anything_has_no_map():
    x = X.clone()
    x[0] = 0
    found = explained(KernelShap(cells=2), network(x=x))
    assert int(found.explained.record.flow.status[0, 0, 0, 0]) == Status.DEAD
    found.picture("a")


def test_a_batch_of_another_size_changes_nothing_and_a_seed_does(monkeypatch):
    def drawn(seed):
        return maps_of(explained(KernelShap(cells=4, samples=130, seed=seed)))

    before = drawn(0)
    assert not torch.allclose(before, drawn(1))
    monkeypatch.setattr(batches, "SLICES", 3)
    monkeypatch.setattr("segtrace.explainers.scores.SLICES", 3)
    torch.testing.assert_close(drawn(0), before, rtol=1e-9, atol=1e-9)


def test_it_works_behind_a_sigmoid():
    found = segtrace.explainers.kernel_shap(
        NET, X, {"a": {"channel": 0, "label": 1}}, TRUTH, region="gt", activation="sigmoid",
        score="prob", cells=2,
    )  # fmt: skip
    flow = found.explained.record.flow
    hidden = NET(torch.zeros_like(X)).detach()[:, 0].sigmoid()
    total = (((NET(X)[:, 0].sigmoid() - hidden) * (TRUTH == 1)).flatten(1)).sum(1).detach()
    torch.testing.assert_close(maps_of(found)[0].flatten(1).sum(1), total)
    assert flow.activation == "sigmoid"


def test_a_network_that_answers_nan_has_maps_that_say_so():
    class Broken(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x, x, x * torch.nan], 1)

    found = explained(KernelShap(cells=2), network(net=Broken()))
    flow = found.explained.record.flow
    there = flow.region_px > 0
    assert (flow.status[0, 0, 1][there[1]] == Status.NONFINITE).all()
    assert (flow.status[0, 0, 0][there[0]] == Status.OK).all()
    found.picture("b")


def test_time_that_runs_out_keeps_the_pairs_that_are_done_and_says_so(monkeypatch, tmp_path):
    clock(monkeypatch)
    found = explained(KernelShap(cells=3, samples=400), max_seconds=40)
    assert 72 <= found.drawn.done < 400
    said = f"partial: {found.drawn.done} of 400 coalitions of 9 superpixels"
    assert said in found.caption("a")
    assert said in " ".join(found.section().sentences).lower()
    found.write(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["whole"], manifest["done"]) == (False, found.drawn.done)
    rows = read_table(tmp_path / "superpixels.csv")
    assert len(rows) == 3 * 9 * 2
    mine = [float(row["share"]) for row in rows if (row["slice"], row["organ"]) == ("0", "a")]
    total = float(maps_of(found)[0, 0].sum())
    assert sum(mine) == pytest.approx(total)


@pytest.mark.parametrize(
    ("slices", "message"), [(3, "16 superpixels need 128"), (9, "the time is over")]
)
def test_time_that_is_over_before_any_map_is_one_line(monkeypatch, slices, message):
    clock(monkeypatch)
    of = network(x=nets.images(slices, 16), truth=nets.labels(slices, 16, 3))
    with pytest.raises(InputError, match=f"KernelSHAP: .*{message}.*give more .*max_seconds"):
        explained(KernelShap(cells=4), of, max_seconds=0.5 if slices == 3 else -1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": 0}, "cells of KernelShap is 0"),
        ({"compactness": 0.0}, "compactness=0.0; give more than 0"),
        ({"superpixels": "quick"}, "no superpixels 'quick'; allowed are grid, slic, organs"),
        ({"baseline": "air"}, "no baseline 'air'"),
        ({"max_seconds": 0.0}, "max_seconds=0.0; give more than 0"),
    ],
)
def test_options_without_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        KernelShap(**options)


def test_too_few_samples_are_refused_before_any_pass():
    with pytest.raises(
        InputError, match="samples=127 are too few for 16 superpixels; draw at least"
    ):
        explained(KernelShap(cells=4, samples=127))


@pytest.mark.parametrize(
    ("options", "of", "message"),
    [
        ({"superpixels": "slic", "cells": 2, "compactness": 0.1},
         network, "slice 1 of 3 in one piece.*more cells"),
    ],
)  # fmt: skip
def test_slices_that_cannot_be_parted_are_refused(options, of, message):
    pytest.importorskip("skimage")
    with pytest.raises(InputError, match=message):
        explained(KernelShap(**options), of())


def test_organs_of_a_classifier_are_no_superpixels():
    net = nn.Sequential(nets.plain(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputError, match="needs organs on the image, 16 x 16, and here they are 1"):
        segtrace.explainers.kernel_shap(net, X, ORGANS, region="all", superpixels="organs")


def test_explain_py_writes_it_into_a_folder_of_its_own_and_shows_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "explainer=[kernel_shap]",
        "explainers.kernel_shap.cells=3", "explainers.kernel_shap.samples=120",
        "explainers.kernel_shap.superpixels=organs", "explainers.kernel_shap.baseline=mean",
        "organs=[liver]", "failures=false", "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    assert "KernelSHAP: " in ran.out
    assert "forward passes of one image, stopping at max_seconds=600, about" in ran.out
    folder = tmp_path / "out" / "explainers" / "kernel_shap"
    flow = load_maps(folder / "maps.npz").flow
    assert np.isfinite(flow.maps["input"].numpy()).all()
    with np.load(folder / "sampling.npz") as held:
        assert held["superpixels"].shape == flow.prediction.shape
    assert {row["organ"] for row in read_table(folder / "superpixels.csv")} == {"liver"}
    assert (folder / "figures" / "kernel_shap" / "liver.png").is_file()
    cited = (folder / "figures" / "kernel_shap" / "references.bib").read_text()
    assert all(key in cited for key in ("dardouillet2022", "lundberg2017", "covert2021"))
    assert "<h2>KernelSHAP</h2>" in (tmp_path / "out" / "index.html").read_text()
