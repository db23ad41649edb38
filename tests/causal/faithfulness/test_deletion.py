import math
from dataclasses import replace

import pytest
import torch

from helpers import routes as nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.trace import trace
from segtrace.causal.baselines import collect
from segtrace.causal.faithfulness.deletion import WAYS, deletion
from segtrace.causal.faithfulness.verdict import verdicts
from segtrace.labelled import tensor
from segtrace.measures.significance import weakest_p
from segtrace.network.hooks import edit
from segtrace.network.sites import chosen, sites_of

X, TRUTH = nets.blob(6)
ORGAN = {"organ": 1}
CASES = ["a", "b", "c", "d", "e", "f"]
TABLES = 20
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


def test_a_map_of_the_evidence_costs_all_and_chance_little():
    found = played(explained(knowing), where=["anywhere"])
    assert found["lost"].dims == ("where", "site", "rule", "organ", "way", "slice")
    assert found["way"].values.tolist() == list(WAYS)
    lost = {way: tensor(found["lost"].sel(way=way)).flatten() for way in WAYS}
    assert lost["untrained"].isnan().all()
    # the four organ pixels become the mean, which is below the threshold of the head
    assert lost["map"].eq(1).all()
    assert lost["shifted"].mean() < 0.5
    assert lost["random"].mean() < 0.3
    assert not torch.equal(lost["shifted"], lost["random"])
    assert lost["image"].eq(1).all()  # the organ is what is bright: the image alone says as much


def test_what_the_image_alone_says_is_not_supported_and_a_missing_control_is_not_passed():
    flow = explained(knowing)
    (missing,) = verdicts(played(flow, where=["anywhere"]))
    assert missing.verdict == "a control is missing"
    (known,) = verdicts(played(flow, where=["anywhere"], untrained=explained(ignorant)))
    assert known.verdict == "not supported here"
    assert (known.by["map"], known.by["image"], known.by["untrained"]) == (1, 1, 0)
    assert (known.cases, known.slices) == (6, 6)


def test_a_map_of_anything_else_is_not_supported():
    (verdict,) = verdicts(played(explained(ignorant), where=["anywhere"],
                                 untrained=explained(knowing)))  # fmt: skip
    assert verdict.verdict == "not supported here"
    assert verdict.by["map"] == 0


def test_a_map_that_is_positive_on_the_organ_alone_marks_nothing_outside():
    (verdict,) = verdicts(played(explained(knowing), where=["outside"]))
    assert verdict.slices == 0  # no cell outside is positive, so none is removed


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


def lost_by(map_, controls, sites=1):
    """A deletion's result of six cases whose map costs so much, and its controls."""
    lost = torch.full((1, sites, 1, 1, len(WAYS), 6), 0.0).double()
    lost[..., 0, :], lost[..., 1:, :] = map_, controls
    found = played(explained(knowing), where=["anywhere"])
    return found.isel(site=[0] * sites).assign(lost=(found["lost"].dims, lost))


SPREAD = torch.linspace(0.5, 0.7, 6)


def test_a_map_that_costs_more_than_every_control_is_supported():
    (verdict,) = verdicts(lost_by(SPREAD, 0.1))
    assert (verdict.verdict, verdict.by["norm"]) == ("supported", pytest.approx(0.1))
    assert verdict.p == 1 / 64
    assert verdict.beyond["image"][0] > 0.4


@pytest.mark.parametrize("control", WAYS[1:])
def test_one_control_that_is_not_beaten_or_known_of_too_few_cases_refuses(control):
    found = lost_by(SPREAD, 0.1)
    found["lost"].loc[{"way": control}] = 0.6
    assert next(verdicts(found)).verdict == "not supported here"
    if control == "untrained":
        found["lost"].loc[{"way": control}] = 0.1
        found["lost"][..., WAYS.index(control), :2] = math.nan
        assert next(verdicts(found)).verdict == "a control is missing"


@pytest.mark.parametrize("know", ["smooth", "other slice", "image"])
def test_maps_that_know_nothing_are_supported_in_at_most_five_percent_of_tables(know):
    """Of one stage, two rules; the network looks at each pixel alone."""
    generator, made = torch.Generator().manual_seed(0), 0
    flow = explained(knowing, ignorant)
    own = flow.maps["enc1"]
    for _ in range(TABLES):
        noise = torch.randn(own.shape, generator=generator).double()
        field = torch.nn.functional.avg_pool2d(noise[..., :, :].flatten(0, 2)[:, None], 3, 1, 1)
        order = torch.randperm(6, generator=generator)
        maps = {
            "smooth": field.view_as(own),
            "other slice": own[..., order, :, :].roll(1, 3),
            "image": X[:, 0].expand_as(own),
        }[know]
        null = replace(flow, maps={**flow.maps, "enc1": maps})
        found = verdicts(played(null, untrained=explained(ignorant, knowing), draws=2))
        made += any(verdict.verdict == "supported" for verdict in found)
    assert made / TABLES <= 0.05


@pytest.mark.parametrize("cases", [3, 5, 8, 12])
def test_losses_that_are_chance_are_supported_in_at_most_five_percent_of_tables(cases):
    generator, made = torch.Generator().manual_seed(cases), 0
    for _ in range(400):
        lost = torch.rand(20, len(WAYS), cases, generator=generator).double()
        lost[:, 1:-1] = 0  # the hardest null: one control alone is as good
        p = weakest_p(lost[:, :1] - lost[:, 1:])
        made += bool((p <= 0.05).any())
    assert made / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


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
    expected = (first.by["map"] * first.slices + second.by["map"] * second.slices) / pooled.slices
    assert pooled.by["map"] == pytest.approx(expected)


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
                count = min(round(0.25 * cells.numel()), int((cells > 0).sum()))
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
    assert told[-1].done == told[-1].total == 2 * (3 + 2 * 4) * 6


def test_rows_are_plain():
    (verdict,) = verdicts(played(explained(knowing), where=["anywhere"]))
    row = verdict.row()
    assert row["verdict"] == "a control is missing"
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
