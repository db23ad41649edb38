import pytest
import torch

from attribution.nets import basic_unet, images, labels
from causal import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.trace import trace
from segtrace.causal.cutting import sites_of
from segtrace.causal.gradients import GRADIENT_NORM, gradient_norms, sizes_at


def test_gradient_norms_equal_those_of_the_trace_at_stages():
    net, x, truth = basic_unet(), images(2, 32), labels(2, 32)
    organs = {"a": 1, "c": 3}
    sites = sites_of(net)
    found = gradient_norms(net, sites, x, truth, organs)
    flow = trace(net, None, x, targets.organs(organs, "gt", truth))
    stages = len(flow.stages)
    torch.testing.assert_close(
        found[:stages].nan_to_num(0), flow.gradient_l1.double().nan_to_num(0)
    )
    assert found[:, 1, 1].isnan().all()  # absent from the last slice
    assert found[:, 0].gt(0).all()


def test_gradient_norms_of_a_known_route():
    net, (x, truth) = nets.Routed(0.0, 1.0), nets.blob(2)
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    found = dict(
        zip(
            [site.name for site in sites],
            gradient_norms(net, sites, x, truth, {"organ": 1})[:, 0],
            strict=True,
        )
    )
    assert found["skip_1"].tolist() == [0, 0]
    assert found["up_1"].tolist() == [4, 4]  # the organ's four pixels, weight 1


def test_map_sizes_equal_those_of_the_trace_at_stages():
    net, x, truth = basic_unet(), images(2, 32), labels(2, 32)
    organs, rules = {"a": 1, "c": 3}, ["seg_grad_cam", "grad_pam"]
    found = sizes_at(net, sites_of(net), x, truth, organs, rules)
    flow = trace(net, None, x, targets.organs(organs, "gt", truth), rules)
    assert list(found) == [GRADIENT_NORM, *rules]
    for r, rule in enumerate(rules):
        sizes = torch.stack([m[r].abs().flatten(2).mean(2) for m in flow.maps.values()]).double()
        here = found[rule][: len(sizes)]
        torch.testing.assert_close(here.nan_to_num(0), sizes, rtol=1e-4, atol=1e-7)
        assert here[:, 1, 1].isnan().all()


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_lines_slices_and_volumes_have_the_sizes_that_the_trace_has(dims):
    net, x, truth = nets.dimensional(dims)
    found = sizes_at(
        net, sites_of(net, nets.DIMENSIONAL_STAGES, {}), x, truth, nets.BOTH, ["grad_pam"]
    )
    organs = targets.organs(nets.BOTH, "gt", truth)
    flow = trace(net, nets.DIMENSIONAL_STAGES, x, organs, "grad_pam")
    torch.testing.assert_close(found[GRADIENT_NORM].nan_to_num(0), flow.gradient_l1)
    sizes = torch.stack([m[0].abs().flatten(2).mean(2) for m in flow.maps.values()])
    torch.testing.assert_close(found["grad_pam"].nan_to_num(0), sizes)
    assert found["grad_pam"][:, 1, -1].isnan().all()


def test_map_sizes_of_a_known_route():
    net, (x, truth) = nets.Routed(1.0, 0.0), nets.blob(1)
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    found = sizes_at(net, sites, x, truth, {"organ": 1}, ["grad_pam"])["grad_pam"][:, 0, 0]
    sizes = dict(zip([site.name for site in sites], found.tolist(), strict=True))
    assert sizes["up_1"] == 0
    assert sizes["skip_1"] == pytest.approx(4 / 64)  # four pixels of 1, weight 1, of 64 cells


def test_mistakes_are_named():
    net, (x, truth) = nets.Routed(), nets.blob(2)
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    with pytest.raises(InputError, match="no score 'logits'"):
        gradient_norms(net, sites, x, truth, {"organ": 1}, score="logits")
    with pytest.raises(InputError, match="organ 'spleen' is in none"):
        gradient_norms(net, sites, x, truth, {"spleen": 2})
