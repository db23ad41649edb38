"""Leakage events: found where planted, refused where anything else explains them."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from measures.flows import flow_of
from segtrace.errors import InputError
from segtrace.measures.leakage import Leakage, leakage
from segtrace.measures.over_cases import over_cases
from segtrace.report.claims.leaks import find_events, strongest, too_few_slices

ORGANS = ("liver", "right_kidney")
GRIDS = {"dec3": 16, "dec4": 32, "dec5": 64, "head": 64}
CASES = ["a", "a", "b", "c"]


def masks(slices: int = 4) -> Tensor:
    found = torch.zeros(2, slices, 64, 64, dtype=torch.bool)
    found[0, :, 10:34, 6:30] = True
    found[1, :, 44:54, 12:22] = True
    return found


def leak(onto: dict[str, float], slices: int = 4) -> Leakage:
    """The liver's maps: ``onto[stage]`` of them on the right kidney, the rest on the liver."""
    places = masks(slices)
    maps = {}
    for stage, side in GRIDS.items():
        organs = torch.nn.functional.adaptive_avg_pool2d(places.float(), side)
        liver, kidney = organs / organs.sum((-2, -1), keepdim=True)
        part = onto.get(stage, 0.0)
        maps[stage] = torch.stack([(1 - part) * liver + part * kidney, kidney])[None]
    return leakage(flow_of(maps, places, organs=ORGANS), places)


def onto_kidney(found: Leakage, name: str, stage: str) -> float:
    """A number over the slices, of the liver's map on the right kidney."""
    at = {"site": stage, "rule": "rule0", "organ": "liver", "onto": "right_kidney"}
    return found.summary[name].sel(at).item()


PLANTED = leak({"dec4": 0.3})
CLEAN = leak({})


def test_the_paper_s_kind_of_observation_is_found() -> None:
    events = find_events(PLANTED, PLANTED, CLEAN, CASES)
    assert [event.sentence for event in events] == [
        "liver leaks onto right kidney at dec4, gone at dec5"
    ]
    event = events[0]
    assert event.checked == ("centered", "untrained")
    assert event.density > 5
    assert 0.2 < event.share < 0.3
    assert (event.slices, event.coarse, event.untrained) == (4, 0, 0)
    assert event.over_cases is not None
    assert event.over_cases.mean.item() == pytest.approx(event.density)
    assert event.detail == (
        "dec4: 11.1 times uniform (mean over cases 11.1, the same in all 3 cases), 27% of the map, "
        "4 slices; perfect coarse map 0.0, untrained 0.0, mirror image 0.0; rule0"
    )


def test_nothing_is_found_where_nothing_leaks() -> None:
    assert find_events(CLEAN, CLEAN, CLEAN, CASES) == []


def test_a_common_mode_of_all_logits_is_no_event() -> None:
    assert find_events(PLANTED, centered=CLEAN) == []


def test_what_the_untrained_network_shows_as_well_is_no_event() -> None:
    assert find_events(PLANTED, untrained=leak({"dec4": 0.35})) == []
    assert len(find_events(PLANTED, untrained=leak({"dec4": 0.25}))) == 1


def test_less_than_a_twentieth_of_the_map_is_no_event() -> None:
    faint = leak({"dec4": 0.055})
    assert onto_kidney(faint, "density", "dec4") > 1.5
    assert find_events(faint) == []


def test_two_slices_are_too_few_and_said_to_be() -> None:
    few = leak({"dec4": 0.3}, slices=2)
    assert find_events(few) == []
    assert too_few_slices(few) == [
        "liver, right kidney: too few slices (2)",
        "right kidney, liver: too few slices (2)",
    ]
    assert too_few_slices(PLANTED) == []


def test_slices_that_count_at_any_stage_are_not_too_few() -> None:
    """A coarse stage's rim may take a neighbour that a finer one still tells apart."""
    counted = PLANTED.data["counted"].copy()
    counted.loc["dec3"] = False
    assert too_few_slices(Leakage(PLANTED.data.assign(counted=counted))) == []
    counted.loc["dec4":, "liver", "right_kidney", :][..., :2] = False
    assert too_few_slices(Leakage(PLANTED.data.assign(counted=counted))) == [
        "liver, right kidney: too few slices (2)"
    ]


def test_an_event_at_the_end_says_that_it_stays() -> None:
    event = find_events(leak({"dec5": 0.3, "head": 0.3}))[0]
    assert event.sentence == "liver leaks onto right kidney at dec5-head, the last stage"
    assert (event.gone, event.over_cases) == (None, None)
    assert "times uniform, " in event.detail


def test_a_stretch_is_named_by_its_first_and_its_last_stage() -> None:
    event = find_events(leak({"dec3": 0.3, "dec4": 0.4, "dec5": 0.3}))[0]
    assert event.sentence == "liver leaks onto right kidney at dec3-dec5, gone at head"
    assert event.peak == "dec4"


def test_a_leak_that_weakens_but_stays_beyond_the_null_is_not_gone() -> None:
    event = find_events(leak({"dec4": 0.3, "dec5": 0.04, "head": 0.04}))[0]
    assert event.stages == ("dec4",)
    assert event.sentence == "liver leaks onto right kidney at dec4, not gone by head"


def test_what_a_uniform_map_puts_there_counts_as_gone() -> None:
    event = find_events(leak({"dec4": 0.3, "dec5": 0.01}))[0]
    assert event.gone == "dec5"


def test_two_stretches_are_two_events() -> None:
    events = find_events(leak({"dec3": 0.4, "dec5": 0.4}))
    assert [event.sentence for event in events] == [
        "liver leaks onto right kidney at dec3, gone at dec4",
        "liver leaks onto right kidney at dec5, gone at head",
    ]


def test_what_a_coarse_grid_spreads_by_itself_is_no_event() -> None:
    # Two organs 9 px apart on cells of 16 px: the perfect map lies on both.
    places = torch.zeros(2, 4, 64, 64, dtype=torch.bool)
    places[0, :, 16:32, 17:24] = True
    places[1, :, 16:32, 33:39] = True
    perfect = torch.nn.functional.avg_pool2d(places.float(), 16)[None]
    found = leakage(flow_of({"enc5": perfect}, places, organs=ORGANS), places)
    assert onto_kidney(found, "density_coarse", "enc5") > 2
    assert onto_kidney(found, "share", "enc5") > 0.05
    assert find_events(found) == []


@pytest.mark.parametrize(("cases", "words"), [("aaaa", "1 case"), ("aabb", "2 cases")])
def test_too_few_cases_have_no_interval_and_say_so(cases: str, words: str) -> None:
    event = find_events(PLANTED, cases=list(cases))[0]
    assert event.over_cases is not None
    assert event.over_cases.low.isnan()
    assert f"{words}, no interval)" in event.detail


def test_cases_that_differ_have_an_interval_as_wide_as_they_are_apart() -> None:
    places, part = masks(), torch.tensor([0.28, 0.32, 0.36, 0.3]).view(4, 1, 1)
    organs = torch.nn.functional.adaptive_avg_pool2d(places.float(), 32)
    liver, kidney = organs / organs.sum((-2, -1), keepdim=True)
    maps = torch.stack([(1 - part) * liver + part * kidney, kidney])[None]
    found = leakage(flow_of({"dec4": maps}, places, organs=ORGANS), places)
    event = find_events(found, cases=CASES)[0]
    over = event.over_cases
    assert over is not None
    # Densities of the cases: proportional to (.28 + .32) / 2, .36 and .3; t of 2 of freedom.
    own = torch.tensor([0.3, 0.36, 0.3]) * event.density / part.mean().item()
    half = 4.302653 * own.std().item() / 3**0.5
    assert over.mean.item() == pytest.approx(own.mean().item(), rel=1e-3)
    assert over.low.item() == pytest.approx(own.mean().item() - half, rel=1e-3)
    assert over.high.item() == pytest.approx(own.mean().item() + half, rel=1e-3)
    assert f"95 % t interval over 3 cases {over.low:.1f} to {over.high:.1f})" in event.detail


def test_the_detail_tells_a_wide_interval_a_denser_mirror_image_and_what_is_not_known() -> None:
    event = find_events(PLANTED, PLANTED, CLEAN, CASES)[0]
    wide = over_cases(torch.tensor([1.0, 1.0, 9.0, 2.0]), CASES, within=(0.0, math.inf))
    told = replace(event, over_cases=wide, mirrored=23.4, untrained=math.nan).detail
    # Mean 4, standard deviation 4.36: half the interval is 10.8, and no density is negative.
    assert "(mean over cases 4.0, 95 % t interval over 3 cases 0.0 to 14.8)" in told
    assert told.endswith("untrained not known, mirror image 23.4; rule0")
    assert "nan" not in told


def test_density_on_the_mirror_image_is_that_of_the_place_on_the_other_side() -> None:
    """Of what leaves the liver two thirds lie where the kidney would be on the other side."""
    places = masks()
    organs = torch.nn.functional.adaptive_avg_pool2d(places.float(), 32)
    liver, kidney = organs / organs.sum((-2, -1), keepdim=True)
    maps = torch.stack([0.55 * liver + 0.15 * kidney + 0.3 * kidney.flip(-1), kidney])[None]
    found = leakage(flow_of({"dec4": maps}, places, organs=ORGANS), places)
    twice = 2 * onto_kidney(found, "density", "dec4")
    assert onto_kidney(found, "density_mirrored", "dec4") == pytest.approx(twice, rel=1e-3)


def test_the_strongest_entries_are_listed_with_their_numbers() -> None:
    lines = strongest(PLANTED, "dec4", "rule0")
    assert len(lines) == 2
    assert lines[0].startswith("liver on right kidney: ")
    assert "4 slices" in lines[0]


def test_leakages_of_other_organs_are_refused() -> None:
    places = masks()
    maps = {stage: torch.ones(1, 2, 4, side, side) for stage, side in GRIDS.items()}
    other = leakage(flow_of(maps, places, organs=("liver", "spleen")), places)
    with pytest.raises(InputError, match="liver, right_kidney and liver, spleen"):
        find_events(PLANTED, untrained=other)
