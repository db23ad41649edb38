"""What the data give is sent through before training, and every remedy works when typed."""

import random
import re

import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet, UNet
from torch import nn

from cli.train.test_run import plan_of
from helpers.known_networks import NETWORKS
from segtrace import InputError
from segtrace.cli.train import run
from segtrace.training.module import SegmentationModule
from segtrace.training.slices.fitting_input import Fitting

ORGANS = 2


def unet(size=16, **options):
    recipe = {"spatial_dims": 2, "in_channels": 1, "out_channels": 1 + ORGANS,
              "channels": (4, 4, 4), "strides": (2, 2)} | options  # fmt: skip
    if recipe["out_channels"] == "null":  # as train.py takes it
        recipe["out_channels"] = 1 + ORGANS
    return fitting(UNet(**recipe), size, recipe)


def fitting(net, size=16, recipe=(), **options):
    return Fitting(net, torch.rand(1, 1, size, size), 1 + ORGANS, dict(recipe), **options)


def refused(fit):
    with pytest.raises(InputError) as found:
        fit.check()
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize(
    "options",
    [
        {"spatial_dims": 3},
        {"spatial_dims": 1},
        {"in_channels": 3},
        {"out_channels": 2},
        {"out_channels": 14},
        {"spatial_dims": 3, "in_channels": 3, "out_channels": 1},
        {"size": 17},
        {"size": 30, "channels": (4, 4, 4, 4, 4), "strides": (2, 2, 2, 2)},
        {"size": 16, "channels": (4,) * 7, "strides": (2,) * 6},  # a sixty-fourth of 16
    ],
)
def test_what_a_network_was_made_for_is_named_and_the_remedy_works(options):
    unet().check()
    options = dict(options)
    for _ in range(3):  # one thing after another
        said = re.search(r"say (?:model\.net|data)\.(\w+)=(\w+)", refused(unet(**options)))
        options[said[1]] = int(said[2]) if said[2].isdigit() else said[2]
        try:
            unet(**options).check()
        except InputError:
            continue
        return
    raise AssertionError(options)


def test_the_message_says_what_the_data_give():
    said = refused(unet(in_channels=3))
    assert said.startswith("the network does not take slices of 16 x 16 with 1 channel (")
    assert said.endswith("say model.net.in_channels=1")
    said = refused(unet(out_channels=9))
    assert "turns a slice of 16 x 16 into (1, 9, 16, 16); (1, 3, 16, 16) is needed" in said
    assert said.endswith("say model.net.out_channels=null")


class Returning(nn.Module):
    """Gives what it is told to, from a convolution of three channels."""

    def __init__(self, form):
        super().__init__()
        self.net, self.form = nn.Conv2d(1, 1 + ORGANS, 1), form

    def forward(self, x):
        return self.form(self.net(x), self.training)


@pytest.mark.parametrize(
    ("form", "named"),
    [
        (lambda out, _: {"out": out}, "into a dict"),
        (lambda out, _: (out, out), "into a tuple"),
        (lambda out, _: out[..., ::2, ::2], r"into \(1, 3, 8, 8\)"),
        (lambda out, training: [out] if training else out, "into a list in training"),
        (lambda out, _: None, "into a NoneType"),
    ],
)
def test_what_is_no_tensor_of_logits_is_named(form, named):
    assert re.search(named, refused(fitting(Returning(form))))


def test_deep_supervision_is_told_from_the_training_mode():
    recipe = {"spatial_dims": 2, "in_channels": 1, "out_channels": 1 + ORGANS,
              "kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2] * 3,
              "filters": [4] * 4}  # fmt: skip
    deep = recipe | {"deep_supervision": True}
    fitting(DynUNet(**recipe), 32, recipe).check()
    assert refused(fitting(DynUNet(**deep), 32, deep)).endswith("model.net.deep_supervision=false")


@pytest.mark.parametrize("name", ["nnU-Net", "SegResNetDS", "BasicUNetPlusPlus", "torchvision FCN"])
def test_of_several_outputs_those_of_a_known_network_that_are_its_logits_are_trained(name):
    net = NETWORKS[name].build()
    fitting(net, 32).check()
    trained = SegmentationModule(net, {"a": 1, "b": 2}, torch.optim.SGD, channels_last=False)
    assert trained.train()(torch.rand(2, 1, 32, 32)).shape == (2, 1 + ORGANS, 32, 32)


def pooled(size, **options):
    net = nn.Sequential(
        nn.Conv2d(1, 3, 1), nn.MaxPool2d(16), nn.BatchNorm2d(3), nn.Upsample(scale_factor=16)
    )
    return fitting(net, size, **options)


def test_a_last_batch_too_small_to_normalise_is_known_before_training():
    pooled(16, batch=2).check()
    said = refused(pooled(16, batch=1))
    assert "in training (Expected more than 1 value per channel" in said
    assert "say data.size=32" in said
    pooled(32, batch=1).check()


class Drawing(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Dropout())

    def forward(self, x):
        return self.net(x) + random.random() + np.random.rand()


def test_the_network_and_all_randomness_are_as_before():
    net = Drawing().train()
    fit = fitting(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    drawn = []
    for check in (lambda: None, fit.check):
        for seed in (torch.manual_seed, random.seed, np.random.seed):
            seed(0)
        check()
        drawn.append((float(torch.rand(())), random.random(), np.random.rand()))
    assert drawn[0] == drawn[1]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.net.spatial_dims=3", r"does not take slices of 64 x 64.*model.net.spatial_dims=2$"),
        ("model.net.in_channels=3", r"does not take slices of 64 x 64.*model.net.in_channels=1$"),
        ("model.net.out_channels=3", r"turns a slice .*say model.net.out_channels=null$"),
        ("data.size=8", r"does not take slices of 8 x 8.*say data.size=16 .a multiple of 32 suits"),
    ],
)
def test_train_refuses_it_in_one_line(tiny_raw, tmp_path, override, message):
    plan = plan_of(tmp_path / "run", tiny_raw, override)
    with pytest.raises(InputError, match=message) as found:
        run.network(plan, run.data(plan))
    assert "\n" not in str(found.value)


def test_a_network_whose_size_is_an_option_is_asked_for_it():
    class Fixed(BasicUNet):
        def forward(self, x):
            assert x.shape[-1] == 48, "48 it must be"
            return super().forward(x)

    net = Fixed(2, 1, 1 + ORGANS, features=(4, 4, 4, 4, 4, 4))
    said = refused(fitting(net, 32, {"img_size": [48, 48]}))
    assert "(48 it must be); say data.size=48" in said
