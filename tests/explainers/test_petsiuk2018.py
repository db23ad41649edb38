"""RISE against a slow loop, a closed form for additive scores, and its own error."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import segtrace.explainers
from helpers import nets
from helpers.explaining import (
    NET,
    ORGANS,
    TRUTH,
    Additive,
    X,
    clock,
    explained,
    network,
)
from helpers.scripts import answer_of
from helpers.untouched import untouched
from segtrace import InputError
from segtrace.attribution.flow import Status
from segtrace.causal import batches
from segtrace.explainers.petsiuk2018 import Masks, Rise
from segtrace.report.files import load_maps
from segtrace.report.pictures import sheet
from segtrace.report.tables import read_table


def maps_of(found):
    return found.explained.record.flow.maps["input"][0]


def by_hand(cells, shift, size):
    """One mask, pixel by pixel: bilinear between the middles of cells, those of the rim go on."""
    s = len(cells)
    steps = [-(-side // s) for side in size]
    mask = torch.zeros(size, dtype=torch.float64)
    for row in range(size[0]):
        for column in range(size[1]):
            at = [
                min(max((place + move + 0.5) * s / ((s + 1) * step) - 0.5, 0), s - 1)
                for place, move, step in zip((row, column), shift, steps, strict=True)
            ]
            (up, down), (left, right) = ((int(a), min(int(a) + 1, s - 1)) for a in at)
            v, w = (a - int(a) for a in at)
            mask[row, column] = (1 - v) * ((1 - w) * cells[up, left] + w * cells[up, right]) + v * (
                (1 - w) * cells[down, left] + w * cells[down, right]
            )
    return mask


def test_a_mask_is_its_cells_enlarged_and_shifted():
    masks = Masks.drawn(5, 3, 0.5, (10, 7), seed=1)
    whole = masks[torch.arange(5)]
    for i in range(5):
        own = by_hand(masks.cells[i, 0].double(), masks.shifts[i].tolist(), (10, 7))
        torch.testing.assert_close(whole[i], own)
    assert len({tuple(shift) for shift in masks.shifts.tolist()}) > 1


def test_a_mask_does_not_depend_on_how_many_follow_but_on_the_seed():
    few, many, other = (Masks.drawn(n, 4, 0.3, (8, 8), seed)[torch.arange(3)]
                        for n, seed in ((3, 0), (9, 0), (3, 1)))  # fmt: skip
    assert torch.equal(few, many)
    assert not torch.equal(few, other)


@torch.no_grad()
@pytest.mark.parametrize("baseline", [0.0, 0.25, "mean", "blur"])
def test_maps_and_errors_equal_the_equation_mask_by_mask(baseline):
    explainer = Rise(masks=40, cells=3, keep=0.6, baseline=baseline, seed=5)
    found = explained(explainer)
    masks = Masks.drawn(40, 3, 0.6, (16, 16), 5)[torch.arange(40)]
    hidden = torch.full_like(X, baseline) if isinstance(baseline, float) else X
    if baseline == "mean":
        hidden = torch.stack([torch.full_like(one, float(one.mean())) for one in X])
    if baseline == "blur":
        from scipy.ndimage import gaussian_filter

        hidden = torch.stack(
            [
                torch.from_numpy(gaussian_filter(one[0].numpy(), 8.0, mode="nearest"))[None]
                for one in X
            ]
        )
    flow, seen = found.explained.record.flow, 0
    assert (flow.rules, flow.organs, flow.stages) == (("rise",), ("a", "b"), ("input",))
    for o, organ in enumerate(ORGANS):
        for n in range(3):
            region = TRUTH[n] == ORGANS[organ]
            if not region.any():
                assert flow.status[0, 0, o, n] == Status.ABSENT
                assert not maps_of(found)[o, n].any()
                continue
            scores = []
            for mask in masks:
                shown = X[n] * mask + hidden[n] * (1 - mask)
                scores.append(float(NET(shown[None])[0, ORGANS[organ]][region].sum()))
            mean, own = np.mean(scores), torch.zeros(16, 16, dtype=torch.float64)
            for score, mask in zip(scores, masks, strict=True):
                own += score * mask
            own = own / masks.sum(0) - mean
            torch.testing.assert_close(maps_of(found)[o, n], own)
            average, terms = masks.mean(0), torch.zeros(16, 16, dtype=torch.float64)
            for score, mask in zip(scores, masks, strict=True):
                linear = mask * (score - mean - own) / average - (score - mean)
                terms += linear**2
            error = (terms / (40 * 39)).sqrt()
            torch.testing.assert_close(found.error[o, n].double(), error, rtol=1e-5, atol=1e-6)
            seen += 1
    assert seen > 3


WEIGHT = torch.linspace(-1, 2, 144, dtype=torch.float64).reshape(12, 12) ** 3


def additive(n=1):
    x, truth = nets.images(n, 12), torch.ones(n, 12, 12, dtype=torch.long)
    return network(net=Additive(WEIGHT), x=x, truth=truth, organs={"a": 1}), x


def covariance(cells, size):
    """E[m(u) m(v)] - p² over p (1 - p), exactly: over all shifts, of cells that are independent."""
    steps = [range(-(-side // cells)) for side in size]
    total, count = 0.0, 0
    for top in steps[0]:
        for left in steps[1]:
            one = []
            for k in range(cells * cells):
                grid = torch.zeros(1, cells, cells).double()
                grid.view(-1)[k] = 1
                masks = Masks(grid[None], torch.tensor([[top, left]]), size)
                one.append(masks[torch.zeros(1).long()].flatten())
            weights = torch.stack(one)
            total, count = total + weights.T @ weights, count + 1
    return total / count


def test_of_an_additive_score_the_map_is_what_theory_says_within_its_error():
    of, x = additive()
    contribution = (WEIGHT * x[0, 0]).flatten()
    expected = (1 - 0.4) * covariance(4, (12, 12)) @ contribution
    found = explained(Rise(masks=4000, cells=4, keep=0.4), of)
    away = (maps_of(found)[0, 0].flatten() - expected) / found.error[0, 0].double().flatten()
    assert 0.4 < float(away.square().mean()) < 2.5  # 1 on average; pixels are not independent


def test_the_error_is_what_seeds_differ_by():
    of, _ = additive()
    runs = [explained(Rise(masks=150, cells=4, seed=seed), of) for seed in range(40)]
    spread = torch.stack([maps_of(one)[0, 0] for one in runs]).var(0).mean().sqrt()
    said = torch.stack([one.error[0, 0].double() for one in runs]).square().mean().sqrt()
    assert 0.85 < float(said / spread) < 1.15


def test_a_batch_of_another_size_changes_nothing(monkeypatch):
    before = maps_of(explained(Rise(masks=20, cells=3)))
    monkeypatch.setattr(batches, "SLICES", 3)
    monkeypatch.setattr("segtrace.explainers.scores.SLICES", 3)
    after = maps_of(explained(Rise(masks=20, cells=3)))
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("organs", [{"a": {"channel": 0, "label": 1}}, {"a": 1, "b": 2, "c": 3}])
def test_it_works_behind_a_sigmoid(organs):
    found = segtrace.explainers.rise(NET, X, organs, TRUTH, region="gt", activation="sigmoid",
                                     score="prob", masks=12, cells=3)  # fmt: skip
    flow = found.explained.record.flow
    assert flow.activation == "sigmoid"
    assert flow.prediction.dtype == torch.bool
    there = flow.region_px[0] > 0
    assert there.any()
    assert maps_of(found)[0][there].abs().sum() > 0
    region = (TRUTH == 1).double()
    expected = (NET(X)[:, 0].sigmoid() * region).flatten(1).sum(1).detach()
    torch.testing.assert_close(flow.scores[0], expected)


def test_a_network_that_answers_nan_has_maps_that_say_so():
    class Broken(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x, x, x * torch.nan], 1)

    found = explained(Rise(masks=12, cells=2), network(net=Broken()))
    status = found.explained.record.flow.status[0, 0]
    there = found.explained.record.flow.region_px > 0
    assert (status[1][there[1]] == Status.NONFINITE).all()
    assert (status[0][there[0]] == Status.OK).all()
    found.picture("b")


def test_time_that_runs_out_keeps_the_masks_that_are_done_and_says_so(monkeypatch, tmp_path):
    clock(monkeypatch)
    found = explained(Rise(masks=100, cells=2), max_seconds=10)
    whole = explained(Rise(masks=found.drawn.done, cells=2))
    assert 2 < found.drawn.done < 100
    torch.testing.assert_close(maps_of(found), maps_of(whole), rtol=1e-12, atol=1e-12)
    said = f"partial: {found.drawn.done} of 100 masks of 2 × 2 cells"
    assert said in found.caption("a")
    assert said in " ".join(found.section().sentences).lower()
    assert said in found.section().figures[0].caption
    found.write(tmp_path)
    assert said in (tmp_path / "figures" / "rise" / "caption.txt").read_text()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["whole"], manifest["done"], manifest["asked"]) == (
        False, found.drawn.done, 100,
    )  # fmt: skip
    assert {int(row["masks"]) for row in read_table(tmp_path / "sampling.csv")} == {
        found.drawn.done
    }
    assert said.upper() in _marks(monkeypatch, found)
    assert "PARTIAL" not in _marks(monkeypatch, whole)


def _marks(monkeypatch, found):
    """What stands in red at the top of a picture."""
    seen = []

    def head(title, marks, facts, width):
        seen.append(marks)
        return sheet.head(title, marks, facts, width)

    monkeypatch.setattr("segtrace.explainers.error_picture.head", head)
    found.picture("a")
    return seen[0]


def test_a_map_that_is_mostly_chance_is_not_drawn_and_the_page_says_so(monkeypatch):
    found, drawn = explained(Rise(masks=20, cells=3)), []

    def band(label, cells, *rest):
        drawn.append(cells[1])
        return sheet.band(label, cells, *rest)

    monkeypatch.setattr("segtrace.explainers.error_picture.band", band)
    for noise, is_drawn in ((0.49, True), (0.5, False), (np.nan, True)):
        said = replace(found, noise=torch.full_like(found.noise, noise))
        drawn.clear()
        said.picture("a")
        assert [cell.picture is not None for cell in drawn] == [is_drawn] * 2
        told = "Half of the map or more is chance: draw more, on 3 slices (a), 3 slices (b)"
        assert (told in " ".join(said.section().sentences)) is not is_drawn


def test_maps_that_are_mostly_chance_are_left_out_of_the_mean_and_what_would_do_is_said():
    found = explained(Rise(masks=20, cells=3))
    noise = torch.zeros_like(found.noise)
    noise[0, 0], noise[1, 0] = 0.75, 0.6  # and 20 masks: of a 0.75 / 0.25 times as many
    half = replace(found, noise=noise)
    measures = found.explained.measures.sel(rule="rise", site="input", organ="a")
    rest = measures.isel(slice=[1, 2])
    above = float((rest["mass"] - rest["area"]).sum())
    expected = above / float((rest["ceiling"] - rest["area"]).sum())
    assert half.gain("a") == pytest.approx(expected)
    assert half.gain("a") != found.gain("a")
    said = " ".join(half.section().sentences)
    assert "left out of the mean gain" in said
    assert "the root of the number: some 60 may do." in said
    all_of_it = replace(found, noise=torch.ones_like(noise))
    assert np.isnan(all_of_it.gain("a"))
    assert "how many would do cannot be told" in " ".join(all_of_it.section().sentences)


def test_time_that_is_over_before_any_map_is_one_line(monkeypatch):
    clock(monkeypatch)
    of = network(x=nets.images(9, 16), truth=nets.labels(9, 16, 3))
    with pytest.raises(
        InputError, match=r"RISE: 0\.5 s are over after 1 mask, .* give more max_seconds"
    ):
        explained(Rise(cells=2), of, max_seconds=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": 9}, "masks=9; draw at least 10"),
        ({"cells": 0}, "cells of Rise is 0"),
        ({"keep": 1.0}, "keep=1.0; give more than 0 and less than 1"),
        ({"baseline": "air"}, "no baseline 'air'; allowed are mean, blur, a number"),
        ({"baseline": float("nan")}, "baseline=nan; give a finite number"),
        ({"max_seconds": 0.0}, "max_seconds=0.0; give more than 0"),
        ({"seed": -1}, "seed of Rise is -1"),
    ],
)
def test_options_without_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Rise(**options)


def test_cells_finer_than_pixels_are_refused():
    with pytest.raises(InputError, match="cells=17 are finer than the 16 x 16 pixels"):
        explained(Rise(masks=20, cells=17))


def test_volumes_are_refused():
    x = torch.rand(1, 1, 8, 8, 8)
    with pytest.raises(InputError, match="RISE explains slices"):
        segtrace.explainers.rise(torch.nn.Conv3d(1, 2, 1), x, {"a": 1})


def test_from_python_the_network_is_left_as_it_was():
    net = nets.plain().train()
    with untouched(net, X, TRUTH, ORGANS):
        found = segtrace.explainers.rise(net, X, ORGANS, TRUTH, region="gt", masks=20, cells=3)
    torch.testing.assert_close(maps_of(found), maps_of(explained(Rise(masks=20, cells=3))))
    assert found.explained.measures["gain"].sel(organ="a").notnull().any()


def test_explain_py_writes_it_into_a_folder_of_its_own_and_shows_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "explainer=[rise]",
        "explainers.rise.masks=30", "explainers.rise.cells=3", "organs=[liver]", "failures=false",
        "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    assert "RISE: 90 forward passes of one image, stopping at max_seconds=600, about" in ran.out
    folder = tmp_path / "out" / "explainers" / "rise"
    flow = load_maps(folder / "maps.npz").flow
    rows = read_table(folder / "measures.csv")
    assert {(row["rule"], row["organ"], row["stage"]) for row in rows} == {
        ("rise", "liver", "input")
    }
    with np.load(folder / "sampling.npz") as held:
        assert held["standard_error"].shape == flow.maps["input"].shape[1:]
    assert len(read_table(folder / "sampling.csv")) == len(flow.prediction)
    assert (folder / "figures" / "rise" / "liver.png").is_file()
    assert "petsiuk2018" in (folder / "figures" / "rise" / "references.bib").read_text()
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<h2>RISE</h2>" in page
    assert "30 masks of 3 × 3 cells" in page
