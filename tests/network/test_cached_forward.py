import pytest
import torch
from monai.networks.nets import AttentionUnet, DynUNet, UNet
from torch import nn

from helpers.nets import basic_unet, flexible_unet, images, stirred
from segtrace.network.cached_forward import CachedForward, Timetable
from segtrace.network.hooks import edit
from segtrace.network.sites import sites_of
from segtrace.network.stages import Stage

BUILDS = {
    "FlexibleUNet": flexible_unet,
    "BasicUNet": basic_unet,
    "AttentionUnet": lambda: stirred(lambda: AttentionUnet(2, 1, 3, (4, 6, 8), (2, 2))),
    "DynUNet": lambda: stirred(
        lambda: DynUNet(2, 1, 3, (3, 3, 3), (1, 2, 2), (2, 2), filters=(4, 6, 8))
    ),
    "UNet": lambda: stirred(lambda: UNet(2, 1, 3, (4, 6, 8), (2, 2), num_res_units=1)),
}


@pytest.mark.parametrize("name", BUILDS)
def test_a_replayed_cut_equals_the_whole_pass_to_the_last_bit(name):
    net, x = BUILDS[name](), images(1, 32)
    sites = sites_of(net)
    cached = CachedForward.of(net, x, Timetable.of(net, x), sites)
    for _ in range(2):  # the second round would show a record that the first one changed
        for site in sites:
            with torch.no_grad(), edit(net, {site: lambda a: a.roll(1, 1) * 0.5}):
                assert torch.equal(cached.run(site), net(x)), site.name
    with torch.no_grad():
        assert torch.equal(cached.logits, net(x))
    assert not any("forward" in vars(module) for module in net.modules())


def test_what_lies_before_a_cut_does_not_run_again():
    net, x = flexible_unet(), images(1, 32)
    sites = {site.name: site for site in sites_of(net)}
    cached = CachedForward.of(net, x, Timetable.of(net, x), list(sites.values()))
    ran = []
    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, path=path: ran.append(path))
    with edit(net, {sites["skip_3"]: torch.zeros_like}):
        cached.run(sites["skip_3"])
    assert ran
    later = ("decoder.blocks.2", "decoder.blocks.3", "decoder.blocks.4", "segmentation_head")
    assert all(path.startswith(later) for path in ran)


def test_a_module_that_runs_twice_or_is_overwritten_in_place_runs_again():
    shared = nn.Conv2d(1, 1, 3, padding=1)
    net = nn.Sequential(shared, shared, nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True), nn.Identity())
    timetable = Timetable.of(net, torch.randn(1, 1, 4, 4))
    assert timetable.replayable == {"3", "4"}
    assert set(timetable.before(Stage("head", "4"))) == {"3", "4"}


def test_a_forward_set_by_hand_is_there_again_afterwards():
    net, x = nn.Sequential(nn.Identity(), nn.Identity()), torch.ones(1, 1, 2, 2)
    net[0].forward = own = lambda x: 3 * x
    site = Stage("enc1", "0")
    cached = CachedForward.of(net, x, Timetable.of(net, x), [site])
    with edit(net, {site: lambda a: a + 1}):
        assert torch.equal(cached.run(site), 3 * x + 1)
    assert vars(net[0])["forward"] is own
