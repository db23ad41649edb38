"""Every weight in one group, and fresh weights for it."""

import copy

import pytest
import torch
from torch import nn

from helpers import nets
from segtrace.causal.sanity.groups import groups_of
from segtrace.causal.sanity.randomise import randomise
from segtrace.network.stages import resolve


class Scaled(nn.Module):
    """Weights without a way to set them back, and a head that is never called."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.arange(1.0, 5).view(1, 4, 1, 1).double())

    def forward(self, x):
        return x * self.scale


def odd():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), Scaled(), nn.Conv2d(4, 3, 1))
    net.add_module("asleep", nn.Conv2d(4, 3, 1))
    net.forward = lambda x: net[2](net[1](net[0](x)))
    return net.double()


@pytest.mark.parametrize("build", [nets.flexible_unet, nets.basic_unet])
def test_every_weight_is_in_one_group_and_the_head_comes_first(build):
    net, x = build(), nets.images(1)
    groups = groups_of(net, resolve(net), x)
    assert [group.name for group in groups] == [stage.name for stage in resolve(net)][::-1]
    held = [
        f"{path}.{name}"
        for group in groups
        for path in group.modules
        for name in dict(net.get_submodule(path).named_parameters(recurse=False))
    ]
    assert sorted(held) == sorted(dict(net.named_parameters()))
    assert not any(group.unclear for group in groups)


def test_a_group_is_what_works_between_two_stages():
    groups = groups_of(nets.plain(), resolve(nets.plain(), nets.PLAIN_STAGES), nets.images(1))
    assert {group.name: group.modules for group in groups} == {
        "head": ("5",),
        "enc2": ("2",),
        "enc1": ("0",),
    }


def test_what_is_never_called_comes_last_and_is_named():
    net = odd()
    groups = groups_of(net, resolve(net, {"enc1": "0", "head": "2"}), nets.images(1))
    assert groups[0].modules == ("1", "2")
    assert groups[-1].modules == ("0", "asleep")
    assert groups[-1].unclear == ("asleep",)


def test_weights_are_drawn_anew_the_same_for_the_same_seed():
    net = nets.basic_unet()
    before, state = copy.deepcopy(net), torch.random.get_rng_state()
    group = groups_of(net, resolve(net), nets.images(1))[0]
    twins = [copy.deepcopy(net) for _ in range(3)]
    for twin, seed in zip(twins, (1, 1, 2), strict=True):
        assert randomise(twin, group.modules, seed) == ()
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [dict(twin.named_parameters()) for twin in twins]
    for name, value in before.named_parameters():
        mine = name.rpartition(".")[0] in group.modules
        assert torch.equal(weights[0][name], value) != mine
        assert torch.equal(weights[0][name], weights[1][name])
        assert torch.equal(weights[0][name], weights[2][name]) != mine


def test_statistics_are_set_back_and_what_cannot_be_reset_is_permuted():
    net = nets.basic_unet()
    norms = [path for path, one in net.named_modules() if isinstance(one, nn.BatchNorm2d)]
    randomise(net, norms, 0)
    one = net.get_submodule(norms[0])
    assert one.running_mean.abs().max() == 0
    assert torch.equal(one.running_var, torch.ones_like(one.running_var))
    other = odd()
    assert randomise(other, ("1",), 3) == ("1",)
    assert other[1].scale.flatten().tolist() != [1, 2, 3, 4]
    assert sorted(other[1].scale.flatten().tolist()) == [1, 2, 3, 4]
