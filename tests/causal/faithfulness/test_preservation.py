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


def slow(signed, n, channel, activation, fill):
    """The four numbers of one map, pixel by pixel."""
    mask = functional.interpolate(signed.clamp(min=0)[None, None], (16, 16), mode="bilinear")[0, 0]
    mask = mask / mask.max()
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
    found = preservation(NET, flow, X, organs, fill=fill, draws=2)
    assert found["excess"].dims == ("site", "rule", "organ", "way", "slice")
    seen = 0
    for s, r, o, n in np.ndindex(*flow.status.shape):
        ours = [float(found[name][s, r, o, 0, n]) for name in NUMBERS]
        if int(flow.status[s, r, o, n]) != Status.OK:
            assert np.isnan(ours).all()
            continue
        signed = flow.maps[flow.sites[s]][r, o, n]
        channel = o + (activation == "softmax")
        assert ours == pytest.approx(slow(signed, n, channel, activation, fill), rel=1e-9)
        kept = found["image_preserved"][s, r, o, :, n].values
        assert kept[2] == pytest.approx(kept[0])  # an even map keeps as much of the image
        assert kept[1] == pytest.approx(kept[0], rel=0.15)  # and shuffled cells about as much
        seen += 1
    assert seen >= 20


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


def test_a_map_that_keeps_all_preserves_all_and_so_does_every_control():
    organs, flow = flow_of()
    for one in flow.maps.values():
        one[:] = 1.0
    flow.status[:] = Status.OK
    found = preservation(NET, flow, X, organs, draws=1)
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
    preservation(NET, flow, X, organs, draws=1, progress=told.append)
    count = int((flow.status == Status.OK).sum()) * 3
    assert (told[0].done, told[0].total, told[-1].done) == (0, count, count)


def test_mistakes_are_named():
    organs, flow = flow_of()
    with pytest.raises(InputError, match="the flow explains a, b; give their channels"):
        preservation(NET, flow, X, {"b": 2, "a": 1})
    with pytest.raises(InputError, match="2 slices, 2 cases, 3 slices in the flow"):
        preservation(NET, flow, X[:2], organs)
    softmaxed = nn.Sequential(NET, nn.Softmax(1))
    with pytest.raises(InputError, match="probabilities that sum to 1"):
        preservation(softmaxed, flow, X, organs)
