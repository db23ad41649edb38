"""Mullan and Sonka's measures against a slow loop, by hand, and of maps drawn at random."""

import zlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.causal.faithfulness.preservation import NUMBERS, WAYS, preservation

X, TRUTH = nets.images(3, 16), nets.labels(3, 16, 3)
NET = nets.plain()
SOFT = {"a": 1, "b": 2}
SIGMOID = {"a": 1, "b": 2, "c": 3}


def flow_of(activation="softmax"):
    organs = SOFT if activation == "softmax" else SIGMOID
    target = targets.organs(organs, "gt", TRUTH, activation)
    rules = ["seg_grad_cam", "grad_pam"]
    return organs, segtrace.trace(NET, nets.PLAIN_STAGES, X, target, rules, activation=activation)


def mask_of(signed):
    mask = functional.interpolate(signed.clamp(min=0)[None, None], (16, 16), mode="bilinear")[0, 0]
    return mask / mask.max()


def slow(mask, n, channel, activation, fill):
    """The four numbers of one mask, pixel by pixel."""
    seen = mask * X[n, 0] + (1 - mask) * fill
    whole, now = (
        one[0, channel]
        for one in (odds(NET(image[None, None]), activation) for image in (X[n, 0], seen))
    )
    kept = more = total = 0.0
    for p, q in zip(whole.flatten().tolist(), now.flatten().tolist(), strict=True):
        kept += min(p, q)
        more += max(q - p, 0.0)
        total += p
    size = [len(zlib.compress(np.float32(image.numpy()).tobytes())) for image in (seen, X[n, 0])]
    return [kept / total, mask.mean().item(), more / total, size[0] / size[1]]


def odds(logits, activation):
    values = logits.exp()
    return values / (values.sum(1, keepdim=True) if activation == "softmax" else 1 + values)


@torch.no_grad()
@pytest.mark.parametrize("fill", [0.0, 0.7])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_every_map_s_numbers_are_those_of_a_slow_loop(activation, fill):
    organs, flow = flow_of(activation)
    other = segtrace.trace(
        nets.plain(), nets.PLAIN_STAGES, X.flip(0), targets.organs(organs, "all"), flow.rules,
        activation=activation,
    )  # fmt: skip
    found = preservation(NET, flow, X, organs, fill=fill, draws=2, untrained=other)
    assert found["excess"].dims == ("site", "rule", "organ", "way", "slice")
    bright = [(one - one.min()) / (one.max() - one.min()) for one in X[:, 0]]
    seen = beside = 0
    for s, r, o, n in np.ndindex(*flow.status.shape):
        one = found.isel(site=s, rule=r, organ=o, slice=n)
        if int(flow.status[s, r, o, n]) != Status.OK:
            assert all(one[name].isnull().all() for name in NUMBERS)
            continue
        maps, channel = flow.maps[flow.sites[s]][r, o], o + (activation == "softmax")
        masks = {"map": mask_of(maps[n]), "image": bright[n]}
        logits = NET(X[n : n + 1])[0]
        alone = logits.argmax(0) == channel if activation == "softmax" else logits[channel] > 0
        if alone.any():
            masks["prediction"] = alone.to(X)
        if int(other.status[s, r, o, n]) == Status.OK:
            masks["untrained"] = mask_of(other.maps[flow.sites[s]][r, o, n])
        for near in ((n + 1) % 3, (n + 2) % 3):
            if int(flow.status[s, r, o, near]) == Status.OK:
                masks["other"] = mask_of(maps[near])
                break
        beside += len(masks) == 5
        for way, mask in masks.items():
            ours = [float(one[name].sel(way=way)) for name in NUMBERS]
            assert ours == pytest.approx(slow(mask, n, channel, activation, fill), rel=1e-9)
        for way in {"prediction", "other", "untrained"} - set(masks):
            assert one["excess"].sel(way=way).isnull()
        kept = one["image_preserved"].values
        assert kept[2] == pytest.approx(kept[0])  # an even map keeps as much of the image
        assert kept[1] == pytest.approx(kept[0], rel=0.15)  # and shuffled cells about as much
        seen += 1
    assert seen >= 20
    assert beside >= 10


class TheImage(nn.Module):
    """Two channels, the second the image itself."""

    def __init__(self):
        super().__init__()
        self.it = nn.Identity()

    def forward(self, x):
        return self.it(torch.cat([torch.zeros_like(x), x], 1))


def test_numbers_by_hand():
    """P = sigmoid(x) of x = (ln 3, 0): 3/4, 1/2; the map (1, 0) leaves the first, P' = 3/4, 1/2.

    The map (0, 1) leaves the second alone: P' = 1/2, 1/2, of 5/4 is 1 preserved.
    With a fill of ln 3 the map (1, 0) gives P' = 3/4, 3/4: an excess of 1/4 over 5/4.
    """
    x = torch.tensor([[[[np.log(3), 0.0]]]])
    target = {"a": torch.ones(1, 2, 1, 2)}
    flow = segtrace.trace(TheImage(), {"it": "it"}, x, target, ["grad_pam"], activation="sigmoid")
    for cells, fill, expected in (
        ([1.0, 0.0], 0.0, [1.0, 0.5, 0.0]),
        ([0.0, 1.0], 0.0, [0.8, 0.5, 0.0]),
        ([1.0, 0.0], float(np.log(3)), [1.0, 0.5, 0.2]),
    ):
        flow.maps["it"][0, 0, 0] = torch.tensor([cells])
        flow.status[:] = Status.OK
        found = preservation(TheImage(), flow, x, {"a": {"channel": 1, "label": 1}}, fill=fill)
        numbers = [float(found[name][0, 0, 0, 0, 0]) for name in NUMBERS[:3]]
        assert numbers == pytest.approx(expected)


def test_another_slice_s_map_is_of_another_case_where_there_is_one():
    organs, flow = flow_of()
    ways = ["map", "other"]
    alone = preservation(NET, flow, X, organs, ways=ways, cases=["p", "p", "p"])
    apart = preservation(NET, flow, X, organs, ways=ways, cases=["p", "p", "q"])
    at = {"site": 0, "rule": 1, "organ": 0, "way": 1, "slice": 0}
    kept = [mask_of(flow.maps["enc1"][1, 0, n]).mean().item() for n in (1, 2)]
    assert [float(one["image_preserved"].isel(at)) for one in (alone, apart)] == kept


def test_a_map_that_keeps_all_preserves_all_and_so_does_every_control():
    organs, flow = flow_of()
    for one in flow.maps.values():
        one[:] = 1.0
    flow.status[:] = Status.OK
    ways = [way for way in WAYS if way not in ("image", "prediction")]
    found = preservation(NET, flow, X, organs, draws=1, untrained=flow, ways=ways)
    for name, value in zip(NUMBERS, (1, 1, 0, 1), strict=True):
        np.testing.assert_allclose(found[name], value, atol=1e-12)


def test_a_random_map_preserves_no_more_than_itself_shuffled():
    organs, flow = flow_of()
    by = torch.Generator().manual_seed(3)
    beyond = []
    for _ in range(6):
        for one in flow.maps.values():
            one[:] = torch.rand(one.shape, generator=by)
        flow.status[:] = Status.OK
        kept = preservation(NET, flow, X, organs, draws=2)["prediction_preserved"]
        beyond.append(kept.sel(way="map") - kept.sel(way="shuffled"))
    beyond = np.stack(beyond).ravel()
    assert abs(beyond.mean()) < 3 * beyond.std() / np.sqrt(len(beyond))
    assert 0.35 < (beyond > 0).mean() < 0.65


def test_shuffles_are_those_of_their_seed_whatever_the_batch():
    organs, flow = flow_of()
    first = preservation(NET, flow, X, organs, seed=1)
    again = preservation(NET, flow, X, organs, seed=1, batch=1)
    other = preservation(NET, flow, X, organs, seed=2)
    for name in NUMBERS:
        np.testing.assert_allclose(first[name], again[name], rtol=1e-9)
    assert not np.allclose(first["excess"], other["excess"], equal_nan=True)
    assert list(first["way"].values) == list(WAYS)


def test_it_says_what_it_costs_and_comes_to_an_end():
    organs, flow = flow_of()
    told = []
    preservation(NET, flow, X, organs, draws=2, progress=told.append)
    preservation(NET, flow, X, organs, draws=2, ways=["map"], progress=told.append)
    count = int((flow.status == Status.OK).sum())
    assert (told[0].done, told[0].total) == (0, count * 7)
    assert (told[-1].done, told[-1].total) == (count, count)


def test_mistakes_are_named():
    organs, flow = flow_of()
    with pytest.raises(InputError, match="the flow explains a, b; give their channels"):
        preservation(NET, flow, X, {"b": 2, "a": 1})
    with pytest.raises(InputError, match="2 slices, 2 cases, 3 slices in the flow"):
        preservation(NET, flow, X[:2], organs)
    with pytest.raises(InputError, match="no way 'odd'"):
        preservation(NET, flow, X, organs, ways=["map", "odd"])
    softmaxed = nn.Sequential(NET, nn.Softmax(1))
    with pytest.raises(InputError, match="probabilities that sum to 1"):
        preservation(softmaxed, flow, X, organs)
