import time

import numpy as np
import pytest
import torch
import xarray as xr

from helpers import routes as nets
from helpers.changed import changed
from helpers.nets import basic_unet, flexible_unet, images, labels
from segtrace import InputError
from segtrace.causal.baselines import collect
from segtrace.causal.route import Route, route
from segtrace.labelled import names_along, tensor
from segtrace.network.cached_forward import Timetable
from segtrace.network.edges import resolve
from segtrace.network.sites import sites_of

X, TRUTH = nets.blob(3)
ORGAN = {"organ": 1}


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.75, 0.25)])
def test_the_route_of_a_linear_stage_is_known_by_its_weights(weights):
    net = nets.Routed(*weights)
    means = collect(net, sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES), [X])
    found = route(net, X, TRUTH, ORGAN, means, edges=nets.ROUTED_EDGES)
    # on the organ's pixels skip and up are both 1, so each gives weight * (1 - mean)
    pixels = TRUTH.flatten(1).sum(1)
    for edge in names_along(found.data, "edge"):
        weight = weights[["skip_1", "up_1"].index(edge)]
        expected = weight * (1 - means.channels[edge]) * pixels
        part = tensor(found.data["part"].sel(edge=edge, organ="organ"))
        torch.testing.assert_close(part, expected)
        assert found.summary["share"].sel(edge=edge).item() == pytest.approx(weight)
    assert names_along(found.data, "stage") == ["dec1", "dec1"]
    assert float(found.summary["sum_error"].max()) < 1e-12


def test_parts_add_to_the_change_and_shares_to_one_within_the_stated_error():
    net, x, truth = basic_unet(), images(3, 32), labels(3, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    found = route(net, x, truth, {"a": 1, "c": 3}, means, steps=16, batch=2)
    assert set(names_along(found.data, "stage")) == {"dec1", "dec2", "dec3", "dec4"}
    for _, mine in found.data.groupby("stage"):
        missed = mine["part"].sum("edge", skipna=False) - mine["change"][0]
        assert float(abs(missed).sum() / abs(mine["part"]).sum()) < 0.05
    for _, mine in found.summary.groupby("stage"):
        gap = abs(mine["share"].sum("edge") - 1)
        np.testing.assert_allclose(gap, mine["sum_error"][0])
    assert found.data["part"][:, 1, 2].isnull().all()  # the organ is absent from the last slice
    assert found.summary["share"].notnull().all()


def test_a_share_is_a_ratio_of_sums_and_not_a_mean_of_ratios():
    """Half of a change of 1 and nine tenths of a change of 9 are 8.6 of 10."""
    change = torch.tensor([1.0, 9.0, torch.nan]).double()
    part = torch.stack([change * torch.tensor([0.5, 0.9, 1]), change * torch.tensor([0.5, 0.1, 1])])
    plain = {
        "edges": ("skip_1", "up_1"),
        "stages": ("dec1", "dec1"),
        "sources": ("enc1", "enc2"),
        "organs": ("organ",),
        "part": part[:, None],
        "change": change.expand(2, 1, 3),
    }
    found = Route.from_plain(plain)
    assert found.summary["share"].values.flatten().tolist() == pytest.approx([0.86, 0.14])
    assert found.shares[0, 0, :2].values.tolist() == pytest.approx([0.5, 0.9])
    assert found.summary["change"][0, 0] == 10
    nothing = changed(found, change=torch.zeros(2, 1, 3).double(), part=plain["part"] * 1e-17)
    assert nothing.summary["share"].isnull().all()  # a residue of a stage that changes nothing


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_lines_slices_and_volumes_divide_the_change_that_a_loop_finds(dims):
    net, x, truth = nets.dimensional(dims)
    sites = sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES)
    means = collect(net, sites, [x])
    found = route(net, x, truth, nets.BOTH, means, edges=nets.DIMENSIONAL_EDGES, steps=64, batch=1)
    assert names_along(found.data, "edge") == ["skip_1", "up_1"]
    part, changes = tensor(found.data["part"]), tensor(found.data["change"])
    halves = [means.channels[edge].view(1, -1, *[1] * dims) for edge in ("up_1", "skip_1")]
    for n in range(len(x)):
        with torch.no_grad():
            whole = net(x[n : n + 1])[0]
            joined = torch.cat([half.expand(1, 3, *x.shape[2:]) for half in halves], 1)
            without = net.head(net.dec(joined))[0]
        for o, channel in enumerate(nets.BOTH.values()):
            there = truth[n] == channel
            if not there.any():
                assert changes[:, o, n].isnan().all()
                continue
            change = (whole - without)[channel][there].sum()
            torch.testing.assert_close(changes[:, o, n], change.expand(2))
            torch.testing.assert_close(part[:, o, n].sum(), change, rtol=0.05, atol=0.05)


def test_slices_do_not_depend_on_their_companions():
    net, x, truth = basic_unet(), images(3, 32), labels(3, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    alone = route(net, x, truth, {"a": 1}, means, steps=2, batch=1)
    together = route(net, x, truth, {"a": 1}, means, steps=2, batch=3)
    xr.testing.assert_allclose(alone.data, together.data)


def test_edges_that_are_resolved_are_taken_and_stages_beside_them_passed_over():
    net = nets.Routed(0.5, 0.5)
    found = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    means = collect(net, found, [X])
    named = route(net, X, TRUTH, ORGAN, means, edges=nets.ROUTED_EDGES)
    for edges in (found, found.edges):
        xr.testing.assert_identical(
            route(net, X, TRUTH, ORGAN, means, edges=edges).data, named.data
        )
    with pytest.raises(InputError, match="edges is 'proposed', which needs an image"):
        resolve(net, "proposed")


def test_the_summary_is_found_by_its_names():
    net = nets.Routed(0.5, 0.5)
    means = collect(net, sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES), [X])
    found = route(net, X, TRUTH, ORGAN, means, edges=nets.ROUTED_EDGES).summary
    assert found["share"].dims == ("edge", "organ")
    assert names_along(found, "stage") == ["dec1", "dec1"]
    assert found["share"].sum().item() == pytest.approx(1)


def test_mistakes_are_named():
    net = nets.Routed()
    means = collect(net, sites_of(net, nets.ROUTED_STAGES, {}), [X])
    with pytest.raises(InputError, match="no baseline of 'skip_1'"):
        route(net, X, TRUTH, ORGAN, means, edges=nets.ROUTED_EDGES)
    with pytest.raises(InputError, match="organ 'spleen' is in none"):
        route(net, X, TRUTH, {"spleen": 2}, means, edges=nets.ROUTED_EDGES)
    with pytest.raises(InputError, match="not in the table"):
        route(net, X, TRUTH, ORGAN, means)


def test_what_comes_over_the_only_edge_of_a_stage_is_all_of_the_change():
    net, alone = nets.Routed(0.5, 0.5), {"up_1": nets.ROUTED_EDGES["up_1"]}
    means = collect(net, sites_of(net, nets.ROUTED_STAGES, alone), [X])
    found = route(net, X, TRUTH, ORGAN, means, edges=alone)
    assert (found.data["part"] == found.data["change"]).all()
    assert found.summary["share"].item() == 1


def test_replaying_what_lies_before_the_edges_changes_no_bit(monkeypatch):
    net, x, truth = basic_unet(), images(3, 32), labels(3, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    found = route(net, x, truth, {"a": 1}, means, steps=2)
    monkeypatch.setattr(Timetable, "before", lambda *_sites: ())
    again = route(net, x, truth, {"a": 1}, means, steps=2)
    assert found.data.identical(again.data)


def test_the_first_pass_says_what_is_left_and_progress_reaches_the_end():
    net, x, truth = basic_unet(), images(3, 32), labels(3, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    seen = []
    route(net, x, truth, {"a": 1}, means, steps=1, batch=2, progress=seen.append)
    assert [p.done for p in seen] == [0, 2, 4, 6, 8, 9, 10, 11, 12]
    assert {p.total for p in seen} == {3 * 4}
    assert seen[0].left > 0
    assert seen[-1].left == 0


def test_a_network_in_training_is_left_as_it_was_by_being_timed():
    net, x, truth = flexible_unet(), images(2, 32), labels(2, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    route(net, x, truth, {"a": 1}, means, steps=1, progress=lambda _: None)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_what_is_left_is_not_told_by_the_deepest_stage_alone():
    """A pass sleeps behind the edges of dec1 and nowhere else."""
    net, x, truth = basic_unet(), images(2, 32), labels(2, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    net.upcat_4.convs.register_forward_hook(lambda *_: time.sleep(0.3))
    seen = []
    route(net, x, truth, {"a": 1}, means, steps=1, batch=2, progress=seen.append)
    as_the_first = seen[1].seconds / seen[1].done * seen[1].total
    assert seen[0].left < 0.6 * as_the_first
