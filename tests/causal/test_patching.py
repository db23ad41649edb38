import numpy as np
import pytest
import torch

from helpers import routes as nets
from helpers.nets import flexible_unet, images, labels
from segtrace import InputError
from segtrace.causal.patching import came_along, carried_rows, carry, patch
from segtrace.labelled import tensor
from segtrace.measures.over_cases import intervals, over_cases
from segtrace.network.sites import chosen, sites_of

X, TRUTH = nets.blob(4)
A, B = (X[:1], TRUTH[:1]), (X[1:2], TRUTH[1:2])  # squares at places that do not overlap
ORGAN = {"organ": 1}


def sites(net, *names):
    return chosen(sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES), names)


def test_all_of_the_organ_comes_along_the_edge_that_carries_it_and_nothing_over_the_other():
    net = nets.Routed(1.0, 0.0)
    over_skip = patch(net, sites(net, "skip_1"), A, B, ORGAN)
    assert over_skip["own"].item() == 1
    assert over_skip["before"].item() == 0
    assert over_skip["came_along"].item() == 1
    assert over_skip["kept"].item() == 0
    over_up = patch(net, sites(net, "up_1"), A, B, ORGAN)
    assert over_up["came_along"].item() == 0
    assert over_up["kept"].item() == 1


def test_patching_every_input_of_a_stage_makes_it_the_other_slice():
    net = nets.Routed(0.5, 0.5)
    found = patch(net, sites(net, "skip_1", "up_1"), A, B, ORGAN)
    assert (found["after"] == found["own"]).all()


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_lines_slices_and_volumes_are_patched_as_by_hand(dims):
    net, x, truth = nets.dimensional(dims)
    places = chosen(sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES), ["skip_1"])
    a, b = (x[:1], truth[:1]), (x[1:2], truth[1:2])
    found = patch(net, places, a, b, {"a": 1})
    with torch.no_grad():
        mixed = net.head(net.dec(torch.cat((net.up(net.low(net.enc(x[1:2]))), net.enc(x[:1])), 1)))
    assert found["after"].item() == pytest.approx(nets.dice_by_hand(mixed[0], truth[0], 1))
    assert found["kept"].item() == pytest.approx(nets.dice_by_hand(mixed[0], truth[1], 1))


def test_a_slice_patched_with_itself_stays_as_it_is():
    net, x, truth = flexible_unet(), images(2, 32), labels(2, 32)
    places = chosen(sites_of(net), ["skip_2", "up_3"])
    found = patch(net, places, (x, truth), (x, truth), {"a": 1, "b": 2})
    assert found["after"].equals(found["before"])
    assert found["came_along"].isnull().all()  # there is nothing to gain


def test_below_two_hundredths_of_dice_there_is_nothing_to_bring_along():
    own = torch.tensor([[0.519, 0.521, 0.9, 0.4]], dtype=torch.float64)
    before, after = torch.full_like(own, 0.5), torch.full_like(own, 0.51)
    found = came_along(own, before, after)
    assert found[0, [0, 3]].isnan().all()
    assert found[0, 1:3].tolist() == pytest.approx([0.01 / 0.021, 0.01 / 0.4])


def test_mistakes_are_named():
    net = nets.Routed()
    with pytest.raises(InputError, match="no site is named"):
        patch(net, [], A, B, ORGAN)
    with pytest.raises(InputError, match="give as many of the same size"):
        patch(net, sites(net, "skip_1"), A, (X, TRUTH), ORGAN)
    with pytest.raises(InputError, match="organ 'spleen' is in none"):
        patch(net, sites(net, "skip_1"), A, B, {"spleen": 2})


X, TRUTH = nets.blob(6)
CASES = ["a", "a", "b", "b", "c", "c"]
ORGAN = {"organ": 1}


def carried(net, names=("skip_1", "up_1"), **options):
    sites = chosen(sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES), names)
    return carry(net, sites, X, TRUTH, ORGAN, cases=CASES, **options)


def test_all_comes_along_over_the_edge_that_carries_and_nothing_over_the_other():
    found = carried(nets.Routed(1.0, 0.0))
    there = found["came_along"].sel(organ="organ").dropna("slice")  # where the taking slice
    assert there.sizes["slice"]  # does not show it anyway
    assert (there.sel(site="skip_1") == 1).all()
    assert (there.sel(site="up_1") == 0).all()
    assert intervals(found["came_along"])["mean"].values.flatten().tolist() == [1, 0]


def test_the_taking_slice_is_of_another_case():
    found = carried(nets.Routed())
    assert all(CASES[n] != CASES[k] for n, k in enumerate(found["onto"].values))
    assert (carried(nets.Routed(), seed=1)["onto"] != found["onto"]).any()


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_lines_slices_and_volumes_give_what_patching_them_gives(dims):
    net, x, truth = nets.dimensional(dims)
    sites = sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES)
    cases = [str(n) for n in range(len(x))]
    edges = chosen(sites, ["skip_1", "up_1"])
    found = carry(net, edges, x, truth, {"a": 1}, cases=cases)
    for n, k in enumerate(found["onto"].values):
        for s, edge in enumerate(edges):
            one = patch(net, [edge], (x[[n]], truth[[n]]), (x[[k]], truth[[k]]), {"a": 1})
            np.testing.assert_allclose(found["after"][s, :, n], one["after"][:, 0])


def test_batches_do_not_matter():
    one, other = carried(nets.Routed(), batch=1), carried(nets.Routed(), batch=6)
    assert one.identical(other)


def test_intervals_are_over_cases_and_rows_are_plain():
    found = carried(nets.Routed())
    over = intervals(found["came_along"])
    assert over["cases"].values.flatten().tolist() == [3, 3]
    assert over["low"].isnull().all()  # all came along in every case, or nothing
    own = found["came_along"].copy(data=[[[0.0, 1.0, 0.5, torch.nan, 0.2, 0.4]]] * 2)
    spread = intervals(own)
    assert spread["mean"][0, 0] == pytest.approx((0.5 + 0.5 + 0.3) / 3)
    assert spread["high"][0, 0] == over_cases(tensor(own[0, 0]), CASES).high
    rows = carried_rows(found)
    assert len(rows) == 2 * 1 * 6
    assert rows[0]["site"] == "skip_1"
    assert rows[0]["case"] == "a"
    assert all(isinstance(value, str | float | int) for value in rows[0].values())


def test_mistakes_in_carrying_are_named():
    net = nets.Routed()
    with pytest.raises(InputError, match="no site is named"):
        carry(net, [], X, TRUTH, ORGAN, cases=CASES)
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    with pytest.raises(InputError, match="organ 'spleen' is in none"):
        carry(net, sites, X, TRUTH, {"spleen": 5}, cases=CASES)
    with pytest.raises(InputError, match="at least 2 slices"):
        carry(net, sites, X[:1], TRUTH[:1], ORGAN, cases=CASES[:1])
