"""What is no truth and no logits is refused, with a way out that works when it is typed."""

from itertools import product

import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet, UNet
from torch import nn

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.activation import Organ, predicted
from segtrace.attribution import targets
from segtrace.causal.baselines import collect
from segtrace.causal.faithfulness.deletion import deletion
from segtrace.causal.necessity import necessity
from segtrace.causal.outcome import Judge
from segtrace.causal.patching import patch
from segtrace.network import labels
from segtrace.network.labels import refuse_overlap, refuse_shares, whole_numbers
from segtrace.network.sites import sites_of

X = nets.images(2, 16)
MASK = torch.zeros(2, 16, 16, dtype=torch.long)
MASK[:, 2:6, 3:7] = 1  # 16 px of 256
STAGES = nets.PLAIN_STAGES
SIGMOID = "activation='sigmoid'"


def net(channels=1, steep=1):
    one = nets.plain(channels)
    with torch.no_grad():  # every channel is the largest somewhere, and so is a background of 0
        one[5].weight *= steep
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


def softmaxed(out):
    """The same decision as classes that exclude each other: a background of 0 beside it."""
    return torch.cat([torch.zeros_like(out), out], 1)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
@pytest.mark.parametrize("name", JUDGE)
def test_one_channel_is_judged_as_its_twin_with_a_background_of_zeros(name, activation):
    one, organs = net(), {"tumour": 1}
    found = JUDGE[name](one, organs, MASK, activation=activation)
    expected = JUDGE[name](one, organs, MASK, output=softmaxed)
    if name in ("trace", "integrate"):
        assert found.region_px.tolist() == [[16, 16]]
        torch.testing.assert_close(found.scores, expected.scores)
        for stage, maps in found.maps.items():
            torch.testing.assert_close(maps, expected.maps[stage])
        assert torch.equal(found.prediction[:, 0].long(), expected.prediction)
    else:
        one, other = (getattr(result, "data", result) for result in (found, expected))
        assert sorted(one) == sorted(other)
        for key in one:
            np.testing.assert_allclose(one[key], other[key], atol=1e-6)


@pytest.mark.parametrize("name", JUDGE)
def test_a_softmax_of_one_channel_is_refused_with_a_way_out_that_works(name):
    with pytest.raises(InputError, match=r"one output channel.* largest everywhere") as found:
        JUDGE[name](net(), {"tumour": 1}, MASK, activation="softmax")
    said = str(found.value)
    assert "\n" not in said
    assert f"say {SIGMOID}" in said
    JUDGE[name](net(), {"tumour": 1}, MASK, **eval(f"dict({SIGMOID})"))


@pytest.mark.parametrize("name", JUDGE)
@pytest.mark.parametrize(
    ("channels", "named", "why"),
    [
        (1, {"tumour": 0}, "label 0, which is the background"),
        (3, {"tumour": 1}, "1 of 1 organs are named by their label and the network has 3 channels"),
    ],
)
def test_a_channel_that_is_not_known_is_refused_with_a_way_out_that_works(
    name, channels, named, why
):
    with pytest.raises(InputError, match=why) as found:
        JUDGE[name](net(channels), named, MASK, activation="sigmoid")
    typed = str(found.value).split("{", 1)[1].split("}}")[0]
    JUDGE[name](net(channels), eval(f"{{{typed}}}}}"), MASK, activation="sigmoid")


@pytest.mark.parametrize("name", JUDGE)
def test_an_activation_that_is_none_is_named(name):
    with pytest.raises(InputError, match=r"no activation 'sigmoids'; .* did you mean sigmoid\?"):
        JUDGE[name](net(), {"tumour": 1}, MASK, activation="sigmoids")


@pytest.mark.parametrize("region", targets.REGIONS)
def test_every_region_of_one_channel_is_that_of_its_twin(region):
    one = net()
    for target in (
        targets.organs({"tumour": 1}, region, MASK),
        targets.organ(0, region, MASK),
        targets.organ({"channel": 0, "label": 1}, region, MASK),
    ):
        flow = segtrace.trace(one, STAGES, X, target, score="prob")
        if region == "all_pred":  # where nothing is found the twin explains its background
            weights = (one(X) > 0).double()
            expected = segtrace.trace(one, STAGES, X, weights, score="prob")
        else:
            twin = targets.organ(1, region, MASK)
            expected = segtrace.trace(one, STAGES, X, twin, score="prob", output=softmaxed)
        assert torch.equal(flow.region_px, expected.region_px)
        torch.testing.assert_close(flow.maps["enc1"], expected.maps["enc1"])


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
@pytest.mark.parametrize("overlapping", [True, False])
def test_masks_are_refused_behind_a_softmax_with_a_way_out_that_works(name, overlapping):
    one, truth = net(3), masks(3, overlapping=True)
    truth[:, 0] &= overlapping  # without a background
    organs = {"a": Organ(1, 2), "b": Organ(2, 3)}
    organs = {"rest": 1, "a": 2, "b": 3} if overlapping and name != "deletion" else organs
    with pytest.raises(InputError, match="masks, which may overlap, are") as found:
        JUDGE[name](one, organs, truth)
    assert f": say {SIGMOID}" in str(found.value)
    JUDGE[name](one, organs, truth, **eval(f"dict({SIGMOID})"))


@pytest.mark.parametrize("name", JUDGE)
def test_masks_of_other_channels_than_the_logits_are_refused(name):
    said = r"ask for \(2, 16, 16\), or masks \(2, 3, 16, 16\), one for each channel in their order$"
    with pytest.raises(InputError, match=said):
        JUDGE[name](net(3), {"a": Organ(1, 1)}, masks(4, True), activation="sigmoid")


@pytest.mark.parametrize(
    ("truth", "advice"),
    [
        (masks(3, False), "truth.int().argmax(1)"),
        (MASK[:, None].bool(), "truth[:, 0]"),
    ],
)
@pytest.mark.parametrize("name", JUDGE)
def test_a_truth_in_another_form_is_refused_with_what_makes_it_a_label_map(name, truth, advice):
    with pytest.raises(InputError, match=r"the logits ask for \(2, 16, 16\), a label map") as found:
        JUDGE[name](net(3), {"a": 1}, truth)
    assert str(found.value).endswith(f": {advice}")
    JUDGE[name](net(3), {"a": 1}, eval(advice))


def boxed(number):
    """(2, 16, 16) with one box of this number."""
    return number * (masks(3, False)[:, 1].long())


def numbers(found):
    """All numbers that a function returns, in order."""
    if isinstance(found, torch.Tensor):
        return found.double().flatten().nan_to_num(-1).tolist()
    if hasattr(found, "to_dataframe"):
        return found.to_dataframe().select_dtypes("number").fillna(-1).to_numpy().ravel().tolist()
    parts = (
        found.values()
        if isinstance(found, dict)
        else [getattr(found, name) for name in getattr(found, "__dataclass_fields__", ())]
    )
    return [number for part in parts for number in numbers(part)]


@pytest.mark.parametrize("name", JUDGE)
@pytest.mark.parametrize(("channels", "activation"), [(3, None), (3, "sigmoid"), (1, None)])
def test_numbers_with_an_axis_of_one_channel_are_a_label_map(name, channels, activation):
    """Of one channel too: whose organ has label 2 is not where another one's is."""
    truth = boxed(2) + masks(3, False)[:, 2]
    organs = {"tumour": 2} if activation is None and channels > 1 else {"tumour": Organ(0, 2)}
    one = net(channels)
    with_axis = numbers(JUDGE[name](one, organs, truth[:, None], activation=activation))
    assert with_axis == numbers(JUDGE[name](one, organs, truth, activation=activation))
    assert len(with_axis) > 1


@pytest.mark.parametrize("name", JUDGE)
def test_numbers_that_may_be_a_mask_are_asked_what_they_are(name):
    truth = boxed(255)[:, None]
    with pytest.raises(
        InputError, match="holds 0 and 255 alone, and the organ has label 1"
    ) as found:
        JUDGE[name](net(), {"tumour": 1}, truth)
    mask = str(found.value).split("a mask, ")[1].split(", or")[0]
    of_mask = numbers(JUDGE[name](net(), {"tumour": 1}, eval(mask)))
    assert of_mask == numbers(JUDGE[name](net(), {"tumour": Organ(0, 255)}, truth))
    assert of_mask == numbers(JUDGE[name](net(), {"tumour": Organ(0, 2)}, eval(mask)))


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


def test_a_judge_of_classes_counts_no_pixel_of_a_single_channel():
    with pytest.raises(InputError, match="one output channel"):
        Judge({"tumour": 0}, MASK).of(net()(X))
    Judge({"tumour": 1}, MASK, activation="sigmoid").of(net()(X))


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
    with pytest.raises(InputError, match="behind a sigmoid: where channels may overlap") as found:
        segtrace.trace(shares("sigmoid"), IN_SHARES, X, target)
    said = str(found.value)
    assert f"say {SIGMOID}" in said
    output = eval(said.split("output=")[1].split(";")[0])
    flow = segtrace.trace(shares("sigmoid"), IN_SHARES, X, target, output=output)
    assert torch.equal(flow.prediction, predicted(net(3)(X)))
    options = eval(f"dict({SIGMOID})")
    flow = segtrace.trace(shares("sigmoid"), IN_SHARES, X, target, output=output, **options)
    assert torch.equal(flow.prediction, net(3)(X) > 0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", JUDGE)
def test_what_a_sigmoid_put_out_is_no_logit(name, channels):
    whole = nn.Sequential(*net(channels, steep=9), nn.Sigmoid())
    organs = {"tumour": Organ(0, 1)}
    with pytest.raises(InputError, match="behind a sigmoid, of which none is below 0") as found:
        JUDGE[name](whole, organs, MASK, activation="sigmoid")
    output = eval(str(found.value).split("output=")[1].split(" (where")[0])
    JUDGE[name](whole, organs, MASK, output=output, activation="sigmoid")


def test_one_sigmoid_is_known_by_its_graph_before_it_is_trained():
    faint = nn.Sequential(net(), nn.Sigmoid())
    for target in (targets.organ(0, "gt", MASK), MASK[:, None].double()):
        with pytest.raises(InputError, match="of which none is below 0"):
            segtrace.trace(faint, IN_SHARES, X, target)


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
    def every_way():
        for region, score in product(("pred", "tp", "gt"), ("logit", "centered")):
            target = targets.organ(1, region, MASK)
            segtrace.trace(shares("softmax"), IN_SHARES, X, target, score=score)

    labels._say_of_shares.cache_clear()
    with pytest.warns(UserWarning, match="probabilities that sum to 1, as behind") as said:
        every_way()
    assert len(said) == 1
    segtrace.trace(shares("sigmoid"), IN_SHARES, X, targets.organ(1, "gt", MASK))
    some = torch.full((1, 3, 8, 8), 0.5)
    for logits in (some, some[..., :3, :3].clone().uniform_(), 0.3 * torch.rand(1, 3, 8, 8)):
        for activation in ("softmax", "sigmoid"):
            refuse_overlap(logits, activation)
            refuse_shares("prob", logits, activation)


@pytest.mark.parametrize("seed", range(5))
def test_untrained_networks_are_not_taken_for_sigmoids(seed):
    for build in (
        lambda: UNet(2, 1, 1 + seed % 3, (4, 6, 8), (2, 2)),
        lambda: BasicUNet(2, 1, 1 + seed % 3, features=(4, 4, 6, 8, 8, 4)),
    ):
        torch.manual_seed(seed)
        with torch.no_grad():
            logits = build().eval()(X.float().repeat(1, 1, 2, 2))
        for activation in ("softmax", "sigmoid"):
            refuse_overlap(logits, activation)
            refuse_shares("prob", logits, activation)


def test_a_sigmoid_is_known_behind_operations_of_one_argument():
    logits = torch.linspace(-0.2, 0.2, 128).reshape(1, 1, 8, 16).requires_grad_()
    for behind in (torch.sigmoid, lambda x: x.sigmoid()[:, :], lambda x: x.sigmoid().clamp(0, 1)):
        with pytest.raises(InputError, match="as behind a sigmoid"):
            refuse_overlap(behind(logits), "sigmoid")
    refuse_overlap(logits * logits.sigmoid(), "sigmoid")  # a gate is no activation of logits
    refuse_overlap(logits * 1.0, "sigmoid")


KEPT = {
    "permuted": lambda p: p.permute(0, 2, 3, 1).movedim(-1, 1),
    "reshaped": lambda p: p.permute(0, 2, 3, 1).reshape(1, 128, -1).movedim(-1, 1).reshape(p.shape),
    "resized": lambda p: nn.functional.interpolate(p, scale_factor=2, mode="bilinear"),
    "left out": lambda p: torch.where(torch.arange(16) < 8, p, torch.zeros(())),
    "masked": lambda p: p * (torch.arange(16) < 8),
    "filled": lambda p: p.masked_fill(torch.arange(16) < 8, 0),
    "padded": lambda p: nn.functional.pad(p, (1, 1, 1, 1)),
}


@pytest.mark.parametrize("name", KEPT)
def test_probabilities_are_known_behind_what_resizes_orders_or_leaves_out(name):
    logits = torch.linspace(-0.2, 0.2, 128).reshape(1, 1, 8, 16).requires_grad_()
    with pytest.raises(InputError, match="as behind a sigmoid"):
        refuse_overlap(KEPT[name](logits.sigmoid()), "sigmoid")
    refuse_overlap(KEPT[name](4 * logits.sigmoid() - 2), "sigmoid")
    refuse_overlap(KEPT[name](logits), "sigmoid")
    several = torch.cat([logits, -logits], 1)
    with pytest.raises(InputError, match=r"sum to 1, as behind a softmax.*'prob' would take"):
        refuse_shares("prob", KEPT[name](several.softmax(1)))


def test_what_is_no_probability_any_more_is_no_sigmoid():
    logits = torch.linspace(-0.2, 0.2, 128).reshape(1, 1, 8, 16).requires_grad_()
    for changed in (logits.sigmoid() * 3, logits.sigmoid() * logits, logits.sigmoid() * -1):
        refuse_overlap(changed, "sigmoid")
