"""Pixel deletion and insertion, Dice Explained, Saliency Ratio: slow loops, and known answers."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.causal.faithfulness.pixels import NUMBERS, pixels

X, TRUTH = nets.images(3, 16), nets.labels(3, 16, 3)
NET = nets.plain()
ORGANS = {"softmax": {"a": 1, "b": 2}, "sigmoid": {"a": 1, "b": 2, "c": 3}}
HIDDEN = {"black": torch.zeros_like(X), "mean": X.mean((2, 3), keepdim=True).expand_as(X)}


def flow_of(activation="softmax"):
    organs = ORGANS[activation]
    target = targets.organs(organs, "gt", TRUTH, activation)
    rules = ["seg_grad_cam", "grad_pam"]
    return organs, segtrace.trace(NET, nets.PLAIN_STAGES, X, target, rules, activation=activation)


def predicted(image, channel, activation):
    logits = NET(image[None, None])[0]
    return logits.argmax(0) == channel if activation == "softmax" else logits[channel] > 0


def dice(found, whole):
    both = sum(bool(p and q) for p, q in zip(found.flatten(), whole.flatten(), strict=True))
    return 2 * both / (int(found.sum()) + int(whole.sum()))


def area(curve):
    steps = len(curve) - 1
    return sum((a + b) / 2 / steps for a, b in pairwise(curve))


def slow(signed, n, channel, activation, b, steps, seed):
    """The four numbers of one map and b, pixel by pixel; b also fills."""
    size = (16, 16)
    image = functional.interpolate(signed.clamp(min=0)[None, None], size, mode="bilinear")[0, 0]
    whole = predicted(X[n, 0], channel, activation)
    if not whole.any() or image.max() == image.min():
        return [np.nan] * 4
    by = torch.Generator().manual_seed(seed + n)
    place = {int(u): i for i, u in enumerate(torch.randperm(256, generator=by))}
    values = image.flatten().tolist()
    order = sorted(range(256), key=lambda u: (-values[u], place[u]))
    curves = {"deletion": [], "insertion": []}
    for k in range(steps + 1):
        first = order[: round(k / steps * 256)]
        for name, here, away in (("deletion", X[n, 0], b), ("insertion", b, X[n, 0])):
            seen = here.clone()
            for u in first:
                seen[divmod(u, 16)] = away[divmod(u, 16)]
            curves[name].append(dice(predicted(seen, channel, activation), whole))
    explained, ratio = [], 256 / int(whole.sum())
    for k in range(steps + 1):
        shows = image / image.max() > k / steps
        seen = torch.where(shows, X[n, 0], 0.0)
        explained.append(dice(predicted(seen, channel, activation), whole))
        if explained[-1] >= 0.9:
            ratio = int(shows.sum()) / int(whole.sum())
    return [area(curves["deletion"]), area(curves["insertion"]), area(explained), ratio]


@torch.no_grad()
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_every_map_s_numbers_are_those_of_a_slow_loop(activation):
    organs, flow = flow_of(activation)
    found = pixels(NET, flow, X, organs, HIDDEN, steps=5, thresholds=5, seed=3, batch=4)
    seen = 0
    for s, r, o, n in np.ndindex(*flow.status.shape):
        one = found.isel(site=s, rule=r, organ=o, slice=n)
        if int(flow.status[s, r, o, n]) != Status.OK:
            assert all(one[name].isnull().all() for name in NUMBERS)
            continue
        signed, channel = flow.maps[flow.sites[s]][r, o, n], o + (activation == "softmax")
        for name, b in HIDDEN.items():
            ours = [float(one[number].sel(hidden=name) if number in NUMBERS[:2] else one[number])
                    for number in NUMBERS]  # fmt: skip
            theirs = slow(signed, n, channel, activation, b[n, 0], 5, 3)
            assert ours == pytest.approx(theirs, rel=1e-9, nan_ok=True)
        seen += not np.isnan(theirs[0])
    assert seen >= 15


class Pointwise(nn.Module):
    """A pixel is of the organ where it is brighter than one half; another never matters."""

    def __init__(self):
        super().__init__()
        self.it = nn.Identity()

    def forward(self, x):
        return self.it(torch.cat([torch.full_like(x, 0.5), x], 1))


def of_maps(maps, image, steps=64, **options):
    """The numbers of maps (k, h, w) of one image (h, w), k sites of one organ."""
    x = image[None, None].double()
    flow = segtrace.trace(Pointwise(), {"it": "it"}, x, targets.organs({"a": 1}, "all"))
    names = [f"map{k}" for k in range(len(maps))]
    shape = (len(maps), 1, 1, 1)
    values = {name: one[None, None, None].double() for name, one in zip(names, maps, strict=True)}
    flow = segtrace.attribution.flow.replace(
        flow, maps=values, status=torch.zeros(shape, dtype=torch.int8), rules=("map",)
    )
    black = {"black": torch.zeros_like(x)}
    return pixels(Pointwise(), flow, x, {"a": 1}, black, steps=steps, **options).squeeze()


IMAGE = (torch.arange(64).reshape(8, 8) % 5 == 0).double() * 0.8
WHOLE = IMAGE > 0.5  # 13 of 64


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 0.3]))
def test_no_order_beats_that_of_the_prediction_and_no_pixel_less_predicts_more(seed, part):
    by = torch.Generator().manual_seed(seed)
    drawn = torch.rand(8, 8, generator=by) * (torch.rand(8, 8, generator=by) < part)
    found = of_maps([drawn + 1e-3, WHOLE], IMAGE)
    own, best = found.isel(site=0), found.isel(site=1)
    assert float(best["deletion"]) <= float(own["deletion"]) + 1e-12
    assert float(best["insertion"]) >= float(own["insertion"]) - 1e-12
    assert (np.diff(own["deleted"]) <= 0).all()
    assert (np.diff(own["inserted"]) >= 0).all()
    assert (own["deleted"][0], own["deleted"][-1]) == (1, 0)
    assert (own["inserted"][0], own["inserted"][-1]) == (0, 1)


def test_the_prediction_itself_as_a_map():
    """Kept alone it predicts itself, at every t below 1; so its ratio is 1."""
    found = of_maps([WHOLE], IMAGE, thresholds=20)
    assert float(found["saliency_ratio"]) == 1
    assert float(found["dice_explained"]) == pytest.approx(1 - 1 / 40)  # at t = 1 nothing is kept


def test_random_orders_have_the_area_that_counting_gives():
    """Of k of 64 pixels shown, j of the 13 with a hypergeometric chance: E Dice = Σ 2j/(j + 13)."""
    by = torch.Generator().manual_seed(0)
    found = of_maps([torch.rand(8, 8, generator=by) for _ in range(300)], IMAGE, thresholds=1)
    expected = area([sum(comb(13, j) * comb(51, k - j) / comb(64, k) * 2 * j / (j + 13)
                         for j in range(max(0, k - 51), min(13, k) + 1))
                     for k in range(65)])  # fmt: skip
    for name in NUMBERS[:2]:
        values = found[name].values
        assert abs(values.mean() - expected) < 3 * values.std() / np.sqrt(300)


def test_pixels_alike_are_taken_by_chance_and_not_row_after_row():
    top = torch.zeros(8, 8)
    top[:4] = 1.0
    image = torch.full((8, 8), 0.8)
    image[0] = 0.0  # nothing is predicted in the first row
    found = of_maps([top], image, thresholds=1)
    rows = of_maps([top + torch.arange(64, 0, -1).reshape(8, 8) / 1e4], image, thresholds=1)
    half = found["deleted"][32]
    assert float(half) == pytest.approx(float(rows["deleted"][32]))  # the same half
    assert 0.3 < float(found["deleted"][8]) < float(rows["deleted"][8]) == 1
    again = of_maps([top], image, thresholds=1, seed=1)
    assert float(again["deletion"]) != float(found["deletion"])


def test_what_orders_nothing_and_what_is_not_predicted_have_no_numbers():
    flat = of_maps([torch.ones(8, 8)], IMAGE)
    none = of_maps([torch.rand(8, 8)], torch.zeros(8, 8))
    for name in NUMBERS:
        assert flat[name].isnull().all()
        assert none[name].isnull().all()
    weak = of_maps([1.0 - WHOLE.double()], IMAGE)  # all but the prediction reaches no Dice of .9
    assert float(weak["saliency_ratio"]) == pytest.approx(64 / 13)  # the whole image does
    assert float(weak["dice_explained"]) == 0


def test_it_says_what_it_costs_and_runs_as_often():
    organs, flow = flow_of()
    told, seen = [], []
    hook = NET.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    found = pixels(NET, flow, X, organs, HIDDEN, steps=4, thresholds=3, progress=told.append)
    hook.remove()
    count = found.attrs["passes"]
    assert (told[0].done, told[0].total, told[-1].done) == (0, count, count)
    assert sum(seen) == count + 3 + 1 + 1  # the slices, one of them for its logits, one to time


def test_mistakes_are_named():
    organs, flow = flow_of()
    with pytest.raises(InputError, match="the flow explains a, b; give their channels"):
        pixels(NET, flow, X, {"b": 2, "a": 1}, HIDDEN)
    with pytest.raises(InputError, match="hidden is empty; give at least one"):
        pixels(NET, flow, X, organs, {})
    with pytest.raises(InputError, match=r"hidden\['black'\] has shape \(2, 1, 16, 16\); the im"):
        pixels(NET, flow, X, organs, {"black": HIDDEN["black"][:2]})
