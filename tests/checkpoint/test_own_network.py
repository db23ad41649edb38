"""A network that the user names, and weights whose names differ by a wrapper."""

import pytest
import torch
from torch import nn

from segtrace import InputError
from segtrace.checkpoint.own_network import built, fitted, named, network_class


def inner():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.Conv2d(2, 2, 1)))


class Logits(nn.Module):
    """What a builder returns that picks the logits of another network."""

    def __init__(self, net, scale=False):
        super().__init__()
        self.model = net
        if scale:
            self.register_buffer("mean", torch.zeros(1), persistent=False)

    def forward(self, x):
        return self.model(x)


def wrapped(kind):
    net = inner()
    if kind == "compiled part":
        net[2] = torch.compile(net[2])
        return net
    wrappers = {
        "bare": lambda net: net,
        "logits": Logits,
        "twice": lambda net: Logits(Logits(net, scale=True)),
        "parallel": nn.DataParallel,
        "compiled": torch.compile,
        "compiled logits": lambda net: torch.compile(Logits(net)),
    }
    return wrappers[kind](net)


KINDS = ["bare", "logits", "twice", "parallel", "compiled", "compiled logits", "compiled part"]


@pytest.mark.parametrize("builder", KINDS)
@pytest.mark.parametrize("file", KINDS)
def test_whatever_wraps_the_network_or_its_weights_they_fit(builder, file):
    torch.manual_seed(0)
    source, net = wrapped(file), wrapped(builder)
    found = fitted({"state_dict": source.state_dict(), "epoch": 3}, net)
    net.load_state_dict(found)  # strict: all of them, and none left over
    ours, theirs = net.state_dict().values(), source.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_what_the_wrapper_of_the_weights_holds_besides_is_left_out():
    net = Logits(inner())
    saved = {f"net.{name}": value for name, value in inner().state_dict().items()}
    saved["loss.weight"] = torch.ones(2)
    assert fitted(saved, net).keys() == net.state_dict().keys()


def test_the_dict_in_which_most_weights_fit_is_taken():
    net = inner()
    right = {name: torch.ones_like(value) for name, value in net.state_dict().items()}
    wrong = {"0.weight": torch.zeros(2, 1, 3, 3)}
    for saved in (
        {"net": right, "optimizer": wrong},
        {"model": wrong, "ema": right},
        {"checkpoint": {"encoder": wrong, "whole": right}},
        {"model": right, "ema": wrong},
    ):
        assert torch.equal(fitted(saved, net)["0.weight"], right["0.weight"])


def test_a_weight_that_is_lacking_stays_lacking():
    net = Logits(inner())
    saved = {f"module.{name}": value for name, value in inner().state_dict().items()}
    del saved["module.0.weight"]
    assert net.state_dict().keys() - fitted(saved, net).keys() == {"model.0.weight"}


def test_the_weights_of_something_else_fit_nothing():
    assert not fitted({"a.b": torch.ones(1)}, inner()).keys() & inner().state_dict().keys()
    assert fitted({}, inner()) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such:build", "net=no_such:build: No module named"),
        ("build", "give module:function"),
        ("torch:no_such", "no_such"),
        ("math:e", "not callable"),
        (":build", "Empty module name"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(name, message):
    with pytest.raises(InputError, match=message):
        named(name)


def test_the_arguments_of_a_file_are_handed_to_classes_of_networks_alone():
    assert network_class("torch.nn:Conv2d") is nn.Conv2d
    assert network_class(nn.Conv2d) is nn.Conv2d
    for name in ("os:system", "torch:load", "torch.nn:ModuleDict.update", "builtins:dict"):
        with pytest.raises(InputError, match=r"is no class of networks|update"):
            network_class(name)


def test_a_builder_that_returns_something_else_is_named():
    with pytest.raises(InputError, match="returns a str; a network is needed"):
        built("os:getcwd")
