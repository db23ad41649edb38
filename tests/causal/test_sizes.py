import pytest
import torch

import segtrace
from attribution import slow
from attribution.nets import basic_unet, images, labels
from causal import nets
from segtrace.attribution import targets
from segtrace.causal.cutting import sites_of
from segtrace.causal.ranking import GRADIENT_NORM, sizes_of


def sizes(net, sites, x, truth, channels, rules=("seg_grad_cam",)):
    organs = targets.organs(channels, "gt", truth)
    return sizes_of(segtrace.trace(net, sites, x, organs, rules))


def test_sizes_at_stages_and_edges_equal_those_of_a_loop():
    net, x, truth = basic_unet(), images(2, 16), labels(2, 16)
    sites = sites_of(net, ["enc5", "dec1"], ["up_1"])
    found = sizes(net, sites, x, truth, {"a": 1, "c": 3}, ["seg_grad_cam", "grad_pam"])
    assert list(found) == [GRADIENT_NORM, "seg_grad_cam", "grad_pam"]
    weights = torch.zeros(2, 4, 16, 16).double()
    weights[:, 1] = truth == 1
    for s, site in enumerate(sites):  # an edge here is what a module puts out
        module = net.get_submodule(site.module)
        activation, gradient = slow.activation_and_gradient(net, module, x, weights)
        for n, pair in enumerate(zip(activation, gradient, strict=True)):
            assert found[GRADIENT_NORM][s, 0, n] == pytest.approx(pair[1].abs().sum().item())
            for rule in (slow.seg_grad_cam, slow.grad_pam):
                expected = rule(*pair).abs().mean().item()
                assert found[rule.__name__][s, 0, n] == pytest.approx(expected)


def test_an_organ_that_is_absent_has_no_size():
    found = sizes(basic_unet(), None, images(2, 32), labels(2, 32), {"a": 1, "c": 3})
    for values in found.values():
        assert values.dtype == torch.float64
        assert values[:, 1, 1].isnan().all()  # of the last slice
        assert values[:, 0].gt(0).all()


def test_gradient_norms_of_a_known_route():
    net, (x, truth) = nets.Routed(0.0, 1.0), nets.blob(2)
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    norms = sizes(net, sites, x, truth, {"organ": 1})[GRADIENT_NORM][:, 0]
    found = dict(zip(sites.names, norms, strict=True))
    assert found["skip_1"].tolist() == [0, 0]
    assert found["up_1"].tolist() == [4, 4]  # the organ's four pixels, weight 1


def test_map_sizes_of_a_known_route():
    net, (x, truth) = nets.Routed(1.0, 0.0), nets.blob(1)
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    maps = sizes(net, sites, x, truth, {"organ": 1}, ["grad_pam"])["grad_pam"][:, 0, 0]
    found = dict(zip(sites.names, maps.tolist(), strict=True))
    assert found["up_1"] == 0
    assert found["skip_1"] == pytest.approx(4 / 64)  # four pixels of 1, weight 1, of 64 cells


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_lines_slices_and_volumes_have_sizes_at_edges_too(dims):
    net, x, truth = nets.dimensional(dims)
    sites = sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES)
    found = sizes(net, sites, x, truth, nets.BOTH, ["grad_pam"])["grad_pam"]
    assert found.shape == (len(sites), 2, len(x))
    assert found[:, 0].gt(0).all()
    assert found[:, 1, -1].isnan().all()
