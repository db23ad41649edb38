"""Every network of the table: its stages, its edges, and finite differences at each stage."""

import pytest
import torch
from monai.networks import nets

import segtrace
from helpers import nets as own
from segtrace.attribution import targets
from segtrace.network import edges, hooks, stages
from segtrace.network.known import JUNCTIONS, STAGES

NARROW = (8, 8, 4, 4, 4)
HEADS = {"num_heads": (1, 1, 2, 2), "depths": (1, 1, 1, 1), "window_size": 4}


def dyn_unet(dims, **options):
    return nets.DynUNet(
        dims,
        1,
        3,
        [3] * 4,
        [1, 2, 2, 2],
        [2] * 3,
        filters=(4, 6, 8, 8),
        norm_name="batch",
        **options,
    )


def unetr(dims):
    pytest.importorskip("einops", reason="MONAI's transformers need einops")
    sizes = {"hidden_size": 12, "mlp_dim": 16, "num_heads": 2}
    return nets.UNETR(1, 3, 32, 2, spatial_dims=dims, norm_name="batch", **sizes)


def swin_unetr(dims):
    pytest.importorskip("einops", reason="MONAI's transformers need einops")
    return nets.SwinUNETR(1, 3, feature_size=12, spatial_dims=dims, norm_name="batch", **HEADS)


# name -> network, side of the image, axes, encoder and decoder stages
NETWORKS = {
    "FlexibleUNet": (own.flexible_unet, 32, 2, 5, 5),
    "FlexibleUNet 3-D": (
        lambda: own.FlexibleUNet(1, 3, "resnet10", decoder_channels=NARROW, spatial_dims=3),
        32, 3, 5, 5,
    ),
    "FlexibleUNet EfficientNet": (
        lambda: own.FlexibleUNet(1, 3, "efficientnet-b0", decoder_channels=NARROW),
        32, 2, 5, 5,
    ),
    "BasicUNet": (own.basic_unet, 32, 2, 5, 4),
    "BasicUNet 3-D": (
        lambda: nets.BasicUNet(3, 1, 3, features=(2, 2, 4, 4, 4, 2), norm="batch"), 16, 3, 5, 4,
    ),
    "UNet": (lambda: nets.UNet(2, 1, 3, (4, 6, 8, 8), (2, 2, 2), norm="batch"), 32, 2, 4, 2),
    "UNet residual": (
        lambda: nets.UNet(2, 1, 3, (4, 6, 8), (2, 2), num_res_units=2, norm="batch"), 32, 2, 3, 1,
    ),
    "UNet 3-D": (lambda: nets.UNet(3, 1, 3, (4, 6, 8), (2, 2), norm="batch"), 16, 3, 3, 1),
    "AttentionUnet": (lambda: nets.AttentionUnet(2, 1, 3, (4, 6, 8), (2, 2)), 32, 2, 3, 2),
    "AttentionUnet 3-D": (lambda: nets.AttentionUnet(3, 1, 3, (4, 6, 8), (2, 2)), 16, 3, 3, 2),
    "SegResNet": (lambda: nets.SegResNet(2, 8, 1, 3), 32, 2, 4, 3),
    "SegResNet 3-D": (lambda: nets.SegResNet(3, 8, 1, 3), 16, 3, 4, 3),
    "DynUNet": (lambda: dyn_unet(2, deep_supervision=True), 32, 2, 4, 3),
    "DynUNet 3-D": (lambda: dyn_unet(3, res_block=True), 16, 3, 4, 3),
    "UNETR": (lambda: unetr(2), 32, 2, 5, 4),
    "UNETR 3-D": (lambda: unetr(3), 32, 3, 5, 4),
    "SwinUNETR": (lambda: swin_unetr(2), 64, 2, 6, 5),
    "SwinUNETR 3-D": (lambda: swin_unetr(3), 64, 3, 6, 5),
    "VNet": (lambda: nets.VNet(2, 1, 3, dropout_dim=2), 32, 2, 5, 4),
    "VNet 3-D": (lambda: nets.VNet(3, 1, 3), 32, 3, 5, 4),
}  # fmt: skip
FLAT = [name for name in NETWORKS if "3-D" not in name]


def network(name):
    build, side, axes, *_ = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    return own.stirred(build), torch.rand(1, 1, *[side] * axes, generator=generator).double()


def test_every_network_of_the_table_is_here():
    assert {name.split()[0] for name in NETWORKS} == set(STAGES) == set(JUNCTIONS)


@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "SwinUNETR 3-D"])
def test_autograd_is_the_derivative_at_every_stage(name):
    net, x = network(name)
    *_, encoders, decoders = NETWORKS[name]
    described = segtrace.describe(net, x)
    names = [report.stage.name for report in described.stages]
    counted = [f"enc{i + 1}" for i in range(encoders)] + [f"dec{i + 1}" for i in range(decoders)]
    assert names == [*counted, "head"]
    assert described.gradient_cut == ()
    for report in described.stages:
        assert report.gradient == pytest.approx(report.quotient, rel=1e-3), report.stage.name
        assert report.gradient != 0


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
def test_looking_at_the_edges_changes_nothing_and_each_one_carries_something(name):
    net, x = network(name)
    seen = {}

    def look_at(edge):
        return lambda tensor: seen.setdefault(edge.name, tensor)

    with torch.no_grad():
        expected = net(x)
        found = edges.resolve(net)
        with hooks.altering(net, {edge: look_at(edge) for edge in found}):
            assert torch.equal(net(x), expected)
        for edge in found:
            assert seen[edge.name].shape[0] == 1
            with hooks.altering(net, {edge: torch.zeros_like}):
                assert not torch.equal(net(x), expected), edge.name
        assert torch.equal(net(x), expected)  # and the wires are whole again


@pytest.mark.parametrize("name", FLAT)
def test_skip_and_up_of_a_decoder_stage_are_all_that_enters_it(name):
    net, x = network(name)
    other = torch.rand(x.shape, generator=torch.Generator().manual_seed(9)).double()
    found = [edge for edge in edges.resolve(net) if edge.name.endswith("_1")]
    seen = {}
    last = stages.resolve(net, [found[0].stage])[0]

    def keep(place):
        return lambda tensor: seen.setdefault(place.name, tensor.clone())

    with torch.no_grad():
        with hooks.altering(net, {place: keep(place) for place in (*found, last)}):
            net(x)
        there = {}
        stand = {edge: (lambda _, e=edge: seen[e.name]) for edge in found}
        stand[last] = lambda tensor: there.setdefault("out", tensor.clone())
        with hooks.altering(net, stand):
            net(other)  # another image, the first one's edges
    torch.testing.assert_close(there["out"], seen[last.name])


@pytest.mark.parametrize("name", ["UNet", "SegResNet", "UNETR"])
def test_every_stage_has_a_map_of_its_own_resolution(name):
    net, x = network(name)
    flow = segtrace.trace(net, None, x, targets.organ(1, "all"), ("seg_grad_cam", "grad_pam"))
    for report in segtrace.describe(net, x).stages:
        assert tuple(flow.maps[report.stage.name].shape[3:]) == report.cells
