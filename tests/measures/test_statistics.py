import math

import pytest
import torch

from segtrace.measures.localisation import over_slices
from segtrace.measures.statistics import (
    against_untrained,
    echo,
    interval,
    intervals,
    of_cases,
    over_runs,
)

NAN = math.nan
CASES = ["a", "a", "b", "c"]


def test_slices_are_summed_within_their_case() -> None:
    assert of_cases(torch.tensor([1.0, 2.0, NAN, 5.0]), CASES).tolist() == [3, 0, 5]


def test_the_interval_draws_cases_and_not_slices() -> None:
    # Two cases with a constant each: only (a,a), (a,b), (b,b) can be drawn.
    above = torch.tensor([0.0] * 5 + [1.0] * 5)
    ends = interval(above, torch.ones(10), ["a"] * 5 + ["b"] * 5)
    assert ends.tolist() == [0, 1]
    alone = interval(above, torch.ones(10), [str(i) for i in range(10)])
    assert alone[0] > 0
    assert alone[1] < 1


def test_fewer_than_two_cases_have_no_interval() -> None:
    assert interval(torch.rand(4), torch.ones(4), ["a"] * 4).isnan().all()
    one_left = torch.tensor([1.0, 2.0, NAN, NAN])
    assert interval(one_left, one_left * 0 + 1, CASES).isnan().all()


def test_the_interval_is_a_function_of_its_seed() -> None:
    values = torch.rand(20, generator=torch.Generator().manual_seed(0))
    cases = [str(i // 2) for i in range(20)]
    first, again, other = (interval(values, values * 0 + 1, cases, seed=s) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_interval_covers_the_mean_of_the_cases_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    # 300 experiments of 12 cases with 3 slices each; the slices of a case are nearly the same.
    cases = [str(i // 3) for i in range(36)]
    means = torch.randn(300, 12, generator=generator).repeat_interleave(3, -1)
    values = means + 0.1 * torch.randn(300, 36, generator=generator)
    ends = interval(values, torch.ones_like(values), cases, draws=500)
    covered = ((ends[:, 0] < 0) & (ends[:, 1] > 0)).double().mean()
    assert 0.85 < covered < 0.98  # percentile intervals of 12 cases are a little short


def test_intervals_hold_the_numbers_they_belong_to() -> None:
    generator = torch.Generator().manual_seed(0)
    mass = torch.rand(3, 2, 2, 12, generator=generator).double()
    area = torch.full_like(mass, 0.1)
    values = {"mass": mass, "gain": (mass - area) / 0.9, "ceiling": area + 0.9, "area": area}
    values["mass"][0, 0, 0] = values["gain"][0, 0, 0] = NAN
    point = over_slices(values)
    found = intervals(values, [str(i // 2) for i in range(12)])
    for name in ("mass", "gain"):
        assert found[name].shape == (3, 2, 2, 2)
        assert found[name][0, 0, 0].isnan().all()
        low, high = found[name][1:].unbind(-1)
        assert ((low < point[name][1:]) & (point[name][1:] < high)).all()
    torch.testing.assert_close(found["gain"][1:], (found["mass"][1:] - 0.1) / 0.9)


def test_a_stage_that_localises_untrained_is_an_echo() -> None:
    mass = torch.tensor([[[0.49, 0.5, NAN]]])
    assert echo({"mass": mass}).tolist() == [[[False, True, False]]]


def test_numbers_are_read_against_the_untrained_network() -> None:
    now = {"gain": torch.tensor([0.8, NAN]), "n_valid": torch.tensor([3, 0]), "max": torch.ones(2)}
    found = against_untrained(now, {"gain": torch.tensor([0.5, 0.1]), "n_valid": torch.ones(2)})
    assert set(found) == {"gain"}
    assert found["gain"][0].item() == pytest.approx(0.3)
    assert found["gain"][1].isnan()


def test_runs_give_a_mean_and_a_range_and_one_run_says_so() -> None:
    runs = [torch.tensor([1.0, NAN]), torch.tensor([4.0, NAN]), torch.tensor([NAN, NAN])]
    band = over_runs(runs)
    assert (band.mean[0], band.low[0], band.high[0]) == (2.5, 1, 4)
    assert band.mean[1].isnan()
    assert band.low[1].isnan()
    assert band.label == "3 runs"
    assert over_runs(runs[:1]).label == "one run"
