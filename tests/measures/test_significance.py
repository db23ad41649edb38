"""Many tests at once: exact by hand, and how often nothing passes."""

import math
import re

import pytest
import torch

from segtrace.measures.significance import ALPHA, RATE, family_p

EXPERIMENTS = 600


def test_a_single_test_of_five_cases_is_the_sign_flip_test_by_hand():
    # Of 32 flips the sum of 1, 2, 3, 4, 5 is reached by none but itself, 13 and more by three.
    assert family_p(torch.tensor([1.0, 2, 3, 4, 5])).item() == 1 / 32
    assert family_p(torch.tensor([-1.0, 2, 3, 4, 5])).item() == 2 / 32
    assert family_p(-torch.tensor([1.0, 2, 3, 4, 5])).item() == 1


def test_a_family_is_corrected_for_its_largest_and_few_cases_are_no_test():
    generator = torch.Generator().manual_seed(0)
    many = torch.randn(50, 8, generator=generator)
    strong = many[:1].abs() + 3
    alone, beside = family_p(strong).item(), family_p(torch.cat([strong, many]))[0].item()
    assert alone == 1 / 256
    assert alone <= beside < ALPHA
    few = torch.tensor([[1.0, 2, 3, 4, math.nan], [1, 2, 3, 4, 5]])
    found = family_p(few)
    assert found[0].isnan()
    assert found[1] == 1 / 32  # what is no test corrects nothing


def test_what_lies_far_below_its_null_hides_nothing():
    strong, idle = torch.tensor([[0.3, 0.4, 0.5, 0.4, 0.45]]), torch.full((9, 5), -0.05)
    assert family_p(torch.cat([strong, idle]))[0] == 1 / 32
    assert (family_p(torch.cat([strong, idle]))[1:] == 1).all()


def test_zeros_pass_nothing_and_equal_cases_do():
    assert family_p(torch.zeros(2, 8)).tolist() == [1, 1]
    assert family_p(torch.full((1, 12), 0.3)).item() == 1 / 4096
    assert family_p(torch.full((1, 14), 0.3)).item() == pytest.approx(1 / 4096, abs=1e-3)


@pytest.mark.parametrize("cases", [3, 5, 8, 12])
@pytest.mark.parametrize("kind", ["normal", "alike", "exponential"])
def test_nothing_passes_one_of_forty_tests_in_at_most_five_percent(cases: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(cases)
    made = 0
    for _ in range(EXPERIMENTS):
        values = torch.randn(40, cases, generator=generator)
        if kind == "alike":
            values += 2 * torch.randn(1, cases, generator=generator)
        if kind == "exponential":
            values = torch.empty(40, cases).exponential_(generator=generator) - 1
        made += bool((family_p(values) <= ALPHA).any())
    error = 2 * math.sqrt(ALPHA * (1 - ALPHA) / EXPERIMENTS)
    assert made / EXPERIMENTS <= ALPHA + error
    assert made == 0 or cases >= 5


def single(kind: str, cases: int, experiments: int = 1000) -> float:
    """How often one test of cases passes that have a mean of 0."""
    generator = torch.Generator().manual_seed(cases)
    normal = torch.randn(experiments, cases, generator=generator).double()
    if kind == "one in ten":
        found = torch.where(torch.rand(normal.shape, generator=generator) < 0.9, 0.01, -0.09)
        found = found + 0.002 * normal
    else:
        below = math.exp(0.5) - normal.exp()
        two_sided = normal * torch.randn(normal.shape, generator=generator).exp()
        found = {"below": below, "above": -below, "two-sided": two_sided}[kind]
    return sum(float(family_p(one[None])) <= ALPHA for one in found) / experiments


@pytest.mark.parametrize("cases", [5, 8, 12])
@pytest.mark.parametrize("kind", ["above", "two-sided"])
def test_long_tails_to_both_sides_or_above_pass_no_more_than_is_promised(kind, cases) -> None:
    assert single(kind, cases) <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / 1000)


def test_rare_cases_far_below_pass_as_often_as_is_said() -> None:
    told = re.search(r"up to (\d+) % .* in (\d+), (\d+) and (\d+) % at 5, 8 and 12", RATE)
    assert told is not None
    most, *rare = (int(percent) / 100 for percent in told.groups())
    skewed = [single("below", cases) for cases in (5, 8, 12)]
    error = 2 * math.sqrt(0.5 * 0.5 / 1000)
    assert max(skewed) == pytest.approx(most, abs=error)
    for cases, percent in zip((5, 8, 12), rare, strict=True):
        assert single("one in ten", cases) == pytest.approx(percent, abs=error), cases
        assert abs(percent - 0.9**cases) < 0.03  # where none of them is among the cases
