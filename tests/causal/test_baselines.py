import pytest
import torch
from torch import nn

from helpers import routes as nets
from helpers.nets import basic_unet, images
from helpers.saving import reloaded
from segtrace import InputError
from segtrace.causal.baselines import Baselines, collect
from segtrace.network.hooks import observe
from segtrace.network.sites import sites_of
from segtrace.network.stages import Stage

SITE = Stage("enc1", "0")


def test_means_are_those_of_all_slices_whatever_the_batches():
    net, x = basic_unet(), images(5, 32)
    sites = sites_of(net)
    found = collect(net, sites, [x[:2], x[2:3], x[3:]], maps=True)
    seen = observe(net.eval(), sites, x).activations
    assert found.count == 5
    for site in sites:
        whole = seen[site.name]
        torch.testing.assert_close(found.channels[site.name], whole.mean((0, 2, 3)))
        torch.testing.assert_close(found.maps[site.name], whole.mean(0))
        torch.testing.assert_close(found.spread[site.name], whole.mean((2, 3)).std(0))


def test_a_checkpoint_holds_them_as_plain_tensors():
    net = nets.Routed()
    found = collect(net, sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES), [images(4, 8)])
    again = Baselines.from_plain(reloaded(found.to_plain()))
    assert again.count == 4
    assert again.channels.keys() == found.channels.keys()
    torch.testing.assert_close(again.channels["enc1"], found.channels["enc1"].float())


def test_the_network_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    collect(net, [SITE], [torch.rand(3, 1, 4, 4, generator=torch.Generator())])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in net.modules())


def test_replacements_have_the_shape_of_the_activation():
    net = nn.Sequential(nn.Identity(), nn.Identity())
    x = torch.tensor([[[[1.0, 2], [3, 4]]], [[[3.0, 4], [5, 6]]]])
    found = collect(net, [SITE], [x], maps=True)
    assert torch.equal(found.like("enc1", x), torch.full_like(x, 3.5))
    assert torch.equal(found.map_like("enc1", x)[1, 0], torch.tensor([[2.0, 3], [4, 5]]))


def test_replacements_lie_in_memory_as_the_activation_does():
    net, x = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Identity()), torch.rand(2, 1, 4, 4)
    found = collect(net, [SITE], [x], maps=True)
    activation = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    for instead in (found.like("enc1", activation), found.map_like("enc1", activation)):
        assert instead.is_contiguous(memory_format=torch.channels_last)
        instead[0, 0, 0, 0] = 9  # its own memory in every cell
        assert instead[1, 0, 0, 0] != 9


def test_mistakes_are_named():
    net, x = nn.Sequential(nn.Identity(), nn.Identity()), torch.rand(3, 1, 4, 4)
    with pytest.raises(InputError, match="baselines of 1 slices; give at least 2"):
        collect(net, [SITE], [x[:1]])
    found = collect(net, [SITE], [x], maps=True)
    with pytest.raises(InputError, match="no baseline 'enc2'; the stored sample has enc1"):
        found.like("enc2", x)
    with pytest.raises(InputError, match="has 1 channels; the activation has 2"):
        found.like("enc1", torch.rand(1, 2, 4, 4))
    with pytest.raises(InputError, match="must have the size of the training's"):
        found.map_like("enc1", torch.rand(1, 1, 8, 8))
    with pytest.raises(InputError, match="collect them with maps=True"):
        collect(net, [SITE], [x]).map_like("enc1", x)
