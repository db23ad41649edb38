"""Gradient ascent against a closed form, a slow loop, and slices that stand alone."""

import numpy as np
import pytest
import torch

import segtrace.explainers
from helpers import nets
from helpers.explaining import NET, ORGANS, TRUTH, Additive, X, explained, network
from segtrace.explainers.couteaux2019.deepdream import DeepDream

SOFTMAX = {
    "logit": lambda y: y,
    "centered": lambda y: y - y.mean(1, keepdim=True),
    "logprob": lambda y: y.log_softmax(1),
    "prob": lambda y: y.softmax(1),
}
SIGMOID = {"logit": lambda y: y, "prob": torch.sigmoid}
WEIGHT = torch.linspace(-1, 2, 144, dtype=torch.float64).reshape(12, 12) ** 3


def slowly(x, mask, channel, score, steps, norm, size=None):
    """One slice (1, 1, H, W), one organ: images and scores from the equation."""
    eta = size
    if size is None:
        eta = 0.02 * float(np.std(x.numpy())) * (x.numel() ** 0.5 if norm == "l2" else 1)
    seen = []
    for step in range(steps + 1):
        leaf = x.clone().requires_grad_()
        total = (score(NET(leaf))[0, channel] * mask).sum()
        seen.append((x, float(total.detach())))
        if step == steps:
            break
        (g,) = torch.autograd.grad(total, leaf)
        length = float(np.linalg.norm(g)) if norm == "l2" else float(np.std(g.numpy()))
        x = (x + eta * g / length).clamp(0, 1)
    return seen


@pytest.mark.parametrize(
    ("activation", "score"),
    [*(("softmax", name) for name in SOFTMAX), *(("sigmoid", name) for name in SIGMOID)],
)
@pytest.mark.parametrize("norm", ["l2", "std"])
def test_every_step_is_that_of_the_equation(activation, score, norm):
    organs = {"a": 1, "b": 2}
    if activation == "sigmoid":
        organs = {"a": {"channel": 1, "label": 1}, "b": {"channel": 2, "label": 2}}
    found = segtrace.explainers.deepdream(
        NET, X, organs, TRUTH, region="gt", score=score, activation=activation, norm=norm,
        steps=3, every=1,
    )  # fmt: skip
    scores = (SOFTMAX if activation == "softmax" else SIGMOID)[score]
    trajectory, seen = found.trajectory, 0
    for o, channel in enumerate((1, 2)):
        for n in range(len(X)):
            mask = (TRUTH[n] == channel).double()
            if not mask.any():
                assert trajectory.scores[:, o, n].isnan().all()
                continue
            by_hand = slowly(X[n : n + 1], mask, channel, scores, 3, norm)
            expected = torch.tensor([total for _, total in by_hand], dtype=torch.float64)
            torch.testing.assert_close(trajectory.scores[:, o, n], expected, rtol=1e-9, atol=1e-9)
            last = by_hand[-1][0][0]
            torch.testing.assert_close(trajectory.dreams[o, n], last, rtol=1e-9, atol=1e-9)
            area = float((NET(last[None]).argmax(1) == channel).sum())
            if activation == "softmax":
                assert trajectory.own("area")[-1, o, n] == area
            seen += 1
    assert seen > 3


def test_up_a_linear_score_each_step_gains_the_same():
    """S = <w, x>: a step of length η gains η |w|, as long as nothing is clamped."""
    x = nets.images(2, 12)
    of = network(net=Additive(WEIGHT), x=x, truth=torch.ones(2, 12, 12).long(), organs={"a": 1})
    found = explained(DeepDream(steps=4, every=1, step_size=0.3, norm="l2", clamp=(-99, 99)), of)
    gains = found.trajectory.scores[:, 0].diff(dim=0)
    torch.testing.assert_close(gains, (0.3 * WEIGHT.norm()).expand(4, 2))


def test_up_the_toy_of_two_layers_scores_rise_and_the_first_gain_is_its_gradient():
    """T1 of a strip 1 2 3 4: region {1} of class 0 has gradient 1 2 1 - (0 1 -1 0) in the input."""
    first = torch.nn.Conv2d(1, 2, 1)
    second = torch.nn.Conv2d(2, 2, (1, 3), padding=(0, 1))
    with torch.no_grad():
        first.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        first.bias.copy_(torch.tensor([0.0, 5.0]))
        kernels = [[[1, 2, 1], [0, 1, -1]], [[0, -1, 0], [1, 0, 1]]]
        second.weight.copy_(torch.tensor(kernels)[:, :, None].float())
        second.bias.copy_(torch.tensor([0.5, -0.5]))
    strip = torch.tensor([[[[1.0, 2, 3, 4]]]]).double()
    found = segtrace.explainers.deepdream(
        torch.nn.Sequential(first, second).double(), strip, {"a": 0}, region="pixel:0:1",
        norm="l2", step_size=0.1, steps=3, every=1, clamp=(0, 9), activation="softmax",
    )  # fmt: skip
    gradient = torch.tensor([1.0, 1, 2, 0], dtype=torch.float64)
    expected = 9.5 + 0.1 * gradient.norm() * torch.arange(4)
    torch.testing.assert_close(found.trajectory.scores[:, 0, 0], expected)


@pytest.mark.parametrize("norm", ["l2", "std"])
def test_a_slice_alone_goes_the_same_way(norm):
    whole = explained(DeepDream(steps=2, norm=norm)).trajectory
    for n in range(len(X)):
        alone = network(x=X[n : n + 1], truth=TRUTH[n : n + 1])
        own = explained(DeepDream(steps=2, norm=norm), alone).trajectory
        torch.testing.assert_close(own.dreams[:, 0], whole.dreams[:, n])
        torch.testing.assert_close(own.scores[..., 0], whole.scores[..., n], equal_nan=True)


def test_images_stay_in_the_range_of_the_input():
    inside = explained(DeepDream(steps=5, step_size=0.5)).trajectory.dreams
    assert (inside.min(), inside.max()) == (0, 1)
    wide = 4 * X - 1  # no range is known but each slice's own
    own = explained(DeepDream(steps=5, step_size=3.0), network(x=wide)).trajectory.dreams
    for n in range(len(X)):
        assert own[0, n].min() >= wide[n].min()
        assert own[0, n].max() <= wide[n].max()
    told = explained(DeepDream(steps=5, step_size=9.0, clamp=(-2, 3)), network(x=wide))
    assert (told.trajectory.dreams.min(), told.trajectory.dreams.max()) == (-2, 3)


def test_where_nothing_can_be_gained_nothing_moves():
    class Deaf(torch.nn.Module):
        def forward(self, x):
            return torch.cat([0 * x, 0 * x + 5, x * 0 - 3], 1)

    found = explained(DeepDream(steps=2), network(net=Deaf()))
    for o in range(2):
        assert torch.equal(found.trajectory.dreams[o], X)


def test_regions_stay_those_of_the_start():
    """The score at step 1 is of the pixels that were predicted at step 0."""
    found = explained(DeepDream(steps=1, every=1, step_size=0.3), network(region="pred"))
    at_start = NET(X).argmax(1) == ORGANS["a"]
    after = NET(found.trajectory.dreams[0])[:, ORGANS["a"]]
    expected = (after * at_start).flatten(1).sum(1).detach()
    there = at_start.flatten(1).any(1)
    assert (NET(found.trajectory.dreams[0]).argmax(1) == ORGANS["a"]).ne(at_start).any()
    torch.testing.assert_close(found.trajectory.scores[1, 0][there], expected[there])
