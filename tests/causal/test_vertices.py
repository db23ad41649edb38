import pytest
import torch
from monai.networks.nets import AttentionUnet, SegResNet, UNet
from torch import nn

from helpers import routes as nets
from helpers.nets import basic_unet, flexible_unet, images, stirred
from segtrace import InputError
from segtrace.causal.vertices import Wiring
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
    vertices = Wiring.of(net, sites, one).cut_vertices
    assert vertices.any()
    assert not vertices.all()
    for site, vertex in zip(sites, vertices.tolist(), strict=True):
        with torch.no_grad(), edit(net, {site: torch.ones_like}):
            forgotten = torch.allclose(net(one), net(other), rtol=0, atol=1e-9)
        assert forgotten == vertex, site.name


def test_the_first_and_last_stages_of_a_u_net_are_cut_vertices_and_edges_are_not():
    net = flexible_unet()
    sites = sites_of(net)
    vertices = Wiring.of(net, sites, images(1, 32)).cut_vertices
    found = {site.name for site, vertex in zip(sites, vertices, strict=True) if vertex}
    # dec5 has no skip, so what comes up from dec4 is all it gets.
    assert found == {"enc1", "dec4", "dec5", "up_5", "head"}


def test_a_branch_that_leads_nowhere_is_none():
    net = nets.TwoPaths().double()
    vertices = Wiring.of(net, sites_of(net, nets.TWO_PATHS, {}), images(1, 8)).cut_vertices
    assert vertices.tolist() == [False, False, False, True]


def test_logits_without_an_image_are_refused():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, x):
            return self.conv(torch.ones_like(x))

    with pytest.raises(InputError, match="do not depend on the image"):
        Wiring.of(Blind(), [Stage("head", "conv")], torch.rand(1, 1, 4, 4))


@pytest.mark.parametrize("name", BUILDS)
def test_sites_of_one_path_are_those_that_hide_the_image_from_each_other(name):
    """The slow truth: with one of them constant, the other no longer knows of the image."""
    net, (one, other) = BUILDS[name](), images(2, 32).split(1)
    sites = sites_of(net)
    ends = dict(zip([site.name for site in sites], Wiring.of(net, sites, one).path_ends,
                    strict=True))  # fmt: skip
    assert any(end != site for site, end in ends.items())
    behind = _hidden(net, sites, one, other)
    for site in sites:
        for last in sites:
            if ends[site.name] == last.name != site.name:
                assert last.name in behind[site.name], (site.name, last.name)


def _hidden(net, sites, one, other):
    """Site -> the sites that hold the same for both images once it is constant."""
    found = {}
    for site in sites:
        mine, theirs = (_seen(net, sites, site, image) for image in (one, other))
        found[site.name] = {name for name, values in mine.items()
                            if torch.allclose(values, theirs[name], rtol=0, atol=1e-9)}  # fmt: skip
    return found


def _seen(net, sites, constant, image):
    seen = {}
    edits = {at: (lambda x, at=at: seen.setdefault(at.name, x)) for at in sites}
    edits[constant] = lambda x: seen.setdefault(constant.name, torch.ones_like(x))
    with torch.no_grad(), edit(net, edits):
        net(image)
    return seen


def test_what_feeds_one_edge_alone_is_one_path_with_it():
    net = flexible_unet()
    sites = sites_of(net)
    ends = Wiring.of(net, sites, images(1, 32)).path_ends
    found = {site.name: end for site, end in zip(sites, ends, strict=True) if site.name != end}
    # The U below each height is a path of its own; what all run through is one, too.
    inner = {"enc5": "up_1", "enc4": "up_2", "enc3": "up_3", "enc2": "up_4"}
    outer = {"dec1": "up_2", "dec2": "up_3", "dec3": "up_4"}
    assert found == inner | outer | dict.fromkeys(("enc1", "dec4", "up_5", "dec5"), "head")
