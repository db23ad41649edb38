import math

import pytest
import torch
import xarray as xr

import segtrace
from helpers import routes as nets
from helpers import slow
from helpers.changed import changed
from helpers.nets import basic_unet, images, labels
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.causal.faithfulness.ranking import (
    CELLS,
    GRADIENT_NORM,
    rankings,
    sizes_of,
)
from segtrace.causal.necessity import Necessity
from segtrace.labelled import tensor
from segtrace.network.sites import sites_of

NOT = "not supported here"
CASES = ("a", "a", "b", "c", "d", "e")
LOSSES = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0]).double()  # the last a cut vertex
GENERATOR = torch.Generator().manual_seed(0)
NOISE = torch.rand(7, 1, 6, generator=GENERATOR, dtype=torch.float64) * 0.02


def table(losses=LOSSES):
    n = len(losses)
    one = torch.ones(1, 6).double()
    dice = 1 - losses[:, None, None] - NOISE[:n]
    vertex = torch.zeros(n, dtype=torch.bool)
    vertex[-1] = True
    return Necessity.from_plain({
        "sites": tuple(f"s{k}" for k in range(n)), "places": ("edge",) * n, "organs": ("organ",),
        "cases": CASES, "cut": "resample", "draws": 6, "score": "logit", "cut_vertex": vertex,
        "whole": {"dice": one, "score": one}, "dice": dice, "scores": dice,
    })  # fmt: skip


def knowing():
    return (LOSSES[:, None, None] + NOISE.flip(2)).clone()


def test_a_predictor_that_knows_is_supported_and_one_upside_down_is_not():
    good, bad = rankings(table(), {"knows": knowing(), "upside down": -knowing()}, {})
    assert (good.verdict, bad.verdict) == ("supported", "not supported here")
    assert good.rho == pytest.approx(1)
    assert good.tau == pytest.approx(1)
    assert good.p == pytest.approx(1 / 720)  # six sites: the cut vertex is left out
    assert (good.sites, good.cases) == (6, 5)
    assert math.isnan(good.low)  # 1 in all cases
    assert bad.p > 0.9


def test_rho_is_the_mean_over_cases_with_its_interval():
    """Cases a, b, c and e rank right; d has two neighbours exchanged: ρ of 1 - 6 · 2 / 210."""
    one = table()
    dice = tensor(one.data["dice"]).clone()
    dice[[2, 3], 0, 4] = dice[[3, 2], 0, 4]
    (found,) = rankings(changed(one, dice=dice), {"knows": knowing()}, {})
    own = torch.tensor([1.0, 1.0, 1.0, 1 - 12 / 210, 1.0]).double()
    assert found.rho == pytest.approx(own.mean().item())
    half = 2.776445 * own.std().item() / 5**0.5  # t of 4 degrees of freedom
    assert found.low == pytest.approx(own.mean().item() - half)
    assert found.high == 1  # no correlation is larger


def test_a_predictor_that_does_not_beat_a_control_is_not_supported():
    depth = torch.arange(7.0)
    control, found = rankings(table(), {"knows": knowing()}, {"depth": depth})
    assert control.predictor == "depth"
    assert control.rho == found.best_control == pytest.approx(1)
    assert math.isnan(found.beyond_low)  # the same in every case
    assert found.verdict == "not supported here"
    _, beaten = rankings(table(), {"knows": knowing()}, {"upside down": -depth})
    assert (beaten.verdict, beaten.p_beyond) == ("supported", 1 / 64)  # 6 sites
    weak = torch.tensor([0.0, 2, 1, 4, 3, 5, 6])
    assert rankings(table(), {"knows": knowing()}, {"weak": weak})[1].verdict == NOT


def test_luck_with_single_sites_that_all_cases_share_is_not_being_above_a_control():
    """Better than the control in every case, by one site of six: no case knows another."""
    control = torch.arange(7.0)
    control[[2, 4]] = control[[4, 2]]
    _, found = rankings(table(), {"knows": knowing()}, {"control": control})
    assert found.beyond_low > 0 or math.isnan(found.beyond_low)  # so in all cases
    assert found.p_beyond > 0.05
    assert found.verdict == NOT


def test_a_predictor_that_ranks_by_chance_is_supported_in_at_most_five_percent_of_tables():
    """Three predictors, a control that knows as little; which is what their p is divided by."""
    generator, made = torch.Generator().manual_seed(0), 0
    for _ in range(40):
        blind = {str(k): torch.rand(7, generator=generator) for k in range(4)}
        control = {"control": blind.pop("3")}
        made += any(one.verdict == "supported" for one in rankings(table(), blind, control))
    assert made / 40 <= 0.05


def test_a_case_is_predicted_by_the_other_cases_alone():
    values = torch.zeros(7, 1, 6).double()
    values[:, 0, 2] = LOSSES  # only case b knows, and b is not to be asked about itself
    (found,) = rankings(table(), {"b": values}, {})
    assert found.cases == 5
    hidden = values.clone()
    hidden[:, 0, [0, 1, 3, 4, 5]] = torch.nan
    (alone,) = rankings(table(), {"b alone": hidden}, {})
    assert alone.cases == 4  # b itself has no other case to be predicted by


def test_where_no_cut_costs_anything_there_is_nothing_to_find():
    found = changed(table(), dice=torch.ones(7, 1, 6).double())
    assert rankings(found, {"knows": knowing()}, {})[0].verdict == "nothing to find"


@pytest.mark.parametrize(("most", "found"), [(0.0099, True), (0.0101, False)])
def test_nothing_is_a_mean_loss_below_a_hundredth_at_every_site(most, found):
    """Whatever the number of cases: five that lose 0.0099 each are as little as one."""
    dice = 1 - LOSSES[:, None, None].expand(7, 1, 6) * (most / 0.5)
    (one,) = rankings(changed(table(), dice=dice.clone()), {"knows": knowing()}, {})
    assert (one.verdict == "nothing to find") is found


def test_too_few_cases_or_sites_give_no_verdict():
    few = changed(table(), case="aabcdd")
    assert rankings(few, {"knows": knowing()}, {})[0].verdict == "too few cases"
    narrow = table(LOSSES[-5:])
    assert rankings(narrow, {"knows": knowing()[-5:]}, {})[0].verdict == "too few cases"


def test_all_organs_together_are_the_mean_of_their_rankings():
    one = table()
    other = changed(one, dice=tensor(one.data["dice"]).flip(0)).data.assign_coords(organ=["other"])
    two = Necessity(xr.concat([one.data, other], "organ", data_vars="minimal"))
    knows = torch.cat([knowing(), knowing()], 1)  # right of the first organ alone
    first, second, pooled = rankings(two, {"knows": knows}, {})
    assert (first.organ, second.organ, pooled.organ) == ("organ", "other", "all")
    assert first.rho == pytest.approx(1)
    assert pooled.rho == pytest.approx((first.rho + second.rho) / 2)
    assert pooled.cases == 5
    assert pooled.verdict == "not supported here"


def test_mistakes_are_named():
    with pytest.raises(InputError, match="cut by 'zero'; rank losses of cut='resample'"):
        rankings(Necessity(table().data.assign_attrs(cut="zero")), {}, {})
    with pytest.raises(InputError, match=r"predictor 'short' has shape \(3,\)"):
        rankings(table(), {"short": torch.ones(3)}, {})


def sizes(net, sites, x, truth, channels, rules=("seg_grad_cam",)):
    organs = targets.organs(channels, "gt", truth)
    return sizes_of(segtrace.trace(net, sites, x, organs, rules))


def test_sizes_at_stages_and_edges_equal_those_of_a_loop():
    net, x, truth = basic_unet(), images(2, 16), labels(2, 16)
    sites = sites_of(net, ["enc5", "dec1"], ["up_1"])
    found = sizes(net, sites, x, truth, {"a": 1, "c": 3}, ["seg_grad_cam", "grad_pam"])
    assert list(found) == [GRADIENT_NORM, CELLS, "seg_grad_cam", "grad_pam"]
    weights = torch.zeros(2, 4, 16, 16).double()
    weights[:, 1] = truth == 1
    for s, site in enumerate(sites):  # an edge here is what a module puts out
        module = net.get_submodule(site.module)
        activation, gradient = slow.activation_and_gradient(net, module, x, weights)
        for n, pair in enumerate(zip(activation, gradient, strict=True)):
            assert found[GRADIENT_NORM][s, 0, n] == pytest.approx(pair[1].abs().sum().item())
            for rule in (slow.seg_grad_cam, slow.grad_pam):
                expected = rule(*pair).abs().sum().item()
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
    assert found["skip_1"] == pytest.approx(4)  # four pixels of 1, weight 1


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_lines_slices_and_volumes_have_sizes_at_edges_too(dims):
    net, x, truth = nets.dimensional(dims)
    sites = sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES)
    found = sizes(net, sites, x, truth, nets.BOTH, ["grad_pam"])["grad_pam"]
    assert found.shape == (len(sites), 2, len(x))
    assert found[:, 0].gt(0).all()
    assert found[:, 1, -1].isnan().all()
