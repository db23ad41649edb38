import math

import numpy as np
import pytest
import torch

from segtrace.errors import InputError
from segtrace.measures.emergence import Emergence, echo, emergence, rise, smoothed


def of(*gain: float, bar: float = 0.0, dice: list[float] | None = None) -> Emergence:
    return emergence(range(len(gain)), gain, bar, dice)


def test_the_emergence_is_the_first_epoch_at_half_the_rise() -> None:
    found = of(0.0, 0.1, 0.2, 0.5, 0.7, 0.8, 0.8, 0.8)
    assert (found.answer, found.epoch) == ("emerged", 3)


def test_a_single_high_epoch_is_smoothed_away() -> None:
    assert of(0.0, 0.0, 0.9, 0.0, 0.0, 0.6, 0.8, 0.8, 0.8).epoch == 5


def test_a_rise_that_does_not_last_three_epochs_is_not_the_emergence() -> None:
    assert of(0.0, 0.8, 0.8, 0.0, 0.0, 0.0, 0.8, 0.8, 0.8, 0.8).epoch == 6


def test_a_curve_that_never_rises_by_a_tenth_has_none() -> None:
    assert of(0.0, 0.05, 0.09, 0.09, 0.09, 0.09).answer == "none"


def test_a_curve_that_rises_and_comes_down_fell() -> None:
    assert of(0.0, 0.5, 0.5, 0.5, 0.5, 0.1, 0.0, 0.0).answer == "fell"


def test_a_bump_that_does_not_last_three_epochs_is_no_rise() -> None:
    assert of(0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0).answer == "none"


def test_a_curve_that_only_falls_never_rose() -> None:
    assert of(0.6, 0.5, 0.4, 0.2, 0.1, 0.1).answer == "none"


def test_a_rise_in_the_last_two_epochs_is_too_late_to_judge() -> None:
    assert of(0.0, 0.0, 0.0, 0.0, 0.8, 0.8).answer == "late"


def test_the_end_must_beat_the_untrained_network_s_best_slice() -> None:
    curve = (0.0, 0.1, 0.4, 0.4, 0.4, 0.4)
    assert of(*curve, bar=0.39).answer == "emerged"
    assert of(*curve, bar=0.41).answer == "none"
    assert of(*curve, bar=math.nan).answer == "emerged"


def test_the_untrained_value_is_not_smoothed_with_trained_ones() -> None:
    assert smoothed(np.array([0.0, 0.8, 0.9, 0.1])).tolist() == [0.0, 0.8, 0.8, 0.8]
    assert smoothed(np.array([0.3])).tolist() == [0.3]
    assert smoothed(np.array([0.3, 0.5])).tolist() == [0.3, 0.5]


def test_the_rise_is_that_of_the_smoothed_curve_from_the_untrained_value() -> None:
    assert rise([0.2, 0.9, 0.5, 0.6, 0.1]) == pytest.approx(0.5 - 0.2)
    assert rise([math.nan, 0.4, 0.4]) == pytest.approx(0.4)


def test_dead_maps_are_bridged_and_a_dead_untrained_map_counts_as_uniform() -> None:
    nan = math.nan
    assert of(nan, 0.0, 0.5, nan, 0.6, 0.6, 0.6).epoch == 3
    assert of(nan, nan, nan, nan).answer == "none"


def test_the_lag_compares_half_rises_by_one_rule() -> None:
    curve, late = (0.0, 0.1, 0.8, 0.8, 0.8, 0.8, 0.8), [0.0, 0, 0, 0, 0.9, 0.9, 0.9]
    assert emergence(range(7), curve, 0.0, None, late).lag == -2
    assert emergence(range(7), late, 0.0, None, curve).lag == 2
    assert emergence(range(7), curve, 0.0, None, curve).lag == 0
    assert emergence(range(7), curve, 0.0, late, [0.0] * 7).lag is None
    assert emergence(range(7), curve, 0.0, late).dice_epoch == 4
    assert of(*curve).lag is None


def test_epochs_are_those_that_were_logged() -> None:
    gain, dice = [0.0, 0.0, 0.8, 0.8, 0.8, 0.8], [0.0, 0, 0.2, 0.9, 0.9, 0.9]
    found = emergence([0, 5, 10, 20, 40, 50], gain, 0.0, dice, dice)
    assert (found.epoch, found.dice_epoch, found.lag) == (10, 20, -10)


@pytest.mark.parametrize("epochs", [[1, 2, 3], [0, 2, 1], [0, 1, 1], []])
def test_without_the_untrained_network_or_an_order_there_is_no_emergence(epochs: list[int]) -> None:
    with pytest.raises(InputError, match="epoch 0, and rising epochs"):
        emergence(epochs, [0.0] * len(epochs), 0.0)


def test_a_gain_is_needed_for_every_epoch() -> None:
    with pytest.raises(InputError, match="every logged epoch"):
        emergence([0, 1], [0.0], 0.0)


def test_a_stage_that_localises_untrained_is_an_echo() -> None:
    mass = torch.tensor([[[0.49, 0.5, math.nan]]])
    assert echo(mass).tolist() == [[[False, True, False]]]
