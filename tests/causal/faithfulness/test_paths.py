import pytest
import torch

from helpers import routes as nets
from helpers.nets import basic_unet, images, labels
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.trace import trace
from segtrace.causal.baselines import collect
from segtrace.causal.faithfulness.paths import (
    CONSTANT,
    CONTROLS,
    PATCHING,
    choices,
    pairs,
    sizes,
    usual_side,
)
from segtrace.causal.necessity import necessity
from segtrace.network import edges as edges_of
from segtrace.network.edges import Edge


def measured(net, edges, x, truth, channels, cases):
    named = {edge.name: edge for edge in edges_of.resolve(net, edges)}
    sites = edges_of.resolve(net, named)
    means = collect(net, sites, [x])
    lost = necessity(net, sites, x, truth, channels, means, cases=cases)
    return named, means, lost


@pytest.mark.parametrize(("skip", "up", "first"), [(2.0, 0.0, 1.0), (0.0, 2.0, 1.0)])
def test_where_all_comes_over_one_path_a_map_of_it_names_that_path(skip, up, first):
    net, (x, truth) = nets.Routed(skip, up), nets.blob(3)
    named, means, lost = measured(net, nets.ROUTED_EDGES, x, truth, {"organ": 1}, ["a", "b", "c"])
    found = choices(lost, named, sizes(net, named, x, truth, {"organ": 1}, means))
    assert found["named"].dims == ("predictor", "organ", "stage", "case")
    assert found["lost_overall"].item() * (1 if skip else -1) > 0.5
    for predictor in ("seg_grad_cam", "grad_pam", PATCHING, "gradient norm"):
        assert found["overall"].sel(predictor=predictor).item() == first
        assert found["named"].sel(predictor=predictor).values.ravel().tolist() == [first] * 3


def test_sizes_are_sums_over_cells_and_nan_where_the_organ_is_absent():
    net, x, truth = basic_unet(), images(2, 32), labels(2, 32)
    truth[1][truth[1] == 2] = 0
    channels = {"liver": 1, "spleen": 2}
    named = {edge.name: edge for edge in edges_of.resolve(net)[:4]}
    means = collect(net, edges_of.resolve(net, named), [x])
    found = sizes(net, named, x, truth, channels, means)
    assert set(found) == {"seg_grad_cam", "grad_pam", PATCHING, *CONTROLS[:3]}
    flow = trace(
        net, {}, x, targets.organs(channels, "gt", truth), ("seg_grad_cam", "grad_pam"), edges=named
    )
    for e, name in enumerate(named):
        for r, rule in enumerate(flow.rules):
            for o in range(2):
                for n in range(2):
                    value = float(found[rule][e, o, n])
                    if (o, n) == (1, 1):
                        assert value != value
                    else:
                        assert value == pytest.approx(float(flow.maps[name][r, o, n].abs().sum()))
    values = found["number of values"]
    first = next(iter(named))
    cells = flow.maps[first].shape[-2:]
    assert float(values[0, 0, 0]) % (cells[0] * cells[1]) == 0
    assert bool(torch.equal(found["activation norm"][:, 0, 0], found["activation norm"][:, 1, 0]))


def test_cuts_that_cost_the_same_decide_nothing():
    net, (x, truth) = nets.Routed(1.0, 1.0), nets.blob(3)
    named, _, lost = measured(net, nets.ROUTED_EDGES, x, truth, {"organ": 1}, ["a", "b", "c"])
    same = torch.ones(2, 1, 3).double()
    found = choices(lost, named, {"p": same})
    decided = found["lost_overall"].item()
    named = found["overall"].sel(predictor="p")
    assert (abs(decided) <= 0.05) == (named.isnull().item())
    if abs(decided) > 0.05:
        assert named.item() == 0.5


def test_the_constant_answer_is_the_path_that_is_usually_needed_more():
    for skip, up, side in ((2.0, 0.0, 1), (0.0, 2.0, -1)):
        net, (x, truth) = nets.Routed(skip, up), nets.blob(3)
        named, _, lost = measured(net, nets.ROUTED_EDGES, x, truth, {"organ": 1}, ["a", "b", "c"])
        found = choices(lost, named, {})
        assert found["predictor"].values.tolist() == [CONSTANT]
        assert found["overall"].item() == 1
        assert usual_side(torch.from_numpy(found["lost_overall"].values)) == side
    assert usual_side(torch.tensor([0.3, -0.4, -0.04, -0.01])) == 1  # a tie of what costs apart
    assert usual_side(torch.tensor([0.3, -0.4, -0.06])) == -1


def test_stages_with_one_edge_and_cut_vertices_are_left_out():
    one, two = Edge("up_1", "dec1", "a"), Edge("skip_2", "dec2", "b")
    three = Edge("up_2", "dec2", "c")
    known = {edge.name: edge for edge in (one, two, three)}
    assert pairs(known) == {"dec2": (1, 2)}
    with pytest.raises(InputError, match="no decoder stage has two edges"):
        pairs(known, ["up_2"])
