"""Kernel-weighted contribution against a slow loop, and what is known of it by hand."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

import segtrace.explainers
from helpers import nets
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.attribution.flow import Status
from segtrace.attribution.weights import Weights
from segtrace.data.probes import Probes
from segtrace.explainers.explainer import Budget
from segtrace.explainers.mullan2023 import KernelWeighted, contribution
from segtrace.report.files import load_maps
from segtrace.tracking.explained import Network, Settings, settled, targets_of

X, TRUTH = nets.images(3, 16), nets.labels(3, 16, 3)
STAGES = ("enc1", "enc2", "head")
NET = nets.plain()


def test_the_maps_are_the_channels_as_they_weigh_by_what_is_handed_on():
    found = explained(network())
    for stage, weights in found.weights.items():
        seen = probability(stage, range(9), "softmax")[0].abs()
        scaled = seen / seen.amax((1, 2, 3), keepdim=True)
        expected = torch.einsum("onk,nkhw->onhw", weights, scaled)
        there = found.flow.region_px > 0
        torch.testing.assert_close(found.flow.maps[stage][0][there], expected[there])


@contextmanager
def unseen(_words):
    yield None


def network(region="gt", activation="softmax", x=X, net=NET):
    probes = Probes(
        images=x, labels=TRUTH.to(torch.uint8), cases=("c",) * 3, slices=(0, 1, 2),
        spacing=torch.ones(3, 2).double(), split="val", phantom=True,
    )  # fmt: skip
    named = {"a": 1, "b": 2} if activation == "softmax" else {"a": 1, "b": 2, "c": 3}
    chosen = Settings(rules=["grad_pam"], region=region, stages=list(STAGES), activation=activation)
    return settled(Network(net, nets.PLAIN_STAGES, probes, named, chosen))


def explained(of, max_seconds=None):
    targets = targets_of(of.probes, of.channels, of.settings)
    return KernelWeighted().explain(of, targets, Budget(max_seconds, unseen), epoch=4)


def probability(stage, kept, activation):
    """P of every channel, by going through the layers one by one; and what passed the stage."""
    x = X
    for number, layer in enumerate(NET):
        x = layer(x)
        if str(number) == nets.PLAIN_STAGES[stage]:
            seen = x
            x = x * torch.tensor([float(k in kept) for k in range(x.shape[1])])[:, None, None]
    odds = x.double().exp()
    return seen, odds / (odds.sum(1, keepdim=True) if activation == "softmax" else 1 + odds)


def slow(stage, channel, n, inside, activation):
    """The equation for one slice, channel by channel and pixel by pixel, in float64."""
    count = probability(stage, range(9), activation)[0].shape[1]
    seen, whole = probability(stage, range(count), activation)
    found = torch.zeros(seen.shape[2:], dtype=torch.float64)
    for k in range(count):
        without = probability(stage, set(range(count)) - {k}, activation)[1]
        alone = probability(stage, {k}, activation)[1]
        lost = kept = total = 0.0
        for row, column in inside.nonzero().tolist():
            p = float(whole[n, channel, row, column])
            lost += p - min(float(without[n, channel, row, column]), p)
            kept += min(float(alone[n, channel, row, column]), p)
            total += p
        found += lost * kept / total * seen[n, k].abs() / seen[n].abs().max()
    return found


@torch.no_grad()
@pytest.mark.parametrize("region", ["gt", "all"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_maps_equal_the_equation_channel_by_channel(activation, region):
    flow = explained(network(region, activation)).explained.record.flow
    assert (flow.rules, flow.stages, flow.score) == (("kernel_weighted",), STAGES, "prob")
    seen = 0
    for stage in STAGES:
        for o, _ in enumerate(flow.organs):
            channel = o + (activation == "softmax")
            for n in range(3):
                inside = TRUTH[n] == o + 1 if region == "gt" else torch.ones(16, 16).bool()
                if not inside.any():
                    assert not flow.maps[stage][0, o, n].any()
                    assert set(flow.status[:, 0, o, n].tolist()) == {Status.ABSENT}
                    continue
                expected = slow(stage, channel, n, inside, activation)
                torch.testing.assert_close(flow.maps[stage][0, o, n], expected)
                assert bool((expected >= 0).all())
                seen += 1
    assert seen > 12


def test_contributions_by_hand():
    """P = A1 + A2 with A1 = (3, 1) and A2 = (1, 1): d = i = (4, 2), Σ P = 6 (methods.md 1.5)."""
    first, second = torch.tensor([[[3.0, 1.0]]]), torch.tensor([[[1.0, 1.0]]])
    weights = Weights({0: torch.ones(1, 2)})
    for own, other, expected in ((first, second, 16 / 6), (second, first, 4 / 6)):
        found = contribution(first + second, other, own, weights)
        assert found.tolist() == pytest.approx([expected])


def test_where_an_organ_has_no_probability_at_all_there_is_no_contribution():
    nothing = torch.zeros(1, 1, 2)
    found = contribution(nothing, nothing, nothing, Weights({0: torch.ones(1, 2)}))
    assert found.isnan().all()


def test_from_python_it_is_one_call():
    found = segtrace.explainers.kernel_weighted(NET, nets.PLAIN_STAGES, X, {"a": 1, "b": 2})
    same = explained(network("all")).explained.record.flow
    for stage, maps in same.maps.items():
        assert torch.equal(maps, found.explained.record.flow.maps[stage])


def test_a_stage_that_passes_nothing_on_is_dead():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.Conv2d(2, 2, 1)).eval()
    for tensor in net[0].parameters():
        torch.nn.init.zeros_(tensor)
    found = segtrace.explainers.kernel_weighted(net, {"none": "0"}, X, {"a": 1})
    assert (found.explained.record.flow.status == Status.DEAD).all()


def test_what_is_not_reached_in_time_is_left_out_or_told(monkeypatch):
    seconds = iter(range(1000))
    monkeypatch.setattr("segtrace.explainers.explainer.perf_counter", lambda: next(seconds))
    monkeypatch.setattr("segtrace.explainers.scores.perf_counter", lambda: 0)
    found = explained(network(), max_seconds=5)  # four channels of enc1, five of enc2
    assert found.explained.record.flow.stages == ("enc1",)
    assert found.left_out == ("enc2", "head")
    with pytest.raises(InputError, match=r"contribution: 0\.5 s are over before a stage is done"):
        explained(network(), max_seconds=0.5)
    with pytest.raises(InputError, match="max_seconds=0"):
        KernelWeighted(max_seconds=0)


def test_explain_py_runs_it_and_cites_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "explainer=[kernel_weighted]",
        "stages=[head]", "organs=[liver]", "failures=false", "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    limit = "stopping at max_seconds=600, about"
    assert f"Kernel-weighted contribution: 30 forward passes of one image, {limit}" in ran.out
    folder = tmp_path / "out" / "explainers" / "kernel_weighted"
    assert np.isfinite(load_maps(folder / "maps.npz").flow.maps["head"].numpy()).all()
    assert (folder / "figures" / "kernel_weighted" / "liver.png").is_file()
    page = (tmp_path / "out" / "index.html").read_text()
    assert "mullan2023" in page
