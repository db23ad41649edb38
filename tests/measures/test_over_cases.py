"""The interval over cases: by hand, against scipy, and how often it holds what it should."""

import math
import re

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats
from torch import Tensor

from segtrace.errors import InputError
from segtrace.measures.over_cases import (
    COVERAGE,
    by_case,
    in_words,
    intervals,
    method,
    of_cases,
    over_cases,
    over_runs,
)

NAN = math.nan
CASES = ["a", "a", "b", "c"]
EXPERIMENTS = 40_000


def test_slices_are_summed_within_their_case() -> None:
    assert of_cases(torch.tensor([1.0, 2.0, NAN, 5.0]), CASES).tolist() == [3, 0, 5]


def test_every_case_gives_one_number_first() -> None:
    means = by_case(torch.tensor([1.0, 3.0, NAN, 5.0]), CASES)
    assert means[[0, 2]].tolist() == [2, 5]
    assert means[1].isnan()
    ratios = by_case(torch.tensor([1.0, 3, 1, 2]), CASES, torch.tensor([2.0, 6, 4, 0]))
    assert ratios[:2].tolist() == [0.5, 0.25]
    assert ratios[2].isnan()  # nothing to divide by


def test_it_is_the_t_interval_of_the_means_of_cases_by_hand() -> None:
    # Means 2, 5, 8: mean 5, standard deviation 3; t of 2 degrees of freedom is 4.302653.
    found = over_cases(torch.tensor([1.0, 3.0, 5.0, 8.0]), CASES)
    assert found.mean == 5
    assert found.cases == 3
    half = 4.302653 * 3 / math.sqrt(3)
    assert (found.low, found.high) == (pytest.approx(5 - half), pytest.approx(5 + half))


def test_along_a_named_axis_it_is_the_same_and_keeps_the_other_names() -> None:
    numbers = torch.rand(2, 3, 4, dtype=torch.float64)
    numbers[0, 1, 3] = torch.nan
    names = {"site": ["enc1", "head"], "organ": list("xyz"), "case": ("slice", CASES)}
    found = intervals(xr.DataArray(numbers, names, ("site", "organ", "slice")), within=(0.4, 1))
    expected = over_cases(numbers, CASES, within=(0.4, 1))
    for name in ("mean", "low", "high", "cases"):
        np.testing.assert_array_equal(found[name], getattr(expected, name))
        assert found[name].dims == ("site", "organ")
    assert set(found.coords) == {"site", "organ"}


@pytest.mark.parametrize("cases", [3, 4, 5, 8, 12])
def test_it_equals_scipys_interval_whatever_the_number_of_slices(cases: int) -> None:
    generator = torch.Generator().manual_seed(cases)
    sizes = [1 + 3 * c % 5 for c in range(cases)]
    names = [str(c) for c, size in enumerate(sizes) for _ in range(size)]
    values = torch.randn(sum(sizes), generator=generator).double()
    means = [part.mean().item() for part in values.split(sizes)]
    low, high = stats.t.interval(0.95, cases - 1, loc=sum(means) / cases, scale=stats.sem(means))
    found = over_cases(values, names)
    assert found.mean.item() == pytest.approx(sum(means) / cases)
    assert (found.low.item(), found.high.item()) == (pytest.approx(low), pytest.approx(high))


def test_slices_without_a_number_and_cases_without_a_slice_are_left_out_place_by_place() -> None:
    whole = torch.tensor([1.0, 3.0, 4.0, 6.0, 9.0, 2.0])
    names = ["a", "a", "b", "b", "c", "d"]
    gaps = whole.clone()
    gaps[[1, 5]] = NAN
    both = over_cases(torch.stack([whole, gaps, whole * NAN]), names)
    assert both.cases.tolist() == [4, 3, 0]
    less = over_cases(gaps[[0, 2, 3, 4]], [names[n] for n in (0, 2, 3, 4)])
    assert (both.mean[1], both.low[1], both.high[1]) == (less.mean, less.low, less.high)
    assert both.mean[2].isnan()


def test_a_slice_counts_where_both_terms_of_a_ratio_are_known() -> None:
    above = torch.tensor([1.0, NAN, 2.0, 3.0, 5.0])
    below = torch.tensor([2.0, 7.0, 4.0, NAN, 5.0])
    assert by_case(above, ["a", "a", "b", "b", "c"], below).tolist() == [0.5, 0.5, 1]


@pytest.mark.parametrize("cases", [1, 2])
def test_fewer_than_three_cases_have_no_interval(cases: int) -> None:
    names = [str(n % cases) for n in range(6)]
    found = over_cases(torch.arange(6.0), names)
    assert found.cases == cases
    assert found.mean == 2.5
    assert found.low.isnan()
    assert found.high.isnan()
    assert not found.above(-100)
    dropped = over_cases(torch.tensor([1.0, 2.0, 3.0, NAN]), CASES)  # of three, one has no number
    assert dropped.low.isnan()


def test_cases_that_are_all_alike_have_none_either_and_say_so() -> None:
    """A width of 0 would claim certainty: of 3 cases, or of an organ of which all is lost."""
    found = over_cases(torch.tensor([[0.9, 0.9, 0.9, 0.9], [0.5, 0.7, 0.6, 0.6 + 1e-9]]), CASES)
    assert found.low.isnan().all()
    assert found.high.isnan().all()
    assert found.above(0.8).tolist() == [True, False]
    assert found.above(0.9).tolist() == [False, False]
    assert not over_cases(torch.full((4,), 1e-12), CASES).above()  # a residue is not above 0
    assert in_words(NAN, NAN, 3) == "the same in all 3 cases"
    assert in_words(NAN, NAN, 1) == "1 case, no interval"
    dropped = over_cases(torch.tensor([0.9, 0.9, 0.9, NAN, 0.9]), ["a", "b", "c", "d", "e"])
    assert (dropped.cases, dropped.low.isnan()) == (4, True)  # of the four that are there
    near = over_cases(torch.tensor([0.9, 0.9, 0.9, 0.901]), CASES)
    assert near.high > near.low


def test_ends_that_are_not_possible_are_cut_off() -> None:
    values = torch.tensor([0.6, 0.6, 0.9, 1.0])
    free, bound = over_cases(values, CASES), over_cases(values, CASES, within=(0.5, 1.0))
    assert free.low < 0.5
    assert free.high > 1
    assert (bound.low, bound.high, bound.mean) == (0.5, 1, free.mean)


def test_above_asks_the_lower_end() -> None:
    found = over_cases(torch.tensor([[1.0, 1.0, 1.1, 1.2], [0.0, 0.0, 1.0, 2.0]]), CASES)
    assert found.above().tolist() == [True, False]
    assert found.above(found.low[0].item() - 1e-9).tolist() == [True, False]
    assert found.above(found.low[0].item() + 1e-9).tolist() == [False, False]


def test_words_name_method_number_and_coverage() -> None:
    assert method(12) == "95 % t interval over 12 cases"
    assert in_words(-0.001, 0.5, 5) == "0.00 to 0.50"
    assert in_words(-0.5, -0.001, 5) == "-0.50 to 0.00"
    assert in_words(1.23, 4.56, 5, digits=1) == "1.2 to 4.6"
    assert "92 to 95 %" in COVERAGE
    assert "82 to 91 %" in COVERAGE


# How often the interval holds the true mean over cases, 0. Every number is of EXPERIMENTS draws.


def effects(kind: str, cases: int, generator: torch.Generator) -> Tensor:
    """(experiments, cases) of mean 0 and standard deviation 1."""
    shape = (EXPERIMENTS, cases)
    if kind == "normal":
        return torch.randn(shape, generator=generator)
    if kind == "log-normal":
        found = torch.randn(shape, generator=generator).double().exp() - math.exp(0.5)
        return found / math.sqrt(math.e**2 - math.e)
    if kind == "one in ten missed":  # Dice 0.9 or 0, and noise of 0.02
        found = torch.where(torch.rand(shape, generator=generator) < 0.9, 0.09, -0.81)
        return (found + 0.02 * torch.randn(shape, generator=generator)) / 0.27
    return torch.empty(shape).exponential_(generator=generator) - 1


def coverage(
    kind: str, sizes: list[int], noise: float, rooms: tuple[float, float] | None = None
) -> float:
    """With so many slices a case; ``rooms`` gives the terms of a ratio like ``gain``'s."""
    generator = torch.Generator().manual_seed(len(sizes))
    of_case = effects(kind, len(sizes), generator).repeat_interleave(torch.tensor(sizes), -1)
    values = of_case + noise * torch.randn(of_case.shape, generator=generator)
    names = [str(c) for c, size in enumerate(sizes) for _ in range(size)]
    room = torch.ones_like(values)
    if rooms is not None:
        room.uniform_(*rooms, generator=generator)
    found = over_cases(values * room, names, room)
    return float(((found.low <= 0) & (found.high >= 0)).double().mean())


def errors(share: float) -> float:
    """Two Monte-Carlo errors of a coverage."""
    return 2 * math.sqrt(share * (1 - share) / EXPERIMENTS)


@pytest.mark.parametrize("kind", ["normal", "exponential"])
@pytest.mark.parametrize("cases", [3, 5, 8, 12])
def test_it_holds_the_mean_of_all_cases_as_often_as_it_says(cases: int, kind: str) -> None:
    share = coverage(kind, [5] * cases, noise=1.0)
    assert 0.92 - errors(0.92) < share < 0.97 + errors(0.97)
    if kind == "normal":
        assert share == pytest.approx(0.95, abs=errors(0.95))


@pytest.mark.parametrize("cases", [3, 5, 8, 12])
def test_without_noise_between_slices_skewed_cases_are_held_as_often_as_is_said(cases: int) -> None:
    share = coverage("exponential", [5] * cases, noise=0.0)
    assert 0.88 - errors(0.88) < share < 0.91 + errors(0.91)
    assert coverage("normal", [5] * cases, noise=0.0) == pytest.approx(0.95, abs=errors(0.95))


@pytest.mark.parametrize("cases", [3, 5, 8, 12])
def test_log_normal_cases_are_held_as_often_as_is_said(cases: int) -> None:
    share = coverage("log-normal", [1] * cases, noise=0.0)
    assert 0.82 - errors(0.82) < share < 0.85 + errors(0.85)


def test_a_rare_case_that_is_missed_is_held_as_seldom_as_is_said() -> None:
    told = re.search(r"in (\d+), (\d+), (\d+) and (\d+) % at 3, 5, 8 and 12 cases", COVERAGE)
    assert told is not None
    for cases, percent in zip((3, 5, 8, 12), map(int, told.groups()), strict=True):
        share = coverage("one in ten missed", [1] * cases, noise=0.0)
        assert share == pytest.approx(percent / 100, abs=0.005 + errors(share)), cases


@pytest.mark.parametrize("kind", ["normal", "exponential"])
@pytest.mark.parametrize("cases", [3, 5, 8, 12])
def test_unequal_numbers_of_slices_do_not_matter(cases: int, kind: str) -> None:
    one_has_most = [10] + [1] * (cases - 1)
    rising = [1 + 2 * c % 5 for c in range(cases)]
    for sizes in (one_has_most, rising):
        share = coverage(kind, sizes, noise=1.0)
        assert 0.92 - errors(0.92) < share < 0.97 + errors(0.97)


def test_slices_and_cases_that_drop_out_do_not_matter() -> None:
    """Of 8 cases with 2 slices each, half of the slices lack the organ: 6 cases on average."""
    generator = torch.Generator().manual_seed(0)
    of_case = effects("normal", 8, generator).repeat_interleave(2, -1)
    values = of_case + torch.randn(of_case.shape, generator=generator)
    values[torch.rand(values.shape, generator=generator) < 0.5] = NAN
    found = over_cases(values, [str(n // 2) for n in range(16)])
    there = found.cases >= 3
    assert torch.equal(there, found.low.isfinite())
    assert 0.9 < there.double().mean() < 1
    share = float(((found.low <= 0) & (found.high >= 0))[there].double().mean())
    assert share == pytest.approx(0.95, abs=errors(0.95))


@pytest.mark.parametrize("kind", ["normal", "exponential"])
@pytest.mark.parametrize("cases", [3, 5, 8, 12])
def test_a_ratio_of_sums_is_held_as_often(cases: int, kind: str) -> None:
    """Gain over rooms from 0.02, the least there are, to 0.9: a case's own ratio."""
    share = coverage(kind, [5] * cases, noise=1.0, rooms=(0.02, 0.9))
    assert 0.92 - errors(0.92) < share < 0.97 + errors(0.97)


def test_the_interval_scales_with_the_numbers() -> None:
    numbers, names = torch.tensor([2.0, 9, 4, 6]).double(), list("abcd")
    large = over_cases(numbers, names)
    for scale in (1e-7, 1e-3, 1e5):
        found = over_cases(numbers * scale, names)
        assert found.low.item() == pytest.approx(large.low.item() * scale)
        assert found.high.item() == pytest.approx(large.high.item() * scale)


def test_what_rounding_leaves_of_equal_numbers_is_no_spread_and_above_nothing() -> None:
    for numbers in ([0.0, 0, 0], [1e-17, -1e-17, 0], [0.3, 0.1 + 0.2, 0.3], [7e8, 7e8 + 1, 7e8]):
        assert over_cases(torch.tensor(numbers).double(), list("abc")).low.isnan()
    found = over_cases(torch.tensor([1e-8, 1.1e-8, 0.9e-8]).double(), list("abc"))
    assert found.low > 0
    assert not found.above()


@pytest.mark.parametrize(
    "numbers", [[1, 2, 4], torch.tensor([1, 2, 4]), np.array([1, 2, 4]), np.array([1.0, 2, 4])]
)
def test_numbers_of_any_kind_are_taken(numbers: object) -> None:
    found = over_cases(numbers, list("abc"))
    assert found.low == over_cases(torch.tensor([1.0, 2, 4]), list("abc")).low
    assert over_cases(numbers, ("a", "b", "c"), [2, 2, 2]).mean == found.mean / 2


def test_cases_are_told_apart_by_numbers_as_by_names() -> None:
    numbers = torch.tensor([1.0, 3, 5, 8])
    for names in ([1, 1, 2, 3], np.array([1, 1, 2, 3]), torch.tensor([1, 1, 2, 3])):
        assert over_cases(numbers, names).mean == over_cases(numbers, CASES).mean


@pytest.mark.parametrize(
    ("above", "cases", "below", "words"),
    [
        (torch.rand(3), ["a", "b"], None, "2 cases for 3 slices; give the name of a case for each"),
        (torch.rand(3), list("abcd"), None, "4 cases for 3 slices"),
        (torch.tensor(1.0), ["a"], None, r"above is .*; give a number a slice, a tensor \(…, N\)"),
        (torch.rand(2, 0), [], None, "give a number a slice"),
        (["x", "y"], ["a", "b"], None, "give a number a slice"),
        (None, ["a"], None, "above is None; give a number a slice"),
        (torch.rand(3), "abc", None, "cases is 'abc'; give a list of names"),
        (torch.rand(2), ["a", None], None, "cases is .*; give a list of names"),
        (torch.rand(3), list("abc"), torch.rand(2), r"have the shapes \(3,\) and \(2,\)"),
        (torch.rand(2, 3), list("abc"), torch.rand(4, 3), "give both for the same slices"),
    ],
)
def test_what_is_not_one_name_and_number_a_slice_is_refused(
    above: object, cases: object, below: object, words: str
) -> None:
    for call in (over_cases, by_case):
        with pytest.raises(InputError, match=words):
            call(above, cases, below)


def test_runs_give_a_mean_and_a_range_and_one_run_says_so() -> None:
    runs = [torch.tensor([1.0, NAN]), torch.tensor([4.0, NAN]), torch.tensor([NAN, NAN])]
    band = over_runs(runs)
    assert (band.mean[0], band.low[0], band.high[0]) == (2.5, 1, 4)
    assert band.mean[1].isnan()
    assert band.low[1].isnan()
    assert band.label == "3 runs"
    assert over_runs(runs[:1]).label == "one run"
