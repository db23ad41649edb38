from dataclasses import replace

import pytest
import torch

from attribution.nets import basic_unet, images, labels
from causal import nets
from segtrace import InputError
from segtrace.causal.baselines import collect
from segtrace.causal.route import Route, route
from segtrace.network.cached_forward import Timetable
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
    for e, edge in enumerate(found.edges):
        weight = weights[["skip_1", "up_1"].index(edge)]
        expected = weight * (1 - means.channels[edge]) * pixels
        torch.testing.assert_close(found.part[e, 0], expected)
        assert float(found.share()[e, 0]) == pytest.approx(weight)
    assert found.stages == ("dec1", "dec1")
    assert float(found.error().max()) < 1e-12


def test_parts_add_to_the_change_and_shares_to_one_within_the_stated_error():
    net, x, truth = basic_unet(), images(3, 32), labels(3, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    found = route(net, x, truth, {"a": 1, "c": 3}, means, steps=16, batch=2)
    assert set(found.stages) == {"dec1", "dec2", "dec3", "dec4"}
    for stage in set(found.stages):
        mine = [e for e, other in enumerate(found.stages) if other == stage]
        parts, change = found.part[mine], found.change[mine[0]]
        missed = (parts.sum(0) - change).abs().nansum() / parts.abs().nansum()
        assert float(missed) < 0.05
        gap = (found.share()[mine].sum(0) - 1).abs()
        torch.testing.assert_close(gap, found.error()[mine[0]])
    assert found.part[:, 1, 2].isnan().all()  # the organ is absent from the last slice
    assert found.share().isfinite().all()


def test_a_share_is_a_ratio_of_sums_and_not_a_mean_of_ratios():
    """Half of a change of 1 and nine tenths of a change of 9 are 8.6 of 10."""
    change = torch.tensor([1.0, 9.0, torch.nan]).double()
    found = Route(
        edges=("skip_1", "up_1"),
        stages=("dec1", "dec1"),
        sources=("enc1", "enc2"),
        organs=("organ",),
        part=torch.stack(
            [change * torch.tensor([0.5, 0.9, 1]), change * torch.tensor([0.5, 0.1, 1])]
        )[:, None],
        change=change.expand(2, 1, 3),
    )
    assert found.share().flatten().tolist() == pytest.approx([0.86, 0.14])
    assert found.shares()[0, 0, :2].tolist() == pytest.approx([0.5, 0.9])
    assert found.rows()[0]["share"] == pytest.approx(0.86)
    assert found.rows()[0]["change"] == 10
    nothing = replace(found, change=torch.zeros(2, 1, 3).double(), part=found.part * 1e-17)
    assert nothing.share().isnan().all()  # a residue of a stage that changes nothing


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_lines_slices_and_volumes_divide_the_change_that_a_loop_finds(dims):
    net, x, truth = nets.dimensional(dims)
    sites = sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES)
    means = collect(net, sites, [x])
    found = route(net, x, truth, nets.BOTH, means, edges=nets.DIMENSIONAL_EDGES, steps=64, batch=1)
    assert found.edges == ("skip_1", "up_1")
    halves = [means.channels[edge].view(1, -1, *[1] * dims) for edge in ("up_1", "skip_1")]
    for n in range(len(x)):
        with torch.no_grad():
            whole = net(x[n : n + 1])[0]
            joined = torch.cat([half.expand(1, 3, *x.shape[2:]) for half in halves], 1)
            without = net.head(net.dec(joined))[0]
        for o, channel in enumerate(nets.BOTH.values()):
            there = truth[n] == channel
            if not there.any():
                assert found.change[:, o, n].isnan().all()
                continue
            change = (whole - without)[channel][there].sum()
            torch.testing.assert_close(found.change[:, o, n], change.expand(2))
            torch.testing.assert_close(found.part[:, o, n].sum(), change, rtol=0.05, atol=0.05)


def test_slices_do_not_depend_on_their_companions():
    net, x, truth = basic_unet(), images(3, 32), labels(3, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    alone = route(net, x, truth, {"a": 1}, means, steps=2, batch=1)
    together = route(net, x, truth, {"a": 1}, means, steps=2, batch=3)
    torch.testing.assert_close(alone.part, together.part)


def test_rows_hold_every_number():
    net = nets.Routed(0.5, 0.5)
    means = collect(net, sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES), [X])
    rows = route(net, X, TRUTH, ORGAN, means, edges=nets.ROUTED_EDGES).rows()
    assert {(row["edge"], row["stage"], row["organ"]) for row in rows} == {
        ("skip_1", "dec1", "organ"),
        ("up_1", "dec1", "organ"),
    }
    assert sum(row["share"] for row in rows) == pytest.approx(1)


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
    assert torch.equal(found.part, found.change)
    assert float(found.share()[0, 0]) == 1


def test_replaying_what_lies_before_the_edges_changes_no_bit(monkeypatch):
    net, x, truth = basic_unet(), images(3, 32), labels(3, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    found = route(net, x, truth, {"a": 1}, means, steps=2)
    monkeypatch.setattr(Timetable, "before", lambda *_sites: ())
    again = route(net, x, truth, {"a": 1}, means, steps=2)
    assert torch.equal(found.part.nan_to_num(), again.part.nan_to_num())
    assert torch.equal(found.change.nan_to_num(), again.change.nan_to_num())


def test_progress_is_told_before_the_start_and_reaches_the_end():
    net, x, truth = basic_unet(), images(3, 32), labels(3, 32)
    means = collect(net, sites_of(net), [images(4, 32, seed=9)])
    seen = []
    route(net, x, truth, {"a": 1}, means, steps=1, batch=2, progress=seen.append)
    assert [p.done for p in seen] == [0, 2, 4, 6, 8, 9, 10, 11, 12]
    assert {p.total for p in seen} == {3 * 4}
    assert seen[0].left > 0
    assert seen[-1].left == 0
