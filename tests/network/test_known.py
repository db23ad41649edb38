"""Every network of the table: its stages, its edges, and finite differences at each stage."""

import pytest
import torch
from monai.networks import nets

import segtrace
from helpers import nets as own
from helpers.known_checks import (
    check_cuts,
    check_edges,
    check_gradients,
    check_maps,
    logits,
)
from helpers.known_networks import FLAT, MONAI, NETWORKS, TWINS, network
from segtrace.attribution import targets
from segtrace.network import edges, stages
from segtrace.network.altering import altering
from segtrace.network.known.table import NETWORKS as TABLE
from segtrace.network.known.table import find
from segtrace.network.sites import sites_of
from segtrace.network.undisturbed import undisturbed


def test_a_network_without_edges_says_why():
    net, x = network("torchvision FCN")
    told = str(segtrace.describe(net, x)).split("\n")
    (why,) = [line for line in told if line.startswith("no edges: ")]
    assert "takes in the encoder's last feature alone" in why
    for known in TABLE:
        assert bool(known.edgeless) != bool(known.junctions or known.entering), known.name


def test_every_network_of_the_table_is_here():
    found = [find(known.build()) for known in NETWORKS.values()]
    assert {known.name for known in found} == {known.name for known in TABLE}


LARGE = pytest.param("VNet 3-D", marks=pytest.mark.long)  # minutes, in float64


@pytest.mark.parametrize(
    "name", [*(n for n in NETWORKS if n not in ("SwinUNETR 3-D", "VNet 3-D")), LARGE]
)
def test_autograd_is_the_derivative_at_every_stage(name):
    net, _ = network(name)
    check_gradients(net, NETWORKS[name])


@pytest.mark.parametrize("name", [*FLAT, "SegResNetDS 3-D", "BasicUNetPlusPlus 3-D"])
def test_maps_are_those_of_plain_hooks(name):
    net, _ = network(name)
    assert check_maps(net, NETWORKS[name]) < 1e-9


def test_the_largest_network_in_the_table_is_found_in_three_dimensions():
    net, _ = network("SwinUNETR 3-D")
    assert len(stages.resolve(net)) == 12
    assert len(edges.resolve(net)) == 10


def test_monai_s_own_resnet_18_is_caught_cutting_its_gradient():
    net = own.stirred(lambda: nets.FlexibleUNet(1, 3, "resnet18", spatial_dims=2))
    assert segtrace.describe(net, own.images(1, 32)).gradient_cut == (
        "enc1",
        "enc2",
        "enc3",
        "enc4",
    )


@pytest.mark.parametrize("name", FLAT)
def test_looking_at_the_edges_changes_nothing_and_each_one_carries_what_its_source_put_out(name):
    net, _ = network(name)
    check_edges(net, NETWORKS[name])


@pytest.mark.parametrize("name", [n for n in NETWORKS if n in TWINS or NETWORKS[n].halves])
def test_a_cut_costs_what_a_hook_by_hand_costs(name):
    net, _ = network(name)
    check_cuts(net, NETWORKS[name])


@pytest.mark.parametrize("name", [n for n in FLAT if n in MONAI or NETWORKS[n].halves])
def test_skip_and_up_of_a_decoder_stage_are_all_that_enters_it(name):
    net, x = network(name)
    other = NETWORKS[name].images(seed=9)
    with undisturbed(net, x.device):
        settled = sites_of(net).settled(net, x)
    found = [edge for edge in settled.edges if edge.stage == settled.edges[0].stage]
    seen = {}
    last = stages.resolve(net, [found[0].stage])[0]

    def keep(place):
        def look(tensor):
            seen[place.name] = tensor.clone()  # the network may add to it in place
            return tensor

        return look

    with altering(net, {place: keep(place) for place in (*found, last)}):
        logits(net, x)
    there = {}
    stand = {edge: (lambda _, e=edge: seen[e.name].clone()) for edge in found}
    stand[last] = lambda tensor: there.setdefault("out", tensor.clone())
    with altering(net, stand):
        logits(net, other)  # another image, the first one's edges
    torch.testing.assert_close(there["out"], seen[last.name])


@pytest.mark.parametrize("name", ["UNet", "SegResNet", "UNETR"])
def test_every_stage_has_a_map_of_its_own_resolution(name):
    net, x = network(name)
    flow = segtrace.trace(net, None, x, targets.organ(1, "all"), ("seg_grad_cam", "grad_pam"))
    for report in segtrace.describe(net, x).stages:
        assert tuple(flow.maps[report.stage.name].shape[3:]) == report.cells


@pytest.mark.parametrize("name", ["nnU-Net", "torchvision FCN", "BasicUNetPlusPlus"])
def test_an_output_that_is_given_wins_over_the_table(name):
    net, x = network(name)

    def traced(output=None):
        target = targets.organ(1, "all")
        return segtrace.trace(net, None, x, target, "grad_pam", output=output).maps["enc1"]

    pick = {"nnU-Net": lambda out: out[0], "torchvision FCN": lambda out: out["out"]}
    known = pick.get(name, lambda out: out[-1])
    assert torch.equal(traced(), traced(known))
    torch.testing.assert_close(traced(lambda out: 2 * known(out)), 2 * traced())


def test_the_logits_of_segformer_are_resized_as_its_own_loss_resizes_them():
    net, x = network("Segformer of transformers 5")
    coarse = net(x).logits
    assert coarse.shape[2:] == (8, 8)
    resized = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear")
    assert torch.equal(logits(net, x), resized.detach())
    flow = segtrace.trace(net, None, x, targets.organ(1, "gt", torch.ones(1, 32, 32).long()))
    assert flow.region_px.item() == 32 * 32
    flow = segtrace.trace(net, None, x, targets.organ(1, "all"), output=lambda out: out.logits)
    assert flow.prediction.shape[1:] == (8, 8)


def test_of_a_shallower_encoder_the_stages_that_run_are_taken():
    net = NETWORKS["smp Unet"].build()
    assert [s.name for s in stages.resolve(net) if s.name.startswith("enc")][-1] == "enc5"
    net.encoder._depth = 4
    assert [s.name for s in stages.resolve(net) if s.name.startswith("enc")][-1] == "enc4"


def test_a_source_is_counted_from_the_bottleneck():
    net = NETWORKS["smp FPN"].build()
    known = {edge.name: edge.source for edge in edges.resolve(net)}
    assert [known[f"skip_{i}"] for i in (2, 3, 4)] == ["enc4", "enc3", "enc2"]
    net.encoder._depth = 4
    known = {edge.name: edge.source for edge in edges.resolve(net)}
    assert [known[f"skip_{i}"] for i in (2, 3, 4)] == ["enc3", "enc2", "enc1"]
