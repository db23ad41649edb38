"""Maps at edges, and sites that are resolved once."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import segtrace
from attribution.test_trace import BOTH, near, of_organs, weights_at
from helpers import nets, slow
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.network import edges, stages
from segtrace.network.sites import Sites, chosen, sites_of


class Tap(nn.Module):
    """Where a loop takes hold of a wire."""

    def forward(self, x):
        return x.clone()


class Wired(nn.Module):
    """Every kind of edge, and a module on each wire, of which the edges know nothing."""

    def __init__(self, way, writes=False):
        super().__init__()
        self.enc, self.low = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.skip, self.up = Tap(), Tap()
        self.dec = nn.Conv2d(4 if way == "cat" else 2, 3, 3, padding=1)
        self.first = nn.ReLU(inplace=writes)
        self.way = way

    def forward(self, x):
        enc = self.enc(x)
        skip, up = self.skip(enc), self.up(self.low(enc).tanh())
        joined = torch.cat((up, skip), 1) if self.way == "cat" else up * up + skip
        return self.dec(self.first(joined) if self.way == "whole" else joined)


def wired(way):
    joined = {"joined": way, "beside": "skip"} if way != "whole" else {}
    taken = {"stage": "dec", "module": "first" if way == "whole" else "dec", "argument": 0}
    return {
        "cat": {"up_1": taken | joined, "skip_1": taken | joined | {"beside": "up"}},
        # Half of this sum is no module's output: it is what is left of it beside the other.
        "add": {"up_1": taken | joined, "skip_1": {"stage": "dec", "module": "skip"}},
        "whole": {"all": taken},
    }[way]


def loop(net, tap, x, weights):
    """Of the wire that passes the tap, its maps under both rules and κ, slice by slice."""
    activation, gradient = slow.activation_and_gradient(net, tap, x, weights)
    pairs = list(zip(activation, gradient, strict=True))
    return (
        torch.stack([slow.seg_grad_cam(*pair) for pair in pairs]),
        torch.stack([slow.grad_pam(*pair) for pair in pairs]),
        [slow.kappa(one) for one in gradient],
        gradient.abs().flatten(1).sum(1),
    )


@pytest.mark.parametrize("way", ["cat", "add"])
def test_maps_of_edges_equal_the_equations_written_as_loops(way):
    net, x = nets.stirred(lambda: Wired(way)), nets.images(2, 6)
    mask = nets.labels(2, 6) == 1
    weights = weights_at(1, mask, 3)
    flow = segtrace.trace(net, {"enc1": "enc"}, x, weights, BOTH, edges=wired(way))
    assert flow.sites == flow.stages == ("enc1", "up_1", "skip_1")
    taps = {"skip_1": net.skip} | ({"up_1": net.up} if way == "cat" else {})
    for s, name in enumerate(flow.sites):
        if name in taps:
            cam, pam, kappa, l1 = loop(net, taps[name], x, weights)
            near(flow.maps[name][0, 0], cam)
            near(flow.maps[name][1, 0], pam)
            assert flow.kappa[s, 0].tolist() == pytest.approx(kappa)
            torch.testing.assert_close(flow.gradient_l1[s, 0], l1)
    assert (flow.status == Status.OK).all()


@pytest.mark.parametrize("way", ["cat", "add", "whole"])
def test_no_edge_changes_the_map_of_a_stage_before_it(way):
    net, x = nets.stirred(lambda: Wired(way)), nets.images(2, 6)
    weights = weights_at(1, nets.labels(2, 6) == 1, 3)
    alone = segtrace.trace(net, {"enc1": "enc"}, x, weights, BOTH)
    flow = segtrace.trace(net, {"enc1": "enc"}, x, weights, BOTH, edges=wired(way))
    torch.testing.assert_close(flow.maps["enc1"], alone.maps["enc1"])
    assert torch.equal(flow.scores, alone.scores)


def test_of_a_sum_an_edge_is_what_is_left_beside_the_other():
    net, x = nets.stirred(lambda: Wired("add")), nets.images(1, 6)
    weights = weights_at(0, nets.labels(1, 6) == 1, 3)
    flow = segtrace.trace(net, {}, x, weights, BOTH, edges=wired("add"))
    up = net.up(net.low(net.enc(x)).tanh()).detach() ** 2
    gradient = slow.activation_and_gradient(net, net.skip, x, weights)[1]  # a sum's parts share it
    near(flow.maps["up_1"][0, 0], slow.seg_grad_cam(up[0], gradient[0])[None])
    near(flow.maps["up_1"][1, 0], slow.grad_pam(up[0], gradient[0])[None])


@pytest.mark.parametrize("build", [nets.flexible_unet, nets.basic_unet])
def test_an_edge_that_is_a_stages_output_has_its_map_and_changes_no_other(build):
    net, x, target = build(), nets.images(2, 32), of_organs(nets.labels(2, 32))
    alone = segtrace.trace(net, None, x, target, BOTH)
    own = stages.resolve(net)
    outputs = {f"out of {one.name}": {"stage": "", "module": one.module} for one in own}
    outputs = {name: place | {"stage": "dec1"} for name, place in outputs.items()}
    every = outputs | {edge.name: edge for edge in edges.resolve(net)}
    flow = segtrace.trace(net, None, x, target, BOTH, edges=every)
    assert torch.equal(flow.prediction, alone.prediction)
    assert torch.equal(flow.scores, alone.scores)
    for s, stage in enumerate(alone.stages):
        torch.testing.assert_close(flow.maps[stage], alone.maps[stage])
        edge = flow.sites.index(f"out of {stage}")
        torch.testing.assert_close(flow.maps[f"out of {stage}"], alone.maps[stage])
        for name in ("kappa", "gradient_l1"):
            found, expected = getattr(flow, name)[edge], getattr(alone, name)[s]
            torch.testing.assert_close(found, expected, equal_nan=True)
        assert torch.equal(flow.status[edge], alone.status[s])


def test_an_edge_takes_in_what_its_encoder_stage_puts_out_and_a_part_of_its_gradient():
    net, x, target = nets.basic_unet(), nets.images(1, 32), of_organs(nets.labels(1, 32))
    found = segtrace.trace(net, ["enc4"], x, target, "grad_pam", edges=["skip_1"])
    assert found.maps["skip_1"].shape == found.maps["enc4"].shape
    assert not torch.allclose(found.maps["skip_1"], found.maps["enc4"])
    assert (found.gradient_l1[1, :2] > 0).all()  # the third is in no slice


@pytest.mark.parametrize("none", [None, {}, []], ids=repr)
def test_without_edges_it_is_the_trace_of_the_stages_to_the_bit(none):
    net, x, target = nets.basic_unet(), nets.images(1, 32), of_organs(nets.labels(1, 32))
    alone, flow = (segtrace.trace(net, None, x, target, **e) for e in ({}, {"edges": none}))
    assert flow.stages == alone.stages
    assert all(torch.equal(flow.maps[name], alone.maps[name]) for name in alone.stages)
    assert torch.equal(flow.status, alone.status)


def test_what_is_overwritten_behind_an_edge_is_recorded_as_it_passed():
    nets_ = [nets.stirred(lambda w=writes: Wired("whole", w)) for writes in (False, True)]
    x, weights = nets.images(1, 6), weights_at(1, nets.labels(1, 6) == 1, 3)
    kept, written = (segtrace.trace(n, {}, x, weights, edges=wired("whole")) for n in nets_)
    assert torch.equal(kept.maps["all"], written.maps["all"])
    assert kept.maps["all"].abs().sum() > 0


class Checkpointed(Wired):
    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


@pytest.mark.parametrize("way", ["cat", "add", "whole"])
def test_edges_under_checkpointing_have_the_maps_that_they_have_without(way):
    x, weights = nets.images(1, 6), weights_at(1, nets.labels(1, 6) == 1, 3)
    plain, saved = (
        segtrace.trace(nets.stirred(lambda c=c: c(way)), {}, x, weights, edges=wired(way))
        for c in (Wired, Checkpointed)
    )
    for name, expected in plain.maps.items():
        assert torch.equal(saved.maps[name], expected)


def test_the_statuses_of_edges_are_those_of_stages():
    net, x, truth = nets.basic_unet(norm="instance"), nets.images(2, 32), nets.labels(2, 32)
    flow = segtrace.trace(
        net, ["dec1"], x, of_organs(truth), BOTH, edges=["skip_1"], gradient_cut=["skip_1"]
    )
    here = flow.status[flow.sites.index("skip_1")]
    assert (here[:, 2, 1] == Status.ABSENT).all()
    assert (here[:, :2] == Status.GRADIENT_CUT).all()
    bare = segtrace.trace(net, ["dec1"], x, of_organs(truth), BOTH, edges=["skip_1"])
    assert (bare.status[1, 0, :2] == Status.GAP_DEGENERATE).all()
    assert (bare.status[1, 1, :2] == Status.OK).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"edges": {"dec1": {"stage": "dec1", "module": "conv_0"}}}, "has the name of a stage"),
        ({"edges": ["skip_9"]}, "no edge 'skip_9'"),
        ({"edges": "skip_1"}, r"give a list, \['skip_1'\]"),
        ({"stages": {}, "edges": {}}, "no stage is named"),
        ({"edges": ["skip_1"], "gradient_cut": ["skip_2"]}, "no stage 'skip_2'"),
    ],
)
def test_mistakes_are_named(given, words):
    x = nets.images(1, 32)
    call = {"net": nets.basic_unet(), "stages": ["dec1"], "image": x, "target": targets.organ(1)}
    with pytest.raises(InputError, match=words):
        segtrace.trace(**call | given)


def test_resolved_sites_are_taken_as_they_are():
    net, x, target = nets.basic_unet(), nets.images(1, 32), of_organs(nets.labels(1, 32))
    sites = sites_of(net, ["enc1", "dec1"], ["skip_1"])
    assert isinstance(sites, Sites)
    assert (len(sites.stages), len(sites.edges)) == (2, 1)
    assert sites.names == ("enc1", "dec1", "skip_1")
    named = segtrace.trace(net, ["enc1", "dec1"], x, target, edges=["skip_1"])
    for known in (sites, sites.settled(net, x)):
        flow = segtrace.trace(net, known, x, target)
        assert flow.sites == sites.names
        assert all(torch.equal(flow.maps[name], named.maps[name]) for name in sites.names)
    assert chosen(sites, ["skip_1"]) == sites[2:]
    with pytest.raises(InputError, match="no module"):
        segtrace.trace(nets.plain(), sites, x, target)


def test_what_is_integrated_and_described_may_be_resolved_too():
    net, x = nets.basic_unet(), nets.images(1, 16)
    target = of_organs(nets.labels(1, 16))
    sites = sites_of(net, ["dec1"], ["up_1"])
    means = {"dec1": torch.zeros(8), "up_1": torch.zeros(4)}
    both = segtrace.integrate(net, sites, x, target, means, 2)
    alone = segtrace.integrate(net, ["dec1"], x, target, means, 2)
    assert both.sites == sites.names
    assert torch.equal(both.maps["dec1"], alone.maps["dec1"])
    joint = segtrace.integrate(net, sites.stages, x, target, means, 2, joint=True, edges=["up_1"])
    torch.testing.assert_close(both.maps["up_1"], joint.maps["up_1"])
    named, resolved = (segtrace.describe(net, x, s, edges={}) for s in (["dec1"], sites.stages))
    assert named == resolved
