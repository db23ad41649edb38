"""Volumes: one plane of them gives the numbers of the slice, and what takes none says the cost."""

import pytest
import torch
from torch import nn

from helpers import nets
from helpers.explaining import ORGANS, TRUTH, X
from segtrace import InputError, explainers
from segtrace.attribution import targets
from segtrace.attribution.trace import trace
from segtrace.causal.baselines import collect
from segtrace.causal.faithfulness.deletion import deletion
from segtrace.network.sites import sites_of
from segtrace.report.files import load_maps
from segtrace.report.tables import read_table

STAGES = {"enc1": "1", "enc2": "3"}


def plane_wise(net):
    """The same network on volumes, whose planes do not see each other."""
    layers = []
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            (a, b), (s, t), (p, q) = layer.kernel_size, layer.stride, layer.padding
            twin = nn.Conv3d(layer.in_channels, layer.out_channels, (1, a, b), (1, s, t), (0, p, q))
            twin.load_state_dict({"weight": layer.weight[:, :, None], "bias": layer.bias})
            layer = twin
        elif isinstance(layer, nn.Upsample):
            layer = nn.Upsample(scale_factor=(1, 2, 2))
        layers.append(layer)
    return nn.Sequential(*layers).double().eval()


NET = nets.plain()
NET3 = plane_wise(NET)


def called(name, net, x, truth, activation="softmax", **options):
    organs = {organ: {"channel": c, "label": c} for organ, c in ORGANS.items()}
    if activation == "sigmoid":
        truth = torch.stack([truth == c for c in range(3)], 1)
    return getattr(explainers, name)(
        net, STAGES, x, organs, truth, region="gt", activation=activation, **options
    )


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", ["ablation_cam", "kernel_weighted", "attribution_patching"])
def test_a_volume_of_one_plane_gives_the_numbers_of_the_slice(name, activation, tmp_path):
    options = {"cut": "zero", "edges": {}} if name == "attribution_patching" else {}
    flat = called(name, NET, X, TRUTH, activation, **options)
    deep = called(name, NET3, X[:, :, None], TRUTH[:, None], activation, **options)
    one, other = (
        (found.maps if options else found).explained.record.flow for found in (flat, deep)
    )
    for stage in one.stages:
        torch.testing.assert_close(other.maps[stage][..., 0, :, :], one.maps[stage])
    torch.testing.assert_close(other.scores, one.scores)
    assert torch.equal(other.status, one.status)
    folders = tmp_path / "flat", tmp_path / "deep"
    for folder, found in zip(folders, (flat, deep), strict=True):
        found.write(folder)
    kept = load_maps(folders[1] / "maps.npz").flow
    assert torch.equal(kept.maps["enc2"], other.maps["enc2"])
    rows = read_table(folders[1] / "measures.csv")
    assert len(rows) == len(STAGES) * len(ORGANS) * len(X)
    gains = [[row["gain"] for row in read_table(folder / "measures.csv")] for folder in folders]
    assert gains[0] == gains[1]
    assert len(deep.section().figures) >= len(ORGANS)
    if options:
        for number in ("estimate", "score_lost", "dice_lost"):
            a, b = (torch.from_numpy(found.estimates[number].values) for found in (flat, deep))
            torch.testing.assert_close(a, b, equal_nan=True)


def test_planes_that_see_each_other_are_explained_together():
    net = nets.stirred(
        lambda: nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 3, 1))
    )
    x, truth = X[:2].reshape(1, 1, 2, 16, 16), TRUTH[:2].reshape(1, 2, 16, 16)
    flow = explainers.ablation_cam(net, {"enc": "1"}, x, ORGANS, truth, region="gt")
    activation = net[:2](x)
    mask = truth[0] == 1
    whole = net[2](activation)[0, 1][mask].sum()
    expected = torch.zeros(2, 16, 16, dtype=torch.float64)
    for k in range(4):
        cut = activation.clone()
        cut[:, k] = 0
        expected += (whole - net[2](cut)[0, 1][mask].sum()) / whole.abs() * activation[0, k]
    torch.testing.assert_close(flow.explained.record.flow.maps["enc"][0, 0, 0], expected.detach())


def test_cells_of_a_volume_of_one_plane_are_deleted_as_those_of_the_slice():
    found, whole, organs = [], NET(X).argmax(1), {"a": 1}
    for net, x, truth in ((NET, X, whole), (NET3, X[:, :, None], whole[:, None])):
        sites = sites_of(net, {"enc2": "3"}, {})
        flow = trace(net, sites, x, targets.organs(organs, "gt", truth, "softmax"), ("grad_pam",))
        means = collect(net, sites, [x])
        found.append(deletion(net, flow, sites, x, truth, organs, means, draws=2,
                              where=("anywhere",), activation="softmax"))  # fmt: skip
    own = ["map", "image", "norm"]  # the others are drawn by chance, in as many dimensions
    a, b = (torch.from_numpy(one["lost"].sel(way=own).values.copy()) for one in found)
    torch.testing.assert_close(a, b, equal_nan=True)
    assert found[1]["lost"].sel(way=["shifted", "random"]).notnull().any("slice").all()


@pytest.mark.parametrize(
    ("name", "cost"),
    [
        ("rise", "1000 forward passes of each volume"),
        ("kernel_shap", r"\d+ forward passes of each volume"),
    ],
)
def test_what_takes_no_volumes_says_what_one_would_cost(name, cost):
    with pytest.raises(InputError, match=f"{cost}.*; give a 2-D network and its slices, or take"):
        getattr(explainers, name)(NET3, X[:, :, None], ORGANS, TRUTH[:, None])
