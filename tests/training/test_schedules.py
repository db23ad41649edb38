"""Learning rates over the steps of a training."""

import pytest
import torch

from segtrace import InputError
from segtrace.training.schedules import one_cycle, polynomial


def rates(schedule, steps, **options):
    """The rate of every step, of an optimiser whose own is 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    made = schedule(optimizer, steps, **options)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return found


def test_the_rate_of_the_benchmark_falls_as_a_power_of_what_is_left():
    expected = [(1 - step / 8) ** 0.9 for step in range(8)]
    assert rates(polynomial, 8) == pytest.approx(expected)


def test_one_cycle_goes_up_in_its_first_share_of_the_steps_and_down_to_nothing():
    found = rates(one_cycle, 50, warmup=0.2)
    assert found.index(max(found)) == 9
    assert found[9] == pytest.approx(1.0)
    assert found[:10] == sorted(found[:10])
    assert found[9:] == sorted(found[9:], reverse=True)
    assert found[-1] < 1e-3


@pytest.mark.parametrize(("steps", "warmup"), [(5, 0.2), (2, 0.5), (4, 0.25), (10, 0.1)])
def test_a_rise_of_one_step_begins_at_the_top(steps, warmup):
    """There torch divides by the length of the rise, 0."""
    found = rates(one_cycle, steps, warmup=warmup)
    assert found[0] == pytest.approx(1.0)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("warmup", [-0.1, 0, 1, 2, float("nan")])
def test_a_rise_without_steps_is_refused(warmup):
    with pytest.raises(InputError, match=r"^model.scheduler.warmup=.*; give more than 0 and less"):
        rates(one_cycle, 5, warmup=warmup)


def test_late_it_is_set_as_transunets_program_sets_it():
    """After a step, by the number of that step."""
    base, most, expected = 0.01, 7, []
    rate = base
    for iteration in range(most):
        expected.append(rate)
        rate = base * (1.0 - iteration / most) ** 0.9
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    schedule, found = polynomial(optimizer, most, late=True), []
    for _ in range(most):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert found == expected
    assert found[:2] == [base, base]


@pytest.mark.parametrize("power", [0, -1])
def test_a_power_with_which_the_rate_would_not_fall_is_refused(power):
    with pytest.raises(InputError, match=r"^model.scheduler.power=.*; give more than 0"):
        rates(polynomial, 5, power=power)
