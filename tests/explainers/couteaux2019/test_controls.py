"""Straight lines beside the ascent, each slice and organ by hand."""

import numpy as np
import pytest
import torch

from helpers import nets
from helpers.explaining import NET, ORGANS, TRUTH, X, network, unseen
from segtrace.explainers.couteaux2019.ascent import Ascent
from segtrace.explainers.couteaux2019.controls import SHUFFLED, Controls, passes, shuffled
from segtrace.explainers.couteaux2019.features import NAMES, Ruler
from segtrace.explainers.couteaux2019.trajectory import Recorder
from segtrace.explainers.explainer import Budget
from segtrace.explainers.scores import scoring
from segtrace.tracking.explained import targets_of

BEFORE = nets.stirred(nets.plain, 5)
STEPS, WIDTH = 4, 400.0


def measured(untrained):
    """The lines, and how many passes they took."""
    of, counted = network(), []
    targets = targets_of(of.probes, of.channels, of.settings)
    ruler = Ruler.of(torch.full((3, 2), torch.nan), 2, None, hounsfield=False)
    with scoring(of, targets, Budget(None, unseen), "x") as scores:
        there = {organ: channel == TRUTH for organ, channel in ORGANS.items()}
        absent = {organ: ~one.flatten(1).any(1) for organ, one in there.items()}
        record = Recorder([*ORGANS], of.channels, scores.logits, scores.activation, scores.x, ruler,
                          there, absent)  # fmt: skip
        ascent = Ascent.of(scores, "std", None, None)
        controls = Controls(ascent, STEPS, record, WIDTH, 7, counted.append)
        return controls.run(2, untrained), sum(counted)


def along(net, n, channel):
    leaf = X[n : n + 1].clone().requires_grad_()
    total = (net(leaf)[0, channel] * (TRUTH[n] == channel)).sum()
    return torch.autograd.grad(total, leaf)[0][0]


def by_hand(direction, n, steps):
    if not direction.any():
        return X[n]
    far = steps * 0.02 * float(np.std(X[n].numpy())) / float(np.std(direction.numpy()))
    return (X[n] + far * direction).clamp(0, 1)


def brightness(end, n, channel):
    """By how much mean and standard deviation change where the organ was predicted."""
    mask = (NET(X[n : n + 1])[0].argmax(0) == channel).numpy()
    if not mask.any():
        return [np.nan, np.nan]
    before, after = (one[0].numpy()[mask] for one in (X[n], end))
    return [WIDTH * (after.mean() - before.mean()), WIDTH * (after.std() - before.std())]


def test_lines_are_those_by_hand():
    lines, _ = measured(BEFORE)
    chance = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    other = shuffled(NET, 7 + 3)
    for o, channel in enumerate(ORGANS.values()):
        for n in range(3):
            for found, direction in (
                (lines.own, along(NET, n, channel)),
                (lines.untrained, along(BEFORE, n, channel)),
                (lines.shuffled[3], along(other, n, channel)),
                (lines.chance[1], chance),
            ):
                expected = brightness(by_hand(direction, n, 1), n, channel)
                assert found[:, o, n].tolist() == pytest.approx(expected, nan_ok=True)
            for looked, direction in (
                (lines.by_untrained, along(BEFORE, n, channel)),
                (lines.by_chance[1], chance),
            ):
                end = by_hand(direction, n, STEPS)
                areas = [int((NET(one[None])[0].argmax(0) == channel).sum()) for one in (X[n], end)]
                assert looked[NAMES.index("area"), o, n] == areas[1] - areas[0]


@pytest.mark.parametrize("untrained", [None, BEFORE])
def test_passes_are_as_many_as_was_said(untrained):
    lines, took = measured(untrained)
    assert took == passes(3, 2, 2, untrained=untrained is not None)
    assert lines.shuffled.shape == (SHUFFLED, 2, 2, 3)
    assert (lines.untrained is None) is (untrained is None)
