from dataclasses import replace

import pytest
import torch

from causal import nets
from segtrace import InputError
from segtrace.attribution.sites import chosen, sites_of
from segtrace.causal.carrying import carry
from segtrace.causal.patching import patch
from segtrace.measures.over_cases import over_cases

X, TRUTH = nets.blob(6)
CASES = ["a", "a", "b", "b", "c", "c"]
ORGAN = {"organ": 1}


def carried(net, names=("skip_1", "up_1"), **options):
    sites = chosen(sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES), names)
    return carry(net, sites, X, TRUTH, ORGAN, cases=CASES, **options)


def test_all_comes_along_over_the_edge_that_carries_and_nothing_over_the_other():
    found = carried(nets.Routed(1.0, 0.0))
    there = ~found.came_along[0, 0].isnan()  # where the taking slice does not show it anyway
    assert there.any()
    assert found.came_along[0, 0][there].eq(1).all()
    assert found.came_along[1, 0][there].eq(0).all()
    assert found.mean().flatten().tolist() == [1, 0]


def test_the_taking_slice_is_of_another_case():
    found = carried(nets.Routed())
    assert all(CASES[n] != CASES[k] for n, k in enumerate(found.onto))
    assert carried(nets.Routed(), seed=1).onto != found.onto


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_lines_slices_and_volumes_give_what_patching_them_gives(dims):
    net, x, truth = nets.dimensional(dims)
    sites = sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES)
    cases = [str(n) for n in range(len(x))]
    edges = chosen(sites, ["skip_1", "up_1"])
    found = carry(net, edges, x, truth, {"a": 1}, cases=cases)
    for n, k in enumerate(found.onto):
        for s, edge in enumerate(edges):
            one = patch(net, [edge], (x[[n]], truth[[n]]), (x[[k]], truth[[k]]), {"a": 1})
            torch.testing.assert_close(found.after[s, :, n], one.after[:, 0])


def test_batches_do_not_matter():
    one, other = carried(nets.Routed(), batch=1), carried(nets.Routed(), batch=6)
    assert torch.equal(one.came_along.nan_to_num(9), other.came_along.nan_to_num(9))


def test_intervals_are_over_cases_and_rows_are_plain():
    found = carried(nets.Routed())
    over = found.over_cases()
    assert over.cases.flatten().tolist() == [3, 3]
    assert over.mean.flatten().tolist() == [1, 0]
    assert over.low.isnan().all()  # all came along in every case, or nothing
    own = torch.tensor([0.0, 1.0, 0.5, torch.nan, 0.2, 0.4]).expand_as(found.came_along)
    spread = replace(found, came_along=own.double()).over_cases()
    expected = over_cases(own[0, 0].double(), CASES)
    assert spread.mean[0, 0] == pytest.approx((0.5 + 0.5 + 0.3) / 3)
    assert spread.high[0, 0] == expected.high
    rows = found.rows()
    assert len(rows) == 2 * 1 * 6
    assert rows[0]["site"] == "skip_1"
    assert rows[0]["case"] == "a"
    assert all(isinstance(value, str | float | int) for value in rows[0].values())


def test_mistakes_are_named():
    net = nets.Routed()
    with pytest.raises(InputError, match="no site is named"):
        carry(net, [], X, TRUTH, ORGAN, cases=CASES)
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    with pytest.raises(InputError, match="organ 'spleen' is in none"):
        carry(net, sites, X, TRUTH, {"spleen": 5}, cases=CASES)
    with pytest.raises(InputError, match="at least 2 slices"):
        carry(net, sites, X[:1], TRUTH[:1], ORGAN, cases=CASES[:1])
