"""An image that a network does not take, logits that must be picked: one line and a way out."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from monai.networks.nets import BasicUNet, UNet
from torch import nn
from torch.nn import functional

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.causal.baselines import collect
from segtrace.causal.necessity import necessity
from segtrace.causal.patching import patch
from segtrace.network import logits
from segtrace.network.sites import sites_of

STAGES = {"enc1": "inner.1", "head": "inner.5"}
TRUTH = nets.labels(2, 16)
ORGANS = {"liver": 1}


class Returning(nn.Module):
    """A network that returns its logits as ``pack`` says."""

    def __init__(self, pack=lambda logits: logits, channels=3):
        super().__init__()
        self.inner, self.pack = nets.plain(channels), pack

    def forward(self, x):
        return self.pack(self.inner(x))


def doors(image, truth=TRUTH, **options):
    """Every function that sends an image through a network, as name -> call with the network."""

    def of(call, *arguments, **more):
        sites = arguments or (None,)
        return lambda net: call(net, sites_of(net, STAGES, {}), *sites, **more, **options)

    means = {"enc1": torch.zeros(4), "head": torch.zeros(3)}
    target = targets.organ(1, "all")
    return {
        "trace": lambda net: segtrace.trace(net, STAGES, image, target, **options),
        "describe": lambda net: segtrace.describe(net, image, STAGES, **options),
        "integrate": lambda net: segtrace.integrate(
            net, STAGES, image, target, means, 1, **options
        ),
        "collect": of(collect, [image]),
        "necessity": of(necessity, image, truth, ORGANS, cut="zero"),
        "patch": of(patch, (image, truth), (image, truth), ORGANS),
    }


NAMES = list(doors(nets.images(2, 16)))
Pair = namedtuple("Pair", ("aside", "logits"))


@dataclass
class Result:
    loss: torch.Tensor
    logits: torch.Tensor


SMALL = torch.zeros(2, 3, 4, 4)
PACKED = {  # what is returned, what picks the logits, and where they are
    "dict": (lambda y: {"out": y, "aux": y + 1}, "'out'", "out['out']"),
    "ordered": (lambda y: OrderedDict(out=y, aux=y + 1), "'out'", "out['out']"),
    "list": (lambda y: [y, y + 1], "0", "out[0]"),
    "named": (lambda y: Pair(y + 1, y), "0", "out[0]"),
    "dataclass": (lambda y: Result(y, y + 1), "'loss'", "out.loss"),
    "nested": (lambda y: ({"out": y}, SMALL[0]), "lambda out: out[0]['out']", "out[0]['out']"),
    "supervised": (lambda y: torch.stack([y, y], 1), "lambda out: out[:, 0]", "out[:, 0]"),
    "coarse alone": (
        lambda y: {"logits": nn.functional.avg_pool2d(y, 4)}, "'logits'", "out['logits']"
    ),
}  # fmt: skip
CHANGED = ("named", "coarse alone")  # other numbers than the network's own logits


@pytest.mark.parametrize("name", PACKED)
def test_the_way_to_pick_the_logits_works_when_typed(name):
    pack, named, _ = PACKED[name]
    net, image, target = Returning(pack), nets.images(2, 16), targets.organ(1, "all")
    with pytest.raises(InputError, match="say output=… to pick the logits") as found:
        segtrace.trace(net, STAGES, image, target)
    advice = str(found.value)
    assert "\n" not in advice
    typed = advice.split("e.g. output=")[1].split(", or ")[0]
    assert typed == named
    flow = segtrace.trace(net, STAGES, image, target, output=eval(typed))
    # the other way out: a network around it whose forward returns as much
    wrapped = Wrapped(net, eval(f"lambda out: {advice.split('forward returns ')[1]}"))
    around = {name: f"net.{path}" for name, path in STAGES.items()}
    again = segtrace.trace(wrapped, around, image, target)
    assert torch.equal(again.maps["enc1"], flow.maps["enc1"])
    if name not in CHANGED:
        plain = segtrace.trace(Returning(), STAGES, image, target)
        assert torch.equal(flow.maps["enc1"], plain.maps["enc1"])


ALONE = {  # one tensor has the image's size
    "dict": (lambda y: {"aux": SMALL, "out": y}, "'out'"),
    "list": (lambda y: [SMALL, y], "1"),
    "tuple": (lambda y: (y, "something else"), "0"),
    "named": (lambda y: Pair(None, y), "1"),
    "dataclass": (lambda y: Result(torch.zeros(()), y), "'logits'"),
    "twice": (lambda y: (y, y), "1"),
}


@pytest.mark.parametrize("name", ALONE)
def test_the_one_tensor_of_the_images_size_is_taken_and_said_once(name):
    pack, typed = ALONE[name]
    net, image, target = Returning(pack), nets.images(2, 16), targets.organ(1, "all")
    logits._say_once.cache_clear()
    with pytest.warns(UserWarning, match=r"its one tensor of the image's size, output=") as said:
        flow = segtrace.trace(net, STAGES, image, target)
    segtrace.describe(net, image, STAGES)  # a warning would be an error
    (line,) = [str(warning.message) for warning in said]
    assert line.split("output=")[1].split(" of")[0] == typed
    assert r"of shape (3, 16, 16)" in line
    named = segtrace.trace(net, STAGES, image, target, output=eval(typed))
    plain = segtrace.trace(Returning(), STAGES, image, target)
    for other in (named, plain):
        assert torch.equal(flow.maps["enc1"], other.maps["enc1"])


@pytest.mark.parametrize("output", ["aux", lambda out: out["aux"]])
def test_an_output_that_is_coarser_than_another_is_said_with_the_other(output):
    net = Returning(lambda y: {"out": y, "aux": functional.avg_pool2d(y, 2)})
    image, target = nets.images(2, 16), targets.organ(1, "pred")
    logits._say_once.cache_clear()
    with pytest.warns(UserWarning, match=r"picks logits of shape \(3, 8, 8\), coarser") as said:
        segtrace.trace(net, STAGES, image, target, output=output)
    typed = str(said[0].message).split("size is output=")[1].split(", (3, 16, 16)")[0]
    segtrace.trace(net, STAGES, image, target, output=eval(typed))  # a warning would be an error
    alone = Returning(lambda y: {"aux": functional.avg_pool2d(y, 2)})
    segtrace.trace(alone, STAGES, image, target, output=output)


def test_classes_that_look_like_channels_for_themselves_are_said_once_with_both_ways_out():
    """Nearly nowhere anything: all logits are far below 0 there."""
    image, target = nets.images(2, 16), targets.organ(1, "pred")
    net = Returning(lambda y: 0.1 * y - 5 + 9 * (torch.arange(16) < 3))
    logits._say_once.cache_clear()
    said = r"3 channels are taken for classes .*softmax.*say activation='sigmoid'.*='softmax'$"
    with pytest.warns(UserWarning, match=said) as found:
        segtrace.trace(net, STAGES, image, target)
    segtrace.trace(net, STAGES, image, target)  # a warning would be an error
    assert len(found) == 1
    logits._say_once.cache_clear()
    for way in ("sigmoid", "softmax"):
        segtrace.trace(net, STAGES, image, target, activation=way)
        named = targets.organ(1, "pred", activation=way)
        segtrace.trace(net, STAGES, image, named)


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y,
        lambda y: 9 * y.log_softmax(1),
        lambda y: torch.cat([y[:, :1] + 5, y[:, 1:] - 5], 1),
        lambda y: y[:, :1] - 5,
        lambda y: y - 5 + 9 * (torch.arange(16) < 9),
        lambda y: 0.1 * y - 5,
    ],
    ids=["untrained", "log-probabilities", "a background", "one channel", "half the image", "low"],
)
def test_classes_with_a_background_are_taken_without_a_word(change):
    logits._say_once.cache_clear()
    image = nets.images(2, 16)
    segtrace.trace(Returning(change), STAGES, image, targets.organ(0, "pred"))


def test_an_output_is_an_index_a_key_or_a_field():
    pair, result = Pair("a", "b"), Result("a", "b")
    for returned, output, found in (
        ([1, 2, 3], 0, 1), ([1, 2, 3], -1, 3), ((1, 2), "1", 2), ([1, 2], "-2", 1),
        ({"out": 1, 0: 2}, "out", 1), ({"out": 1, 0: 2}, 0, 2), ({"out": 1}, len, 1),
        (pair, "logits", "b"), (pair, 0, "a"), (result, "logits", "b"),
    ):  # fmt: skip
        assert logits.picked(returned, output) == found
    alone = torch.zeros(1)
    assert logits.picked(alone, 0) is alone  # as a network that is not supervised deeply returns it


@pytest.mark.parametrize(
    ("returned", "output", "message"),
    [
        ([1, 2], 2, "no output 2; the list it picks from has 0, 1"),
        ([1, 2], -3, "no output -3; the list"),
        ({"logits": 1}, "logit", "no output 'logit'; the dict .* did you mean logits?"),
        (Result(1, 2), "out", "no output 'out'; the Result it picks from has loss, logits"),
        ("text", 0, "no output 0; the str it picks from has none"),
        ({"out": 1}, "__class__", "no output '__class__'"),
    ],
)
def test_an_output_that_is_not_there_is_refused_with_those_that_are(returned, output, message):
    with pytest.raises(InputError, match=message):
        logits.picked(returned, output)


class Wrapped(nn.Module):
    def __init__(self, net, pick):
        super().__init__()
        self.net, self.pick = net, pick

    def forward(self, x):
        return self.pick(self.net(x))


def test_where_nothing_fits_no_way_is_promised():
    with pytest.raises(InputError, match=r"returns a dict; say output=… .*nothing in it has their"):
        segtrace.trace(
            Returning(lambda y: {"a": 1, "b": y[0]}), STAGES, nets.images(2, 16), targets.pixel(1)
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_function_says_how_to_pick_the_logits_and_takes_what_it_says(name):
    image, net = nets.images(2, 16), Returning(lambda y: {"out": y, "aux": y + 1})
    with pytest.raises(InputError, match="returns a dict; say output=… to pick"):
        doors(image)[name](net)
    doors(image, output=lambda out: out["out"])[name](net)
    doors(image, output="out")[name](net)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_with_another_number_of_channels_is_refused_with_what_works(name):
    net = Returning()
    net.inner[0] = nn.Conv2d(3, 4, 3, padding=1).double()
    image = nets.images(2, 16)
    with pytest.raises(InputError, match=r"takes images of 3 channels; this one is \(") as found:
        doors(image)[name](net)
    typed = str(found.value).split("e.g. ")[1]
    assert typed == "image.expand(-1, 3, -1, -1)"
    doors(eval(typed, {"image": image}))[name](net)


@pytest.mark.parametrize("name", NAMES)
def test_a_volume_for_a_network_of_slices_is_refused(name):
    volume = nets.images(2, 16)[:, :, None].expand(-1, -1, 16, -1, -1)
    with pytest.raises(
        InputError, match=r"does not take images with 3 axes.*slices \(N, C, H, W\)"
    ):
        doors(volume, TRUTH[:, None].expand(-1, 16, -1, -1))[name](Returning())


def test_a_slice_for_a_network_of_volumes_is_refused():
    net = BasicUNet(3, 1, 3, features=(2, 2, 4, 4, 4, 2)).eval()
    with pytest.raises(InputError, match=r"does not take images with 2 axes.*\(N, C, D, H, W\)"):
        segtrace.trace(net, None, torch.rand(1, 1, 32, 32), targets.organ(1, "all"))


def test_a_size_that_the_network_cannot_halve_is_refused_with_one_that_it_can():
    net = UNet(2, 1, 3, (4, 6, 8), (2, 2)).eval()
    target = targets.organ(1, "all")
    with pytest.raises(InputError, match=r"does not take images of 42 x 30 .*e\.g\. 32 x 32"):
        segtrace.trace(net, None, torch.rand(1, 1, 42, 30), target)
    segtrace.trace(net, None, torch.rand(1, 1, 32, 32), target)


def test_what_goes_wrong_inside_a_network_keeps_its_traceback():
    net = Returning(lambda y: torch.linalg.inv(y * 0))
    with pytest.raises(RuntimeError, match="singular"):
        segtrace.trace(net, STAGES, nets.images(1, 16), targets.organ(1, "all"))
    net.inner[2] = nn.Conv2d(7, 5, 3, stride=2, padding=1).double()  # not the image's fault
    with pytest.raises(RuntimeError, match="7 channels, but got 4"):
        segtrace.trace(net, STAGES, nets.images(1, 16), targets.organ(1, "all"))


class Reshaped(nn.Module):
    """A network whose logits are reshaped on their way out."""

    def __init__(self, change, sides=2):
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[sides]
        self.inner, self.change = nn.Sequential(conv(1, 3, 1), nn.ReLU(), conv(3, 3, 1)), change
        self.double().eval()

    def forward(self, x):
        return self.change(self.inner(x))


def at(net, *sides, **options):
    image = torch.rand(2, 1, *sides, dtype=torch.float64)
    return segtrace.trace(net, {"a": "inner.1"}, image, targets.organ(1, "all"), **options)


@pytest.mark.parametrize("sides", [(16,), (16, 16), (16, 24), (24, 16), (5, 5), (4, 16, 24)])
def test_logits_whose_channels_stand_last_are_refused_with_the_way_to_move_them(sides):
    net = Reshaped(lambda out: out.movedim(1, -1), len(sides))
    with pytest.raises(
        InputError, match=r"shape \([12], .* their channels stand last: say"
    ) as found:
        at(net, *sides)
    output = eval(str(found.value).split("output=")[1].split(", or")[0])
    flow = at(net, *sides, output=output)
    assert flow.prediction.shape[1:] == sides
    assert flow.prediction.max() < 3


def test_coarse_logits_whose_channels_stand_last_are_refused():
    for step in (2, 4):
        net = Reshaped(lambda out, step=step: out[..., ::step, ::step].movedim(1, -1))
        with pytest.raises(InputError, match="their channels stand last"):
            at(net, 32, 32)


def test_logits_of_turned_images_are_refused():
    with pytest.raises(InputError, match=r"image axes should be as \(8, 24\); let the network"):
        at(Reshaped(lambda out: out.mT), 8, 24)


@pytest.mark.parametrize(
    "change",
    [
        lambda out: out[..., ::2, ::2],
        lambda out: out[..., ::4, ::4],
        lambda out: out[..., 4:-4, 4:-4],  # convolutions without padding
        lambda out: nn.functional.interpolate(out, scale_factor=2),
        lambda out: nn.functional.interpolate(nn.functional.max_pool2d(out, 8), scale_factor=8.0),
        lambda out: nn.functional.adaptive_avg_pool2d(out, 1),
    ],
)
@pytest.mark.parametrize("sides", [(32, 32), (33, 18), (30, 32)])
def test_logits_of_another_resolution_or_without_a_border_are_taken(change, sides):
    at(Reshaped(change), *sides)


@pytest.mark.parametrize(
    ("side", "other"),
    [
        (64, "some take larger ones alone, e.g. 128 x 128"),
        (50, "most take multiples of 32, e.g. 64 x 64"),
    ],
)
def test_a_size_that_is_refused_is_not_the_one_that_is_recommended(side, other):
    class Small(nn.Module):
        def forward(self, x):
            raise RuntimeError("Output size is too small")

    net, x = nn.Sequential(Small()), torch.rand(1, 1, side, side)
    with pytest.raises(InputError, match=other):
        segtrace.trace(net, {"a": "0"}, x, torch.ones(1, 2, side, side))
