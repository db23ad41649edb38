import pytest
import torch
from monai.networks.nets import UNet
from torch import nn
from torch.utils.checkpoint import checkpoint

import segtrace
from helpers import routes as nets
from helpers.nets import basic_unet, flexible_unet, images, labels, plain, stirred
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.integrate import integrate
from segtrace.causal.baselines import Baselines, collect
from segtrace.causal.faithfulness.deletion import deletion
from segtrace.causal.necessity import necessity
from segtrace.causal.patching import carry, patch
from segtrace.causal.route import route
from segtrace.network import edges
from segtrace.network.edges import Edge
from segtrace.network.hooks import edit, observe
from segtrace.network.sites import chosen, sites_of
from segtrace.network.stages import Stage

X = torch.rand(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def hooks_on(net):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


def run(net, x, edits=None):
    with torch.no_grad(), edit(net, edits or {}):
        return net(x)


def test_cutting_one_of_two_paths_takes_exactly_its_part_away():
    net = nets.TwoPaths().double()
    (left,) = chosen(sites_of(net, nets.TWO_PATHS, {}), ["enc1"])
    cut = run(net, X, {left: lambda a: torch.full_like(a, 0.25)})
    expected = torch.cat([0.25 + 0 * X, 0.25 + 3 * X], 1)
    torch.testing.assert_close(cut, expected)


def test_cutting_a_branch_that_leads_nowhere_changes_no_bit():
    net = nets.TwoPaths().double()
    (aside,) = chosen(sites_of(net, nets.TWO_PATHS, {}), ["enc3"])
    assert torch.equal(run(net, X, {aside: torch.zeros_like}), run(net, X))


def test_cutting_all_inputs_of_a_stage_cuts_the_stage():
    net = nets.Routed(0.5, 0.5)
    stage = Stage("dec1", "dec")
    both = dict.fromkeys(nets.ROUTED_EDGE.values(), torch.zeros_like)
    assert torch.equal(run(net, X, both), run(net, X, {stage: torch.zeros_like}))


def test_a_hand_built_route_is_the_one_whose_cut_matters():
    for edge, other in (("skip_1", "up_1"), ("up_1", "skip_1")):
        net = nets.Routed(float(edge == "skip_1"), float(edge == "up_1"))
        clean = run(net, X)
        assert not torch.equal(run(net, X, {nets.ROUTED_EDGE[edge]: torch.zeros_like}), clean)
        assert torch.equal(run(net, X, {nets.ROUTED_EDGE[other]: torch.zeros_like}), clean)


@pytest.mark.parametrize("build", [flexible_unet, basic_unet])
def test_looking_at_every_site_of_a_real_network_changes_no_bit(build):
    net, x = build(), images(1, 32)
    sites = sites_of(net)
    assert {site.name for site in sites} >= {"enc1", "dec1", "head", "skip_1", "up_1"}
    with torch.no_grad():
        clean = net(x)
    assert torch.equal(run(net, x, {site: lambda a: a for site in sites}), clean)
    assert torch.equal(run(net, x, dict.fromkeys(sites, torch.clone)), clean)
    assert torch.equal(observe(net, sites, x).logits, clean)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maps_are_the_same_bits_with_edges_beside_the_stages(layout):
    """Kernels round by the layout, also that of a gradient which comes back out of a join."""
    net = stirred(
        lambda: UNet(2, 1, 3, channels=(8, 16, 32), strides=(2, 2), num_res_units=1, norm="batch")
    )
    net = net.float().eval().to(memory_format=layout)
    x, target = images(2, 32).float(), targets.organs({"liver": 1}, "gt", labels(2, 32))
    every = sites_of(net)
    assert any(site.joined == "cat" for site in every if isinstance(site, Edge))
    alone = segtrace.trace(net, None, x, target, ("seg_grad_cam", "grad_pam"))
    beside = segtrace.trace(net, every, x, target, ("seg_grad_cam", "grad_pam"))
    for stage, maps in alone.maps.items():
        assert torch.equal(maps, beside.maps[stage]), stage


@pytest.mark.parametrize("build", [flexible_unet, basic_unet])
def test_a_skip_edge_is_the_encoder_stage_and_its_cut_leaves_what_lies_below(build):
    net, x = build(), images(1, 32)
    seen = observe(net, sites_of(net), x)
    skip, stage = chosen(sites_of(net), ["skip_1", "enc4"])
    assert torch.equal(seen.activations["skip_1"], seen.activations["enc4"])
    below = chosen(sites_of(net), ["enc5"])
    with edit(net, {skip: torch.zeros_like}):
        edge_cut = observe(net, below, x).activations["enc5"]
    with edit(net, {stage: torch.zeros_like}):
        stage_cut = observe(net, below, x).activations["enc5"]
    assert torch.equal(edge_cut, seen.activations["enc5"])
    assert not torch.equal(stage_cut, seen.activations["enc5"])


def test_hooks_are_gone_afterwards_also_after_an_exception():
    net = nets.Routed()
    before, hooks = run(net, X), hooks_on(net)
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)

    def fails(_activation):
        raise KeyError("in the edit")

    with pytest.raises(KeyError), edit(net, dict.fromkeys(sites, fails)):
        net(X)
    assert hooks_on(net) == hooks
    assert torch.equal(run(net, X), before)


def test_a_layout_with_channels_last_is_edited_with_channels_second():
    net = nn.Sequential(nn.Identity())
    site = Stage("enc1", "0", "nhwc")
    x = X.movedim(1, -1)
    shapes = []

    def first_row(activation):
        shapes.append(activation.shape)
        edited = activation.clone()
        edited[:, :, 0] = 0
        return edited

    cut = run(net, x, {site: first_row})
    assert shapes == [(2, 1, 8, 8)]
    assert not cut[:, 0].any()
    assert torch.equal(cut[:, 1:], x[:, 1:])


def test_a_class_token_is_no_cell_and_stays():
    net = nn.Sequential(nn.Identity())
    tokens = torch.rand(2, 5, 3)
    cut = run(net, tokens, {Stage("enc1", "0", "tokens(2, 2)"): torch.zeros_like})
    assert torch.equal(cut[:, 0], tokens[:, 0])
    assert not cut[:, 1:].any()


def test_mistakes_are_named():
    net = nets.Routed()
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    with pytest.raises(InputError, match=r"no site 'skip_2'; this network has .*skip_1"):
        chosen(sites, ["skip_2"])
    with pytest.raises(InputError, match="edge 'enc1' has the name of a stage"):
        sites_of(net, nets.ROUTED_STAGES, {"enc1": nets.ROUTED_EDGES["skip_1"]})
    with pytest.raises(InputError, match=r"the edit of 'enc1' returns \(1, 1\)"):
        run(net, X, {sites[0]: lambda a: torch.zeros(1, 1)})
    with pytest.raises(InputError, match="name them"):
        sites_of(net, nets.ROUTED_STAGES)
    with pytest.raises(InputError, match="holds a tuple"):
        run(Pair(), X, {Edge("skip_1", "dec1", "pair"): torch.zeros_like})


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.pair = Two()

    def forward(self, x):
        return self.pair(x)[0]


class Two(nn.Module):
    def forward(self, x):
        return x, x


# The up path, where its user takes it for the skip.
WRONG = {"skip_1": {"stage": "dec1", "module": "upcat_4", "argument": 0, "source": "enc4"}}
SLICES = images(2, 32), labels(2, 32), {"a": 1}
MEAN = {"skip_1": torch.zeros(8)}


def integrated(net, edges):
    target = targets.organs({"a": 1}, "gt", SLICES[1])
    return integrate(net, None, SLICES[0], target, MEAN, 1, joint=True, edges=edges)


def removed(net, edge):
    flow = integrated(net, {"skip_1": WRONG["skip_1"] | {"source": ""}})
    deletion(net, flow, [edge], *SLICES, cut="zero", draws=1)


CUT = {
    "collect": lambda net, edge: collect(net, [edge], [SLICES[0]]),
    "necessity": lambda net, edge: necessity(net, [edge], *SLICES, cut="zero"),
    "trace": lambda net, edge: segtrace.trace(net, [edge], SLICES[0], targets.organ(1, "all")),
    "carry": lambda net, edge: carry(net, [edge], *SLICES, cases=["p", "q"]),
    "patch": lambda net, edge: patch(net, [edge], SLICES[:2], SLICES[:2], {"a": 1}),
    "deletion": removed,
    "route": lambda net, _edge: route(net, *SLICES, Baselines(MEAN, MEAN, {}, 2), edges=WRONG),
    "integrate": lambda net, _edge: integrated(net, WRONG),
}


@pytest.mark.parametrize("name", CUT)
def test_every_function_looks_at_what_an_edge_carries_before_it_cuts(name):
    net = basic_unet()
    (edge,) = edges.resolve(net, WRONG)
    with pytest.raises(InputError, match=r"edge 'skip_1': what enters upcat_4 .* comes from enc5"):
        CUT[name](net, edge)


class Reused(nn.Module):
    """One ReLU serves two convolutions."""

    def __init__(self):
        super().__init__()
        self.down, self.last = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 3, 1)
        self.deep, self.relu = nn.Conv2d(4, 4, 1), nn.ReLU()
        self.double().eval()

    def forward(self, x):
        return self.last(self.relu(self.deep(self.relu(self.down(x)))))


TWICE = {
    "stage": Stage("twice", "relu"),
    "edge": Edge("twice", "last", "relu"),
    "argument": Edge("twice", "last", "relu", 0),
}
TWO = images(2, 16), labels(2, 16, 3)
ORGANS = {"a": 1, "b": 2}
EVERY = {
    "collect": lambda net, site: collect(net, [site], [TWO[0]]),
    "necessity": lambda net, site: necessity(net, [site], *TWO, ORGANS, cut="zero"),
    "patch": lambda net, site: patch(net, [site], TWO, TWO, ORGANS),
    "carry": lambda net, site: carry(net, [site], *TWO, ORGANS, cases=["p", "q"]),
    "trace": lambda net, site: segtrace.trace(net, [site], TWO[0], targets.organ(1, "all")),
}
"""Every public function that takes sites."""


def integrated_at(net, site):
    joint = {"joint": True, "edges": {"twice": site}} if isinstance(site, Edge) else {}
    stages = None if joint else {"twice": site}
    target, mean = targets.organ(1, "all"), {"twice": torch.zeros(4)}
    integrate(net, stages, TWO[0], target, mean, 1, **joint)


def described(net, site):
    stages = {"down": "down"} if isinstance(site, Edge) else {"twice": site}
    edges = {"twice": site} if isinstance(site, Edge) else {}
    segtrace.describe(net, TWO[0], stages, edges=edges)


@pytest.mark.parametrize("kind", TWICE)
@pytest.mark.parametrize("name", [*EVERY, "integrate", "describe"])
def test_a_place_that_is_passed_twice_is_refused_by_every_function(name, kind):
    function = {**EVERY, "integrate": integrated_at, "describe": described}[name]
    what = "stage" if kind == "stage" else "edge"
    words = rf"^{what} 'twice' \(relu\) runs more than once in a forward pass; name a module that"
    with pytest.raises(InputError, match=words):
        function(Reused(), TWICE[kind])


def test_a_place_may_be_passed_again_in_another_pass_or_when_checkpointing_repeats_it():
    net, seen = Reused(), []
    deep = net.deep.forward
    net.deep.forward = lambda x: checkpoint(lambda y: deep(net.held(y)), x, use_reentrant=False)
    net.held = nn.Identity()
    sites = Stage("once", "down"), Stage("again", "held")
    with edit(net, {site: lambda a, s=site: seen.append(s.name) or a for site in sites}):
        net(TWO[0]).sum().backward()
        net(TWO[0]).sum().backward()
    assert [seen.count(name) for name in ("once", "again")] == [2, 4]


@pytest.mark.parametrize("name", EVERY)
def test_sites_of_another_network_are_refused_by_every_function(name):
    for site, what in ((Stage("a", "conv_0"), "stage"), (Edge("a", "b", "conv_0"), "edge")):
        with pytest.raises(InputError, match=f"^{what} 'a': no module 'conv_0'; this network has"):
            EVERY[name](plain(), site)
    with pytest.raises(InputError, match=r"^edge 'a': no module 'gone'; this network has"):
        EVERY[name](plain(), Edge("a", "b", "1", 0, "cat", "gone"))


@pytest.mark.parametrize("name", EVERY)
def test_scripted_places_are_refused_by_every_function(name):
    net = plain()
    part = nn.Sequential(torch.jit.script(net[:3]), net[3:])
    for whole, path, where in (
        (part, "0", "module '0'"),
        (part, "0.1", "module '0'"),
        (torch.jit.script(net), "1", "the network"),
        (torch.jit.trace(net, TWO[0]), "1", "the network"),
    ):
        with pytest.raises(InputError, match=f"^stage 'a': {where} is scripted by torch.jit"):
            EVERY[name](whole, Stage("a", path))
