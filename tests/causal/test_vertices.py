import pytest
import torch
from monai.networks.nets import AttentionUnet, SegResNet, UNet
from torch import nn

from helpers import routes as nets
from helpers.nets import basic_unet, flexible_unet, images, stirred
from segtrace import InputError
from segtrace.causal.vertices import cut_vertices
from segtrace.network.hooks import edit
from segtrace.network.sites import sites_of
from segtrace.network.stages import Stage

BUILDS = {
    "FlexibleUNet": flexible_unet,
    "BasicUNet": basic_unet,
    "AttentionUnet": lambda: stirred(lambda: AttentionUnet(2, 1, 3, (4, 6, 8), (2, 2))),
    "UNet": lambda: stirred(lambda: UNet(2, 1, 3, (4, 6, 8), (2, 2), num_res_units=1)),
    "SegResNet": lambda: stirred(lambda: SegResNet(2, 8, 1, 3, blocks_down=(1, 1), blocks_up=(1,))),
}


@pytest.mark.parametrize("name", BUILDS)
def test_a_cut_vertex_is_a_site_behind_which_the_image_is_forgotten(name):
    """The slow truth: with the site constant, two images give the same logits."""
    net, (one, other) = BUILDS[name](), images(2, 32).split(1)
    sites = sites_of(net)
    vertices = cut_vertices(net, sites, one)
    assert vertices.any()
    assert not vertices.all()
    for site, vertex in zip(sites, vertices.tolist(), strict=True):
        with torch.no_grad(), edit(net, {site: torch.ones_like}):
            forgotten = torch.allclose(net(one), net(other), rtol=0, atol=1e-9)
        assert forgotten == vertex, site.name


def test_the_first_and_last_stages_of_a_u_net_are_cut_vertices_and_edges_are_not():
    net = flexible_unet()
    sites = sites_of(net)
    vertices = cut_vertices(net, sites, images(1, 32))
    found = {site.name for site, vertex in zip(sites, vertices, strict=True) if vertex}
    # dec5 has no skip, so what comes up from dec4 is all it gets.
    assert found == {"enc1", "dec4", "dec5", "up_5", "head"}


def test_a_branch_that_leads_nowhere_is_none():
    net = nets.TwoPaths().double()
    vertices = cut_vertices(net, sites_of(net, nets.TWO_PATHS, {}), images(1, 8))
    assert vertices.tolist() == [False, False, False, True]


def test_logits_without_an_image_are_refused():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, x):
            return self.conv(torch.ones_like(x))

    with pytest.raises(InputError, match="do not depend on the image"):
        cut_vertices(Blind(), [Stage("head", "conv")], torch.rand(1, 1, 4, 4))
