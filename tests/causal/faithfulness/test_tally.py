"""How often a predictor is said to name the needed path: of maps that know nothing, rarely."""

import numpy as np
import pytest
import xarray as xr

from segtrace import InputError
from segtrace.causal.faithfulness.paths import CONTROLS
from segtrace.causal.faithfulness.tally import tally

NAMES = ("seg_grad_cam", "grad_pam", "attribution patching", *CONTROLS)
ORGANS, STAGES = 8, 4


def network(named, overall):
    return xr.Dataset(
        {
            "named": (("predictor", "organ", "stage", "case"), named),
            "overall": (("predictor", "organ", "stage"), overall),
        },
        {"predictor": list(NAMES)},
    )


def drawn(generator, cases=12, right=None):
    """Choices that are right by chance, alike within a network, as organs share their stages."""
    right = {} if right is None else right

    def one(*more):
        shape = (ORGANS, STAGES, *more)
        decided = generator.random(shape) < 0.5
        of_stage = generator.random((len(NAMES), 1, STAGES, *([1] * len(more)))) < 0.5
        own = generator.random((len(NAMES), *shape)) < 0.5
        shared = generator.random((len(NAMES), *shape)) < 0.6
        values = np.where(shared, of_stage, own).astype(float)
        for name, rate in right.items():
            values[NAMES.index(name)] = generator.random(shape) < rate
        return np.where(decided, values, np.nan)

    return network(one(cases), one())


def test_where_no_two_cuts_cost_apart_there_is_nothing_to_name():
    none = np.full((len(NAMES), ORGANS, STAGES), np.nan)
    with pytest.raises(InputError, match=r"in no pair .*; give networks that have learned more"):
        tally([network(none[..., None], none)])


def test_counts_are_those_of_the_means_over_cases_and_an_open_choice_is_half_a_hit():
    overall = np.full((len(NAMES), ORGANS, STAGES), np.nan)
    overall[:, 0, :3] = [1, 0, 0.5]
    overall[0, 0, :3] = 1
    found = tally([network(overall[..., None], overall)])
    assert [(one.predictor, one.hits, one.pairs) for one in found[:2]] == [
        ("seg_grad_cam", 3.0, 3),
        ("grad_pam", 1.5, 3),
    ]
    assert found[0].units == 1
    assert not any(one.beats for one in found)


@pytest.mark.parametrize("networks", [5, 8])
def test_of_maps_that_know_nothing_any_is_said_to_know_in_at_most_five_percent(networks):
    generator = np.random.default_rng(networks)
    trials = 200
    said = sum(
        any(one.beats for one in tally([drawn(generator) for _ in range(networks)]))
        for _ in range(trials)
    )
    # Each has three controls to beat as well, so the rate lies far below Holm's bound.
    assert said / trials <= 0.05


def test_one_that_knows_is_found_over_five_networks():
    generator = np.random.default_rng(0)
    found = tally([drawn(generator, right={"grad_pam": 0.95}) for _ in range(8)])
    by_name = {one.predictor: one for one in found}
    assert by_name["grad_pam"].beats
    assert by_name["grad_pam"].rate > 0.85
    assert by_name["grad_pam"].margin_low > 0
    assert not by_name["seg_grad_cam"].beats
    assert np.isnan(by_name["gradient norm"].p)


def test_below_five_networks_counts_are_given_and_nothing_is_claimed():
    generator = np.random.default_rng(0)
    everything = dict.fromkeys(NAMES[:3], 1.0)
    for number in (1, 2, 4):
        found = tally([drawn(generator, right=everything) for _ in range(number)])
        assert found[0].hits == found[0].pairs > 0
        assert not any(one.beats for one in found)
        assert found[0].unit == ("cases" if number == 1 else "networks")


def test_a_predictor_that_is_no_better_than_a_control_beats_nothing():
    generator = np.random.default_rng(0)
    both = {"grad_pam": 1.0, "gradient norm": 1.0}
    found = {one.predictor: one for one in tally([drawn(generator, right=both) for _ in range(8)])}
    assert found["grad_pam"].rate == found["gradient norm"].rate == 1
    assert not found["grad_pam"].beats
