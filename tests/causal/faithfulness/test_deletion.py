import math

import pytest
import torch

from causal import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.trace import trace
from segtrace.causal.baselines import collect
from segtrace.causal.faithfulness.deletion import WAYS, deletion
from segtrace.causal.faithfulness.verdict import verdicts
from segtrace.labelled import tensor
from segtrace.network.hooks import edit
from segtrace.network.sites import chosen, sites_of

X, TRUTH = nets.blob(6)
ORGAN = {"organ": 1}
CASES = ["a", "b", "c", "d", "e", "f"]
NET = nets.Routed()
SITES = sites_of(NET, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
MEANS = collect(NET, SITES, [X])
(SHALLOW,) = chosen(SITES, ["enc1"])


def knowing(activation, _gradient):
    """The organ itself."""
    return activation[:, 0]


def ignorant(activation, _gradient):
    """Anything but the organ."""
    return -activation[:, 0] + 2


def explained(*rules):
    return trace(NET, nets.ROUTED_STAGES, X, targets.organs(ORGAN, "gt", TRUTH), rules)


def played(flow, **options):
    options = {"cases": CASES, "fractions": (4 / 64,), "draws": 4} | options
    return deletion(NET, flow, [SHALLOW], X, TRUTH, ORGAN, MEANS, **options)


def with_lost(found, lost):
    return found.assign(lost=(found["lost"].dims, lost))


def test_a_map_of_the_evidence_costs_all_and_chance_little():
    found = played(explained(knowing), where=["anywhere"])
    assert found["lost"].dims == ("where", "site", "rule", "organ", "way", "slice")
    assert found["way"].values.tolist() == list(WAYS)
    by_map, by_shifted, by_random, by_untrained = tensor(found["lost"][0, 0, 0, 0])
    assert by_untrained.isnan().all()
    # the four organ pixels become the mean, which is below the threshold of the head
    assert by_map.eq(1).all()
    assert by_shifted.mean() < 0.5
    assert by_random.mean() < 0.3
    assert not torch.equal(by_shifted, by_random)
    (verdict,) = verdicts(found)
    assert verdict.verdict == "supported"
    assert verdict.by_map == 1
    assert verdict.cases == verdict.slices == 6


def test_the_moved_pattern_keeps_its_shape_and_chance_does_not():
    """The organ is a column. Its pattern, moved, covers all of it again or none of it."""
    x = torch.zeros(6, 1, 8, 8).double()
    for n in range(6):
        x[n, :, :, n + 1] = 1
    truth = x[:, 0].long()
    flow = trace(NET, nets.ROUTED_STAGES, x, targets.organs(ORGAN, "gt", truth), [knowing])
    means = collect(NET, SITES, [x])
    found = deletion(
        NET, flow, [SHALLOW], x, truth, ORGAN, means,
        cases=CASES, where=["anywhere"], fractions=(8 / 64,), draws=4,
    )  # fmt: skip
    by_map, by_shifted, by_random, _ = tensor(found["lost"][0, 0, 0, 0])
    assert by_map.eq(1).all()
    assert (4 * by_shifted % 1 == 0).all()  # of four draws, so many lie on the column again
    assert by_shifted.mean() == pytest.approx(7 / 63, abs=0.15)  # 7 of 63 moves go along it
    # One of 8 chance cells is expected in the column, which leaves 2 · 7 / (7 + 8).
    assert by_random.mean() == pytest.approx(1 / 15, abs=0.02)
    assert (4 * by_random % 1 != 0).any()


def test_a_map_of_anything_else_is_not_supported():
    (verdict,) = verdicts(played(explained(ignorant), where=["anywhere"]))
    assert verdict.verdict == "not supported here"
    assert verdict.by_map == 0
    assert verdict.beyond_shifted[0] < 0
    assert verdict.beyond_random[1] < 0


def test_a_network_that_looks_at_each_pixel_alone_has_nothing_to_find_outside():
    (verdict,) = verdicts(played(explained(knowing), where=["outside"]))
    assert verdict.verdict == "nothing to find"
    assert verdict.by_map == verdict.by_random == 0


def test_a_stage_off_the_route_has_nothing_to_find():
    flow = explained(knowing)
    deep = chosen(SITES, ["enc2"])
    found = deletion(
        NET, flow, deep, X, TRUTH, ORGAN, MEANS, cases=CASES, where=["anywhere"], draws=1
    )
    assert not found["lost"].sum()


def test_two_cases_are_too_few():
    found = played(explained(knowing), cases=["a", "a", "a", "b", "b", "b"], where=["anywhere"])
    (verdict,) = verdicts(found)
    assert verdict.verdict == "too few cases"
    assert verdict.cases == 2


def test_a_dead_map_marks_nothing():
    def dead(activation, _gradient):
        return -activation[:, 0]

    found = played(explained(dead), where=["anywhere"])
    assert found["lost"].isnull().all()
    (verdict,) = verdicts(found)
    assert verdict.slices == 0


def test_numbers_are_functions_of_the_seed_and_not_of_the_batch():
    flow = explained(knowing)
    one, other = played(flow, batch=1, seed=5), played(flow, batch=6, seed=5)
    assert one.identical(other)


def test_a_map_that_the_untrained_network_draws_as_well_is_not_supported():
    flow = explained(knowing)
    (known,) = verdicts(played(flow, where=["anywhere"], untrained=flow))
    assert known.verdict == "not supported here"
    assert known.by_untrained == known.by_map == 1
    (beaten,) = verdicts(played(flow, where=["anywhere"], untrained=explained(ignorant)))
    assert beaten.verdict == "supported"
    assert beaten.by_untrained == 0
    assert math.isnan(beaten.beyond_untrained[0])  # 1 more in every case, so there is no interval


def test_an_untrained_map_that_shows_nothing_marks_nothing():
    """Slices 0 and 3 alone have an untrained map; of a dead one, any cells would do."""

    def fading(activation, _gradient):
        return activation[:, 0] * activation[:, 0, :2].amax((-2, -1))[:, None, None]

    found = played(explained(knowing), where=["anywhere"], untrained=explained(fading))
    by_untrained = tensor(found["lost"].sel(way="untrained")).flatten()
    assert by_untrained.isfinite().tolist() == [True, False, False] * 2
    (verdict,) = verdicts(found)
    assert verdict.by_untrained == 1
    assert verdict.verdict == "not supported here"  # known of 2 cases, and not beaten


def test_a_control_that_is_beaten_in_too_few_cases_is_not_beaten():
    """All controls are known, but the untrained network's in two of six cases."""
    lost = torch.zeros(1, 1, 1, 1, len(WAYS), 6).double()
    lost[..., 0, :] = torch.linspace(0.5, 0.7, 6)
    lost[..., 3, 2:] = torch.nan
    found = played(explained(knowing), where=["anywhere"])
    (verdict,) = verdicts(with_lost(found, lost))
    assert verdict.beyond_random[0] > 0.5
    assert (verdict.by_untrained, verdict.verdict) == (0, "not supported here")
    lost[..., 3, 1] = torch.nan
    (one,) = verdicts(with_lost(found, lost))  # known of a single case
    assert (one.by_untrained, one.verdict) == (0, "not supported here")
    lost[..., 3, :3] = 0.1
    (enough,) = verdicts(with_lost(found, lost))
    assert (enough.verdict, enough.by_untrained) == ("supported", pytest.approx(0.1))


def test_every_case_weighs_the_same_however_many_slices_it_has():
    """The mean over cases stands beside its interval: t of 2 degrees of freedom, by hand."""
    lost = torch.zeros(1, 1, 1, 1, len(WAYS), 6).double()
    lost[..., 0, :] = torch.tensor([0.3, 0.3, 0.3, 0.3, 0.5, 0.7])
    lost[..., 1, :] = 0.1
    lost[..., 3, :] = torch.nan
    found = played(explained(knowing), where=["anywhere"])
    (verdict,) = verdicts(with_lost(found, lost).assign_coords(case=("slice", list("aaaabc"))))
    assert (verdict.by_map, verdict.by_shifted) == (pytest.approx(0.5), pytest.approx(0.1))
    half = 4.302653 * 0.2 / 3**0.5
    assert verdict.beyond_shifted == pytest.approx((0.4 - half, 0.4 + half))
    assert (verdict.verdict, verdict.cases) == ("not supported here", 3)


def test_all_organs_together_are_judged_by_their_cases():
    net, both = nets.Routed(), {"organ": 1, "rest": 0}
    flow = trace(net, nets.ROUTED_STAGES, X, targets.organs(both, "gt", TRUTH), [knowing])
    found = deletion(
        net, flow, [SHALLOW], X, TRUTH, both, MEANS,
        cases=CASES, where=["anywhere"], fractions=(4 / 64,), draws=2,
    )  # fmt: skip
    first, second, pooled = verdicts(found)
    assert (first.organ, second.organ, pooled.organ) == ("organ", "rest", "all")
    assert pooled.slices == first.slices + second.slices
    assert pooled.cases == 6
    expected = (first.by_map * first.slices + second.by_map * second.slices) / pooled.slices
    assert pooled.by_map == pytest.approx(expected)


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_cells_of_lines_slices_and_volumes_are_removed_as_in_a_loop(dims):
    net, x, truth = nets.dimensional(dims)
    sites = sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES)
    means = collect(net, sites, [x])
    flow = trace(
        net, nets.DIMENSIONAL_STAGES, x, targets.organs(nets.BOTH, "gt", truth), "grad_pam"
    )
    places = chosen(sites, ["enc1", "enc2"])
    options = {"fractions": (0.25,), "draws": 1}
    found = deletion(net, flow, places, x, truth, nets.BOTH, means, **options)
    for s, site in enumerate(places):
        mean = means.channels[site.name].view(1, -1, *[1] * dims)
        for n in range(len(x)):
            for o, channel in enumerate(nets.BOTH.values()):
                cells = flow.maps[site.name][0, o, n]
                count = round(0.25 * cells.numel())
                marks = cells.flatten().argsort(descending=True, stable=True)[:count]
                there = torch.zeros(cells.numel(), dtype=torch.bool).index_fill_(0, marks, True)
                there = there.view(1, 1, *cells.shape)
                with torch.no_grad(), edit(
                    net, {site: lambda a, t=there, m=mean: torch.where(t, m.expand_as(a), a)}
                ):  # fmt: skip
                    cut = net(x[n : n + 1])[0]
                with torch.no_grad():
                    whole = net(x[n : n + 1])[0]
                slow = [nets.dice_by_hand(logits, truth[n], channel) for logits in (whole, cut)]
                lost = found["lost"][0, s, 0, o, 0, n].item()
                assert lost == pytest.approx(slow[0] - slow[1], abs=1e-6, nan_ok=True)
    assert found["lost"][0, :, :, 0, :3].notnull().all()
    assert abs(found["lost"][0, :, 0, :, 0]).sum() > 0


def test_progress_ends_at_the_number_of_passes_announced():
    told = []
    played(explained(knowing), progress=told.append)
    assert told[0].done == 0
    assert told[-1].done == told[-1].total == 2 * (1 + 2 * 4) * 6


def test_rows_are_plain():
    (verdict,) = verdicts(played(explained(knowing), where=["anywhere"]))
    row = verdict.row()
    assert row["verdict"] == "supported"
    assert row["beyond_random_low"] > 0
    assert all(isinstance(value, str | float | int) for value in row.values())


def test_mistakes_are_named():
    flow = explained(knowing)
    edge = chosen(SITES, ["skip_1"])
    with pytest.raises(InputError, match="no map of 'skip_1'; this flow has enc1"):
        deletion(NET, flow, edge, X, TRUTH, ORGAN, MEANS)
    with pytest.raises(InputError, match="parts between 0 and 1"):
        played(flow, fractions=(1.0,))
    with pytest.raises(InputError, match="no place 'inside'"):
        played(flow, where=["inside"])
    with pytest.raises(InputError, match="the flow explains organ"):
        deletion(NET, flow, [SHALLOW], X, TRUTH, {"liver": 1}, MEANS)
    with pytest.raises(InputError, match="they must be as many"):
        played(flow, cases=["a"])


def test_a_network_with_dice_0_gets_no_verdict():
    net = nets.Routed(0.0, 0.0)
    flow = trace(net, nets.ROUTED_STAGES, X, targets.organs(ORGAN, "gt", TRUTH), [knowing])
    with pytest.raises(InputError, match="Dice for 'organ' is 0 in every slice"):
        deletion(net, flow, [SHALLOW], X, TRUTH, ORGAN, MEANS)
