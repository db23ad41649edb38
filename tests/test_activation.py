"""Every region and score under both activations against a slow loop in float64."""

import math
from itertools import product

import pytest
import torch

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.activation import Organ, activation_of, border, organs_of, predicted
from segtrace.attribution import targets
from segtrace.attribution.forward import SCORES
from segtrace.causal.necessity import necessity
from segtrace.network.sites import sites_of

SIDES = (2, 7, 6)
LOGITS = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.randint(0, 6, SIDES, generator=torch.Generator().manual_seed(1))
MASKS = torch.rand(2, 3, 7, 6, generator=torch.Generator().manual_seed(2)) > 0.4
ORGANS = {"core": Organ(2, 5), "edema": Organ(0, 3)}
"""Whose label numbers are not their channels'."""


def is_found(logits, channel, activation, at):
    n, row, column = at
    values = [float(logits[n, c, row, column]) for c in range(logits.shape[1])]
    return values[channel] > 0 if activation == "sigmoid" else max(values) == values[channel]


def is_there(truth, organ, at):
    n, row, column = at
    if truth.ndim == 4:
        return bool(truth[n, organ.channel, row, column])
    return int(truth[n, row, column]) == organ.label


def is_border(logits, channel, activation, at):
    n, row, column = at
    around = [
        (n, r, c)
        for r, c in product(range(row - 1, row + 2), range(column - 1, column + 2))
        if 0 <= r < 7 and 0 <= c < 6
    ]
    return not all(is_found(logits, channel, activation, one) for one in around)


def parts_of(logits, channel, activation, n):
    """The connected parts of a slice's prediction, each a set of pixels, in reading order."""
    left = [(n, r, c) for r, c in product(range(7), range(6))
            if is_found(logits, channel, activation, (n, r, c))]  # fmt: skip
    parts = []
    while left:
        part, growing = set(), [left[0]]
        while growing:
            _, r, c = at = growing.pop()
            if at in left and at not in part:
                part.add(at)
                growing += [(n, r + 1, c), (n, r - 1, c), (n, r, c + 1), (n, r, c - 1)]
        parts.append(part)
        left = [at for at in left if at not in part]
    return parts


def is_part(logits, channel, activation, at, region):
    parts = parts_of(logits, channel, activation, at[0])
    sizes = [len(part) for part in parts]
    if region == "largest":
        return at in parts[sizes.index(max(sizes))]
    return at in parts[max(k for k, size in enumerate(sizes) if size == min(sizes))]


def is_confident(logits, channel, activation, at):
    n, row, column = at
    values = logits[n, :, row, column].exp()
    share = values[channel] / (values.sum() if activation == "softmax" else 1 + values[channel])
    return is_found(logits, channel, activation, at) and bool(share >= 0.5)


def slow(logits, organ, activation, region, truth):
    """(N, C, H, W) weights, pixel by pixel."""
    weights = torch.zeros_like(logits)
    for at in product(*map(range, SIDES)):
        n, row, column = at
        if region == "all_pred":
            for channel in range(3):
                weights[n, channel, row, column] = is_found(logits, channel, activation, at)
            continue
        found, there = is_found(logits, organ.channel, activation, at), is_there(truth, organ, at)
        inside = {
            "gt": there,
            "pred": found,
            "tp": there and found,
            "fp": found and not there,
            "fn": there and not found,
            "border": found and is_border(logits, organ.channel, activation, at),
            "all": True,
            "confident": is_confident(logits, organ.channel, activation, at),
            "largest": is_part(logits, organ.channel, activation, at, "largest"),
            "smallest": is_part(logits, organ.channel, activation, at, "smallest"),
        }[region]
        weights[n, organ.channel, row, column] = inside
    return weights


FORMS = [("softmax", LABELS), ("sigmoid", LABELS), ("sigmoid", MASKS)]


@pytest.mark.parametrize("region", targets.REGIONS)
@pytest.mark.parametrize(("activation", "truth"), FORMS)
def test_every_region_is_that_of_a_slow_loop(activation, truth, region):
    several = targets.organs(ORGANS, region, truth, activation)
    for name, organ in ORGANS.items():
        expected = slow(LOGITS, organ, activation, region, truth)
        assert 0 < expected.sum() < expected.numel()
        plain = {"channel": organ.channel, "label": organ.label}
        for target in (several[name], targets.organ(plain, region, truth, activation)):
            assert torch.equal(target(LOGITS), expected)


@pytest.mark.parametrize(("activation", "truth"), FORMS)
def test_boxes_components_and_margins_lie_in_the_regions_of_the_activation(activation, truth):
    organ = ORGANS["core"]
    expected = slow(LOGITS, organ, activation, "tp", truth)
    box = targets.box(organ, (1, 5), (2, 6), region="tp", truth=truth, activation=activation)
    inside = torch.zeros_like(expected)
    inside[..., 1:5, 2:6] = 1
    assert torch.equal(box(LOGITS), expected * inside)
    margin = targets.margin(organ, 1, "tp", truth, activation)(LOGITS)
    assert torch.equal(margin[:, 2], expected[:, 2])
    assert torch.equal(margin[:, 1], -expected[:, 2])
    parts = [targets.component(organ, k, "tp", truth, activation)(LOGITS) for k in range(42)]
    assert torch.equal(torch.stack(parts).sum(0), expected)


def test_a_border_is_one_pixel_wide_and_none_where_the_image_ends():
    mask = torch.zeros(1, 5, 6, dtype=torch.bool)
    mask[0, 1:5, 1:6] = True
    inner = torch.zeros_like(mask)
    inner[0, 2:5, 2:6] = True
    assert torch.equal(border(mask), mask & ~inner)
    assert not border(torch.ones_like(mask)).any()
    volume = torch.ones(1, 3, 3, 3, dtype=torch.bool)
    volume[0, 0, 0, 0] = False
    assert int(border(volume).sum()) == 7


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("score", ["logit", "prob", "logprob"])
def test_every_score_is_that_of_a_slow_loop(score, activation):
    found = SCORES[score](LOGITS, activation)
    for at in product(range(2), range(3), range(7), range(6)):
        n, channel, row, column = at
        values = [float(LOGITS[n, c, row, column]) for c in range(3)]
        others = values if activation == "softmax" else [values[channel], 0.0]
        prob = math.exp(values[channel]) / sum(map(math.exp, others))
        expected = {"logit": values[channel], "prob": prob, "logprob": math.log(prob)}[score]
        assert float(found[at]) == pytest.approx(expected, rel=1e-12)


def test_what_channels_share_is_not_taken_off_behind_a_sigmoid():
    with pytest.raises(InputError, match=r"score 'centered' .* say score='logit'"):
        segtrace.trace(
            nets.plain(1), nets.PLAIN_STAGES, X, targets.organ(0, "all"), score="centered"
        )


def test_log_probabilities_of_far_logits_are_finite():
    far = torch.tensor([[[-900.0]], [[900.0]]]).double()[None]
    assert SCORES["logprob"](far, "sigmoid").flatten().tolist() == [-900.0, 0.0]


X = nets.images(2, 16)
THERE = torch.zeros(2, 3, 16, 16, dtype=torch.bool)
THERE[:, 0, 2:9, 2:9] = True  # the third lies in the first
THERE[:, 2, 4:7, 4:7] = True
THERE[:, 1, 8:14, 6:14] = True
THREE = {"whole": 1, "core": 2, "rim": 3}


def net(channels=3):
    """One whose channels are each above 0 somewhere, in places that overlap."""
    one = nets.plain(channels)
    with torch.no_grad():
        one[5].bias -= one(X).transpose(0, 1).flatten(1).median(1).values
    return one


@pytest.mark.parametrize("region", ["gt", "pred", "fn", "border", "all_pred"])
@pytest.mark.parametrize("score", ["logit", "prob", "logprob"])
@pytest.mark.parametrize("channels", [1, 3])
def test_scores_and_their_gradients_are_those_of_finite_differences(channels, score, region):
    one, step = net(channels), 1e-6
    organs = dict(list(THREE.items())[:channels])
    target = targets.organs(organs, region, THERE[:, :channels], "sigmoid")
    flow = segtrace.trace(one, nets.PLAIN_STAGES, X, target, ["grad_pam"], score)
    with torch.no_grad():
        logits = one(X)
        at = one[:2](X)
        for o, name in enumerate(organs):
            weights = target[name](logits)

            def scored(activation, weights=weights):
                out = one[2:](activation)
                phi = {
                    "logit": out,
                    "prob": 1 / (1 + (-out).exp()),
                    "logprob": -(1 + (-out).exp()).log(),
                }[score]
                return (weights * phi).sum((1, 2, 3))

            torch.testing.assert_close(flow.scores[o], scored(at))
            # Along the activation the derivative of the score is the sum of Grad-PAM's map.
            slope = (scored(at * (1 + step)) - scored(at * (1 - step))) / (2 * step)
            torch.testing.assert_close(
                flow.maps["enc1"][0, o].sum((1, 2)), slope, rtol=1e-4, atol=1e-6
            )


def test_a_trace_predicts_masks_that_overlap():
    flow = segtrace.trace(
        net(), nets.PLAIN_STAGES, X, targets.organs(THREE, "gt", THERE, "sigmoid")
    )
    with torch.no_grad():
        assert torch.equal(flow.prediction, net()(X) > 0)
    assert (flow.prediction.sum(1) > 1).any()
    assert flow.activation == "sigmoid"
    assert flow.region_px.tolist() == [[49, 49], [48, 48], [9, 9]]
    named = flow.to_xarray()["prediction"]
    assert named.dims == ("slice", "channel", "row", "column")


def test_a_trace_is_under_the_activation_that_it_or_its_targets_say_and_never_two():
    one = net()
    for asked, said in ((None, "sigmoid"), ("sigmoid", None), ("sigmoid", "sigmoid")):
        target = targets.organs(THREE, "pred", activation=said)
        flow = segtrace.trace(one, nets.PLAIN_STAGES, X, target, activation=asked)
        assert flow.region_px.T.tolist() == (one(X) > 0).sum((2, 3)).tolist()
    with pytest.raises(InputError, match="activation is sigmoid and softmax; the logits have one"):
        segtrace.trace(one, nets.PLAIN_STAGES, X, target, activation="softmax")


def test_necessity_is_that_of_a_hook_made_by_hand():
    one, sites = net(), sites_of(net(), {"enc2": "3"}, {})
    lost = necessity(one, sites, X, THERE, THREE, cut="zero", activation="sigmoid", score="prob")
    with torch.no_grad():
        whole = one(X)
        handle = one[3].register_forward_hook(lambda *_: torch.zeros_like(_[2]))
        cut = one(X)
        handle.remove()
    for o, n in product(range(3), range(2)):
        there = THERE[n, o]
        for key, logits in (("whole_", whole), ("", cut)):
            found = logits[n, o] > 0
            dice = 2 * float((found & there).sum()) / float(found.sum() + there.sum())
            own = lost.data[f"{key}dice"].isel(organ=o, slice=n).values
            assert own == pytest.approx(dice, abs=1e-6)
        score = float(whole[n, o].sigmoid()[there].mean())
        assert lost.data["whole_score"].values[o, n] == pytest.approx(score)


def test_labels_and_channels_of_a_sigmoid_are_counted_apart():
    assert organs_of({"a": 7, "b": 2}, "sigmoid", 2) == {"a": Organ(0, 7), "b": Organ(1, 2)}
    assert organs_of({"a": 7, "b": 2}, "softmax") == {"a": Organ(7, 7), "b": Organ(2, 2)}
    assert organs_of({"b": Organ(1, 2)}, "sigmoid", 5) == {"b": Organ(1, 2)}
    for mixed in ({"a": 1, "b": Organ(1, 2)}, {"a": 1, "b": 2, "c": 3}):
        with pytest.raises(
            InputError, match="organs are named by their label and the network has 2"
        ):
            organs_of(mixed, "sigmoid", 2)


def test_the_activation_is_found_from_one_channel_and_asked_for_of_several():
    assert [activation_of(n) for n in (1, 2, 3)] == ["sigmoid", "softmax", "softmax"]
    assert torch.equal(predicted(LOGITS), LOGITS.argmax(1))
    assert torch.equal(predicted(LOGITS[:, :1]), LOGITS[:, :1] > 0)
