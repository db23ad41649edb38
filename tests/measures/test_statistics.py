import math

import pytest
import torch

from segtrace.measures.statistics import against_untrained, echo, over_runs

NAN = math.nan


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
