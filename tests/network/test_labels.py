"""Networks whose channels are no classes that exclude each other are refused, with a way out."""

import pytest
import torch
from monai.networks.nets import BasicUNet, UNet
from torch import nn

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.causal.baselines import collect
from segtrace.causal.faithfulness.deletion import deletion
from segtrace.causal.necessity import necessity
from segtrace.causal.outcome import Judge
from segtrace.causal.patching import patch
from segtrace.network.labels import predicted, refuse_overlap, refuse_shares, whole_numbers
from segtrace.network.sites import sites_of

X = nets.images(2, 16)
MASK = torch.zeros(2, 16, 16, dtype=torch.long)
MASK[:, 2:6, 3:7] = 1  # 16 px of 256
STAGES = nets.PLAIN_STAGES
WAY_OUT = "output=lambda out: torch.cat([torch.zeros_like(out), out], 1)"


def net(channels=1):
    one = nets.plain(channels)
    with torch.no_grad():  # every channel is the largest somewhere, and so is a background of 0
        one[5].bias -= one(X).transpose(0, 1).flatten(1).median(1).values
    return one


def trace(one, organs, region="gt", truth=MASK, **options):
    return segtrace.trace(one, STAGES, X, targets.organs(organs, region, truth), **options)


def played(one, organs, truth, **options):
    sites = sites_of(one, STAGES, {})
    flow = trace(one, organs, "all", truth, **options)
    return deletion(one, flow, sites, X, truth, organs, cut="zero", draws=1, **options)


def judged(function, *arguments, **more):
    def call(one, organs, truth, **options):
        given = arguments or (X, truth)
        sites = sites_of(one, STAGES, {})
        return function(one, sites, *given, organs, **more, **options)

    return call


JUDGE = {
    "trace": lambda one, organs, truth, **o: trace(one, organs, truth=truth, **o),
    "integrate": lambda one, organs, truth, **o: segtrace.integrate(
        one, {"enc1": "1"}, X, targets.organs(organs, "gt", truth), {"enc1": torch.zeros(4)}, 1, **o
    ),
    "necessity": judged(necessity, cut="zero"),
    "patch": lambda one, organs, truth, **o: patch(
        one, sites_of(one, STAGES, {}), (X, truth), (X, truth), organs, **o
    ),
    "deletion": played,
}


@pytest.mark.parametrize("name", JUDGE)
@pytest.mark.parametrize("channel", [0, 1])
def test_one_channel_is_refused_with_a_way_out_that_works(name, channel):
    one, organs, truth = net(), {"tumour": channel}, MASK if channel else MASK * 0
    with pytest.raises(InputError, match=r"one output channel.* not supported yet") as found:
        JUDGE[name](one, organs, truth)
    said = str(found.value)
    assert "\n" not in said
    typed = said.split("output=")[1].split(", with")[0]
    assert f"output={typed}" == WAY_OUT
    JUDGE[name](one, {"tumour": 1}, MASK, output=eval(typed))


def test_the_way_out_is_the_network_of_one_channel():
    one = net()
    output = eval(WAY_OUT.removeprefix("output="))
    weights = MASK[:, None].double()
    flow = trace(one, {"tumour": 1}, output=output)
    expected = segtrace.trace(one, STAGES, X, weights)
    assert flow.region_px.tolist() == [[16, 16]]
    for stage in STAGES:
        torch.testing.assert_close(flow.maps[stage], expected.maps[stage])
    assert torch.equal(flow.scores, expected.scores)
    logits = one(X)[:, 0]
    assert torch.equal(flow.prediction, (logits > 0).long())
    found = trace(one, {"tumour": 1}, score="prob", output=output)
    torch.testing.assert_close(found.scores[0], (logits.sigmoid() * MASK).sum((1, 2)).detach())
    sites = sites_of(one, STAGES, {})
    lost = necessity(one, sites, X, MASK, {"tumour": 1}, cut="zero", output=output)
    both = ((logits > 0) * MASK).sum((1, 2))
    dice = 2 * both / ((logits > 0).sum((1, 2)) + 16)
    assert lost.data["whole_dice"].values[0] == pytest.approx(dice.numpy(), abs=1e-6)


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x):
        out = self.net(x)
        return torch.cat([torch.zeros_like(out), out], 1)


def test_the_other_way_out_is_a_network_around_it():
    stages = {name: f"net.{path}" for name, path in STAGES.items()}
    target = targets.organs({"tumour": 1}, "gt", MASK)
    flow = segtrace.trace(Wrapped(), stages, X, target)
    expected = segtrace.trace(net(), STAGES, X, MASK[:, None].double())
    torch.testing.assert_close(flow.maps["enc1"], expected.maps["enc1"])


@pytest.mark.parametrize("region", ["gt", "pred", "tp", "fp", "fn", "all"])
def test_no_region_of_an_organ_of_one_channel_is_made_up(region):
    for target in (
        targets.organs({"tumour": 0}, region, MASK),
        targets.organs({"tumour": 1}, region, MASK),
        targets.organ(1, region, MASK),
        targets.margin(0, 1, region, MASK),
    ):
        with pytest.raises(InputError, match="one output channel"):
            segtrace.trace(net(), STAGES, X, target)


def test_what_asks_for_no_labels_is_explained_on_one_channel_as_ever():
    one = net()
    for target, weights in (
        (targets.organ(0, "all"), torch.ones(2, 1, 16, 16)),
        (targets.box(0, (2, 6), (3, 7), region="all"), MASK[:, None]),
        (MASK[:, None].double(), MASK[:, None]),
    ):
        flow = segtrace.trace(one, STAGES, X, target)
        expected = segtrace.trace(one, STAGES, X, weights.double())
        torch.testing.assert_close(flow.maps["enc1"], expected.maps["enc1"])
    at = targets.pixel(0, 3, 4)
    assert segtrace.trace(one, STAGES, X, at).region_px.tolist() == [[1, 1]]
    means = collect(one, sites_of(one, STAGES, {}), [X])
    assert segtrace.describe(one, X, STAGES).gradient_cut == ()
    flow = segtrace.integrate(one, STAGES, X, MASK[:, None].double(), means.channels, 2)
    assert flow.region_px.tolist() == [[16, 16]]


def test_two_channels_are_classes():
    two = net(2)
    flow = trace(two, {"tumour": 1})
    assert torch.equal(flow.prediction, two(X).argmax(1))
    assert torch.equal(predicted(two(X)), flow.prediction)
    both = trace(two, {"rest": 0, "tumour": 1})
    assert both.region_px.tolist() == [[240, 240], [16, 16]]


def masks(channels, overlapping):
    """One mask a channel, the first of which is what the others leave."""
    found = torch.zeros(2, channels, 16, 16, dtype=torch.bool)
    found[:, 1, 2:8, 2:8] = True
    found[:, 2, (6 if overlapping else 8) : 12, 6:12] = True
    found[:, 0] = ~found.any(1)
    return found


@pytest.mark.parametrize("name", JUDGE)
def test_masks_that_overlap_are_refused_with_a_way_out_that_works(name):
    one, truth = net(3), masks(3, overlapping=True)
    with pytest.raises(InputError, match="overlap are not supported yet: explain them") as found:
        JUDGE[name](one, {"a": 1, "b": 2}, truth)
    said = str(found.value)
    typed = said.split("output=")[1].split(", channel 1")[0]
    for k in (1, 2):
        alone = eval(said.split("truth=")[1], {"mask": truth, "k": k})
        JUDGE[name](one, {"one": 1}, alone, output=eval(typed, {"torch": torch, "k": k}))
    flow = trace(
        one, {"a": 1}, truth=truth[:, 2].long(), output=eval(typed, {"torch": torch, "k": 2})
    )
    dense = torch.zeros(2, 3, 16, 16).double()
    dense[:, 2] = truth[:, 2]
    expected = segtrace.trace(one, STAGES, X, dense)
    torch.testing.assert_close(flow.maps["enc1"], expected.maps["enc1"])


@pytest.mark.parametrize(
    ("truth", "advice"),
    [
        (masks(3, False), "truth.int().argmax(1)"),
        (MASK[:, None], "truth[:, 0]"),
    ],
)
@pytest.mark.parametrize("name", JUDGE)
def test_a_truth_in_another_form_is_refused_with_what_makes_it_a_label_map(name, truth, advice):
    with pytest.raises(InputError, match=r"the logits ask for \(2, 16, 16\), a label map") as found:
        JUDGE[name](net(3), {"a": 1}, truth)
    assert str(found.value).endswith(f": {advice}")
    JUDGE[name](net(3), {"a": 1}, eval(advice))


def test_masks_without_a_background_are_refused_and_no_way_is_made_up():
    with pytest.raises(InputError, match=r"ask for \(2, 16, 16\), a label map of channel numbers$"):
        trace(net(3), {"a": 1}, truth=masks(3, False)[:, 1:])


def test_logits_of_another_size_than_the_truth_are_refused_with_a_way_to_resize_them():
    one = nn.Sequential(net(3), nn.AvgPool2d(4))
    places = {"enc1": "0.1"}
    target = targets.organs({"a": 1}, "gt", MASK)
    with pytest.raises(InputError, match=r"the logits ask for \(2, 4, 4\): output=") as found:
        segtrace.trace(one, places, X, target)
    typed = str(found.value).split("output=")[1].removesuffix(" resizes them")
    flow = segtrace.trace(one, places, X, target, output=eval(typed))
    assert flow.region_px.tolist() == [[16, 16]]
    with pytest.raises(InputError, match=r"the logits ask for \(2, 16, 16\)$"):
        trace(net(3), {"a": 1}, truth=MASK[:1])


def test_a_judge_counts_no_pixel_of_a_single_channel():
    with pytest.raises(InputError, match="one output channel"):
        Judge({"tumour": 0}, MASK).of(net()(X))


LABELS = torch.tensor([[[0, 1, 2, 3]]])


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.int64, torch.uint16])
def test_whole_numbers_of_any_type_are_themselves(kind):
    assert torch.equal(whole_numbers("truth", LABELS.to(kind)).long(), LABELS)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_values_near_whole_numbers_are_those(kind):
    for factor in (1, 1.00005, 0.99995):
        assert torch.equal(whole_numbers("truth", LABELS.to(kind) * factor), LABELS)


@pytest.mark.parametrize("value", [0.5, 1.9, float("nan"), float("-inf"), 0.98])
def test_values_between_whole_numbers_are_no_labels(value):
    with pytest.raises(InputError, match=f"truth holds {value:g}; a label map is made of whole"):
        whole_numbers("truth", torch.tensor([[[0, 1, value]]]))


IN_SHARES = {"enc1": "0.1"}


def shares(kind, channels=3):
    return nn.Sequential(net(channels), nn.Sigmoid() if kind == "sigmoid" else nn.Softmax(1))


@pytest.mark.parametrize("region", ["pred", "tp", "fp", "fn"])
def test_the_largest_of_several_sigmoids_is_no_prediction(region):
    target = targets.organ(1, region, MASK)
    with pytest.raises(InputError, match="behind a sigmoid: channels that may overlap") as found:
        segtrace.trace(shares("sigmoid"), IN_SHARES, X, target)
    one, raw = (part.split("output=")[1] for part in str(found.value).split(", or where the"))
    output = eval(raw.split(" (where")[0])
    flow = segtrace.trace(shares("sigmoid"), IN_SHARES, X, target, output=output)
    assert torch.equal(flow.prediction, predicted(net(3)(X)))
    k = 2
    output = eval(one.split(", channel 1")[0], {"k": k, "torch": torch})
    flow = segtrace.trace(shares("sigmoid"), IN_SHARES, X, target, output=output)
    assert torch.equal(flow.prediction, (net(3)(X)[:, k] > 0).long())


def test_dice_of_several_sigmoids_is_refused_where_the_network_is_whole():
    whole = shares("sigmoid")
    sites = sites_of(whole, IN_SHARES, {})
    for judged in (
        lambda: necessity(whole, sites, X, MASK, {"a": 1}, cut="zero"),
        lambda: patch(whole, sites, (X, MASK), (X, MASK), {"a": 1}),
    ):
        with pytest.raises(InputError, match="behind a sigmoid"):
            judged()


@pytest.mark.parametrize("score", ["prob", "logprob"])
@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_no_softmax_is_taken_of_probabilities(kind, score):
    whole, target, means = shares(kind), targets.organ(1, "gt", MASK), {"enc1": torch.zeros(4)}
    sites = sites_of(whole, IN_SHARES, {})
    for scored in (
        lambda: segtrace.trace(whole, IN_SHARES, X, target, score=score),
        lambda: segtrace.integrate(whole, IN_SHARES, X, target, means, 1, score=score),
        lambda: segtrace.trace(whole, sites, X, target, score=score),
        lambda: necessity(whole, sites, X, MASK, {"a": 1}, cut="zero", score=score),
    ):
        with pytest.raises(InputError, match=f"behind a {kind}"):
            scored()


def test_probabilities_of_a_softmax_and_logits_by_chance_in_their_range_are_taken():
    for region in ("pred", "tp", "gt"):
        for score in ("logit", "centered"):
            target = targets.organ(1, region, MASK)
            segtrace.trace(shares("softmax"), IN_SHARES, X, target, score=score)
    segtrace.trace(shares("sigmoid"), IN_SHARES, X, targets.organ(1, "gt", MASK))
    some = torch.full((1, 3, 8, 8), 0.5)
    for logits in (some, some[..., :3, :3].clone().uniform_(), 0.3 * torch.rand(1, 3, 8, 8)):
        refuse_overlap(logits)
        refuse_shares("prob", logits)


@pytest.mark.parametrize("seed", range(5))
def test_untrained_networks_are_not_taken_for_sigmoids(seed):
    for build in (
        lambda: UNet(2, 1, 2 + seed % 3, (4, 6, 8), (2, 2)),
        lambda: BasicUNet(2, 1, 2 + seed % 3, features=(4, 4, 6, 8, 8, 4)),
    ):
        torch.manual_seed(seed)
        with torch.no_grad():
            logits = build().eval()(X.float().repeat(1, 1, 2, 2))
        refuse_overlap(logits)
        refuse_shares("prob", logits)
