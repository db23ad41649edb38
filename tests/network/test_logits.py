"""An image that a network does not take, logits that must be picked: one line and a way out."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from monai.networks.nets import BasicUNet, UNet
from torch import nn

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.causal.baselines import collect
from segtrace.causal.necessity import necessity
from segtrace.causal.patching import patch
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
PACKED = {
    "dict": (lambda y: {"aux": SMALL, "out": y}, "out['out']"),
    "ordered": (lambda y: OrderedDict(out=y, aux=y), "out['out']"),
    "list": (lambda y: [SMALL, y], "out[1]"),
    "tuple": (lambda y: (y, "something else"), "out[0]"),
    "named": (lambda y: Pair(None, y), "out[1]"),
    "dataclass": (lambda y: Result(torch.zeros(()), y), "out.logits"),
    "nested": (lambda y: ({"out": y}, SMALL[0]), "out[0]['out']"),
    "supervised": (lambda y: torch.stack([y, y], 1), "out[:, 0]"),
    "coarse alone": (lambda y: {"logits": nn.functional.avg_pool2d(y, 4)}, "out['logits']"),
}


@pytest.mark.parametrize("name", PACKED)
def test_the_way_to_pick_the_logits_works_when_typed(name):
    pack, path = PACKED[name]
    net, image, target = Returning(pack), nets.images(2, 16), targets.organ(1, "all")
    with pytest.raises(InputError, match="say output=… to pick the logits") as found:
        segtrace.trace(net, STAGES, image, target)
    advice = str(found.value)
    assert "\n" not in advice
    typed = advice.split("e.g. output=")[1].split(", or ")[0]
    assert typed == f"lambda out: {path}"
    flow = segtrace.trace(net, STAGES, image, target, output=eval(typed))
    # the other way out: a network around it whose forward returns as much
    wrapped = Wrapped(net, eval(f"lambda out: {advice.split('forward returns ')[1]}"))
    around = {name: f"net.{path}" for name, path in STAGES.items()}
    again = segtrace.trace(wrapped, around, image, target)
    assert torch.equal(again.maps["enc1"], flow.maps["enc1"])
    if name != "coarse alone":
        plain = segtrace.trace(Returning(), STAGES, image, target)
        assert torch.equal(flow.maps["enc1"], plain.maps["enc1"])


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
    image, net = nets.images(2, 16), Returning(lambda y: {"out": y})
    with pytest.raises(InputError, match="returns a dict; say output=… to pick"):
        doors(image)[name](net)
    doors(image, output=lambda out: out["out"])[name](net)


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
    with pytest.raises(InputError, match=r"shape \(2, .* their channels stand last: say") as found:
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
