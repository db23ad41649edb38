"""Leakage events: found where planted, refused where anything else explains them."""

import pytest
import torch
from torch import Tensor

from measures.flows import flow_of
from segtrace.errors import InputError
from segtrace.measures.leakage import Leakage, leakage
from segtrace.report.claims.leaks import (
    FOLLOWS,
    STAYS,
    UNKNOWN,
    events_of,
    find_events,
    held_against,
    strongest,
    too_few_slices,
)

ORGANS = ("liver", "right_kidney")
GRIDS = {"dec3": 16, "dec4": 32, "dec5": 64, "head": 64}


def masks(slices: int = 4) -> Tensor:
    found = torch.zeros(2, slices, 64, 64, dtype=torch.bool)
    found[0, :, 10:34, 6:30] = True
    found[1, :, 44:54, 12:22] = True
    return found


def leak(onto: dict[str, float], slices: int = 8) -> Leakage:
    """The liver's maps: ``onto[stage]`` of them on the right kidney, the rest on the liver.

    The slices differ by up to a tenth of it.
    """
    places = masks(slices)
    maps = {}
    for stage, side in GRIDS.items():
        organs = torch.nn.functional.adaptive_avg_pool2d(places.float(), side)
        liver, kidney = organs / organs.sum((-2, -1), keepdim=True)
        part = onto.get(stage, 0.0) * torch.linspace(0.95, 1.05, slices)[:, None, None]
        maps[stage] = torch.stack([(1 - part) * liver + part * kidney, kidney])[None]
    return leakage(flow_of(maps, places, organs=ORGANS), places)


def onto_kidney(found: Leakage, name: str, stage: str) -> float:
    """A number over the slices, of the liver's map on the right kidney."""
    at = {"site": stage, "rule": "rule0", "organ": "liver", "onto": "right_kidney"}
    return found.summary[name].sel(at).item()


CASES = list("abcdefgh")
CLEAN = leak({})
PLANTED = leak({"dec4": 0.3})


def events(found, centered=None, untrained=CLEAN, cases=CASES, without=()):
    return find_events(found, found if centered is None else centered, untrained, cases, without)


def sentence(event):
    return event.words.split(" (")[0]


def test_the_paper_s_kind_of_observation_is_found_with_its_numbers_and_its_picture() -> None:
    (event,) = events(PLANTED)
    assert (
        sentence(event) == "liver leaks onto right kidney at dec4, within its nulls again at dec5"
    )
    assert event.holds
    assert event.numbers["times uniform"] > 5
    assert 0.2 < event.numbers["share"] < 0.3
    assert (event.numbers["perfect coarse map"], event.numbers["untrained"]) == (0, 0)
    assert event.tests[0].endswith("corrected for 6 tests")  # 2 pairs, 3 stages
    assert str(event).startswith(f"{sentence(event)} (dec4: 1")
    assert str(event).endswith("; leak/rule0/dec4.png)")
    assert "95 % t interval over 8 cases" in str(event)
    assert "nan" not in str(event)


def test_nothing_is_found_where_nothing_leaks_or_a_control_is_missing() -> None:
    assert events(CLEAN) == []
    assert find_events(PLANTED, None, CLEAN, CASES) == []
    assert find_events(PLANTED, PLANTED, None, CASES) == []
    assert events(PLANTED, without=["liver"]) == []


def test_a_common_mode_of_all_logits_is_no_event() -> None:
    assert events(PLANTED, centered=CLEAN) == []


def test_what_the_untrained_network_shows_as_well_is_no_event() -> None:
    assert events(PLANTED, untrained=leak({"dec4": 0.45})) == []
    assert len(events(PLANTED, untrained=leak({"dec4": 0.1}))) == 1


def test_less_than_a_twentieth_of_the_map_is_no_event() -> None:
    faint = leak({"dec4": 0.055})
    assert onto_kidney(faint, "density", "dec4") > 1.5
    assert events(faint) == []


@pytest.mark.parametrize("cases", ["abcd" * 2, "a" * 8])
def test_below_five_cases_nothing_is_claimed(cases) -> None:
    assert events(PLANTED, cases=list(cases)) == []


def test_two_slices_are_too_few_and_said_to_be() -> None:
    few = leak({"dec4": 0.3}, slices=2)
    assert too_few_slices(few) == [
        "liver on right kidney: too few slices (2)",
        "right kidney on liver: too few slices (2)",
    ]
    assert too_few_slices(PLANTED) == []


def test_slices_that_count_at_any_stage_are_not_too_few() -> None:
    """A coarse stage's rim may take a neighbour that a finer one still tells apart."""
    counted = PLANTED.data["counted"].copy()
    counted.loc["dec3"] = False
    assert too_few_slices(Leakage(PLANTED.data.assign(counted=counted))) == []
    counted.loc["dec4":, "liver", "right_kidney", :][..., :6] = False
    assert too_few_slices(Leakage(PLANTED.data.assign(counted=counted))) == [
        "liver on right kidney: too few slices (2)"
    ]


def test_the_head_which_is_the_output_has_no_event() -> None:
    (event,) = events(leak({"dec5": 0.3, "head": 0.3}))
    assert sentence(event) == "liver leaks onto right kidney at dec5, the last stage tested"


def test_a_stretch_is_named_by_its_first_and_its_last_stage() -> None:
    event = events(leak({"dec3": 0.3, "dec4": 0.4, "dec5": 0.3}))[0]
    assert (
        sentence(event)
        == "liver leaks onto right kidney at dec3-dec5, within its nulls again at head"
    )
    assert event.peak == "dec4"


def test_a_leak_that_weakens_but_stays_beyond_the_null_is_not_gone() -> None:
    event = events(leak({"dec4": 0.3, "dec5": 0.04, "head": 0.04}))[0]
    assert event.stages == ("dec4",)
    assert sentence(event) == "liver leaks onto right kidney at dec4, not shown at dec5"


def test_a_leak_is_told_up_to_where_it_was_shown_and_no_further() -> None:
    """To the last stage that was tested, to one where it was not shown, or was not tested."""
    last = events(leak({"dec4": 0.3, "dec5": 0.3, "head": 0.3}))[0]
    assert sentence(last).endswith("at dec4-dec5, up to the last stage tested")
    faint = events(leak({"dec3": 0.3, "dec4": 0.04, "dec5": 0.01}))[0]
    assert sentence(faint).endswith("at dec3, not shown at dec4, within its nulls again at dec5")
    around = events(leak({"dec3": 0.3, "dec4": 0.04, "dec5": 0.35, "head": 0.3}))
    assert sorted(sentence(event) for event in around) == [
        "liver leaks onto right kidney at dec3, not shown at dec4",
        "liver leaks onto right kidney at dec5, the last stage tested",
    ]
    share = leak({"dec3": 0.3, "dec4": 0.3, "dec5": 0.3, "head": 0.3}).data["share"].copy()
    share.loc["dec4", :, "liver"] = float("nan")  # maps that are none
    without = Leakage(leak({"dec4": 0.3}).data.assign(share=share))
    assert sorted(sentence(event) for event in events(without)) == [
        "liver leaks onto right kidney at dec3, not tested at dec4",
        "liver leaks onto right kidney at dec5, the last stage tested",
    ]


def test_what_a_uniform_map_puts_there_counts_as_gone() -> None:
    event = events(leak({"dec4": 0.3, "dec5": 0.01}))[0]
    assert sentence(event).endswith("within its nulls again at dec5")


def test_two_stretches_are_two_events() -> None:
    found = events(leak({"dec3": 0.4, "dec5": 0.4}))
    assert sorted(sentence(event) for event in found) == [
        "liver leaks onto right kidney at dec3, within its nulls again at dec4",
        "liver leaks onto right kidney at dec5, within its nulls again at head",
    ]


def test_what_a_coarse_grid_spreads_by_itself_is_no_event() -> None:
    # Two organs 9 px apart on cells of 16 px: the perfect map lies on both.
    places = torch.zeros(2, 8, 64, 64, dtype=torch.bool)
    places[0, :, 16:32, 17:24] = True
    places[1, :, 16:32, 33:39] = True
    perfect = torch.nn.functional.avg_pool2d(places.float(), 16)[None]
    found = leakage(flow_of({"enc5": perfect}, places, organs=ORGANS), places)
    assert onto_kidney(found, "density_coarse", "enc5") > 2
    assert onto_kidney(found, "share", "enc5") > 0.05
    assert events(found, untrained=found) == []


def test_density_on_the_mirror_image_is_that_of_the_place_on_the_other_side() -> None:
    """Of what leaves the liver two thirds lie where the kidney would be on the other side."""
    places = masks()
    organs = torch.nn.functional.adaptive_avg_pool2d(places.float(), 32)
    liver, kidney = organs / organs.sum((-2, -1), keepdim=True)
    maps = torch.stack([0.55 * liver + 0.15 * kidney + 0.3 * kidney.flip(-1), kidney])[None]
    found = leakage(flow_of({"dec4": maps}, places, organs=ORGANS), places)
    twice = 2 * onto_kidney(found, "density", "dec4")
    assert onto_kidney(found, "density_mirrored", "dec4") == pytest.approx(twice, rel=1e-3)
    empty = leakage(flow_of({"dec4": torch.ones_like(maps)}, places, organs=ORGANS), places)
    assert find_events(found, found, empty, list("abcd")) == []


def test_the_strongest_entries_are_listed_with_their_numbers() -> None:
    lines = strongest(PLANTED, "dec4", "rule0")
    density = PLANTED.summary["density"].sel(site="dec4", rule="rule0")
    assert float(density.sel(organ="right_kidney", onto="liver")) < 1  # no more than anywhere
    assert len(lines) == 1
    assert lines[0].startswith("liver on right kidney: ")
    assert "8 slices" in lines[0]


def test_leakages_of_other_organs_are_refused() -> None:
    places = masks()
    maps = {stage: torch.ones(1, 2, 4, side, side) for stage, side in GRIDS.items()}
    other = leakage(flow_of(maps, places, organs=("liver", "spleen")), places)
    with pytest.raises(InputError, match="liver, right_kidney and liver, spleen"):
        events(PLANTED, untrained=other)


def smooth(generator: torch.Generator, slices: int, shared: float = 0.0) -> Leakage:
    """Of maps that know nothing: smooth fields, four organs, two rules, three stages.

    Organs lie up to 4 px elsewhere from slice to slice, of which two are a case. ``shared``: the
    part of the fields that is the same on all slices.
    """
    places = torch.zeros(4, slices, 48, 48, dtype=torch.bool)
    for organ, (top, left) in enumerate(((4, 4), (4, 30), (28, 4), (28, 30))):
        for n in range(slices):
            down, aside = 5 * (n + organ) % 9 - 4, 7 * (n + 2 * organ) % 9 - 4
            y, x = top + down, left + aside
            places[organ, n, y : y + 14, x : x + 12] = True
    maps = {}
    for stage, side in {"enc1": 24, "dec1": 12, "dec2": 24}.items():
        noise = torch.randn(2, 4, slices, side, side, generator=generator)
        if shared:
            common = torch.randn(2, 4, 1, side, side, generator=generator)
            noise = shared * common + (1 - shared) * noise
        field = torch.nn.functional.avg_pool2d(noise.flatten(0, 2)[:, None], 5, 1, 2)
        maps[stage] = field.view(2, 4, slices, side, side)
    flow = flow_of(maps, places, organs=("a", "b", "c", "d"))
    return leakage(flow, places, cases=[str(n // 2) for n in range(slices)])


@pytest.mark.parametrize(
    "cases", [3, 5, *(pytest.param(n, marks=pytest.mark.long) for n in (8, 12))]
)
def test_maps_that_know_nothing_have_an_event_in_at_most_five_percent_of_texts(cases) -> None:
    generator, texts = torch.Generator().manual_seed(cases), 40
    names = [str(c) for c in range(cases) for _ in range(2)]
    made = 0
    for _ in range(texts):
        found, before = smooth(generator, 2 * cases), smooth(generator, 2 * cases)
        made += bool(find_events(found, found, before, names))
    assert made / texts <= 0.05


def test_a_leak_that_goes_where_the_organ_goes_is_told_from_one_that_stays() -> None:
    places = masks(8)
    for n in range(8):
        places[1, n] = places[1, n].roll((8 * (n % 2) - 4, 10 * (n % 3) - 10), (-2, -1))
    organs = torch.nn.functional.adaptive_avg_pool2d(places.float(), 32)
    liver, kidney = organs / organs.sum((-2, -1), keepdim=True)
    none = leakage(flow_of({"dec4": organs[None]}, places, organs=ORGANS), places)
    part = torch.linspace(0.45, 0.55, 8)[:, None, None]
    for onto, follows in ((kidney, True), (kidney.mean(0), False)):
        maps = torch.stack([(1 - part) * liver + part * onto, kidney])[None]
        (event,) = events(
            leakage(flow_of({"dec4": maps}, places, organs=ORGANS), places), None, none
        )
        assert event.follows == follows
        assert (FOLLOWS if follows else STAYS) in str(event)
        assert (event.numbers["p, other cases"] <= 0.05) == follows


def test_where_an_organ_lies_in_the_same_place_in_all_cases_that_cannot_be_told() -> None:
    (event,) = events(PLANTED)
    assert event.numbers["where it lies in other cases"] == pytest.approx(
        event.numbers["times uniform"], rel=0.01
    )
    assert not event.follows


def test_what_could_not_be_held_against_other_cases_is_not_said_to_stay() -> None:
    tests = held_against(PLANTED, PLANTED, CLEAN, CASES)
    (event,) = events_of(tests.assign(p_others=tests["p"] * torch.nan))
    assert not event.follows
    assert UNKNOWN in str(event)
    assert STAYS not in str(event)
