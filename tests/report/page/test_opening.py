"""The stage that the page opens with is the one its sentence names."""

import math

import numpy as np
import pytest
import xarray as xr

from segtrace.report.claims.headlines import Headlines
from segtrace.report.page.opening import named_stages

STAGES = ["enc1", "dec1", "dec2", "head"]
GAIN = [0.05, 0.6, 0.9, 0.99]
"""Of the trained network: the last two are the prediction redrawn."""


def found(gain=GAIN, before=0.0, cases=8, echo=(), dice=0.9):
    names = {"site": STAGES, "rule": ["seg_grad_cam"], "organ": ["liver"], "case": [*range(cases)]}
    noise = 0.02 * np.random.default_rng(0).standard_normal((4, 1, 1, cases))
    now = xr.DataArray(np.array(gain)[:, None, None, None] + noise, names)
    untrained = None if before is None else xr.DataArray(np.full(now.shape, before), names)
    echoes = now.isel(case=0, drop=True).copy(
        data=np.array([s in echo for s in STAGES])[:, None, None]
    )
    score = xr.DataArray([dice], {"organ": ["liver"]})
    return Headlines(now, untrained, echoes, score, f"{cases} slices of {cases} cases")


@pytest.mark.parametrize(
    ("told", "stage", "says"),
    [
        ({}, "dec1", 2),  # from dec1 on: enc1 lies too low
        ({"cases": 3}, "dec1", 1),  # seen, no claim
        ({"cases": 3, "before": 0.95}, "dec1", 0),  # nothing above the untrained network
        ({"gain": [0.05, 0.02, 0.9, 0.99]}, "enc1", -1),
        ({"gain": [0.6, 0.05, 0.9, 0.99]}, "enc1", 1),  # there, but not from there on
    ],
)
def test_it_is_the_stage_that_the_sentence_names(told, stage, says):
    headlines = found(**told)
    assert named_stages(headlines) == [[(STAGES.index(stage), says)]]
    claim = headlines.of("seg_grad_cam", "liver")
    assert f"{stage} (gain" in claim.words
    assert claim.holds == (says == 2)


def test_a_stage_that_few_cases_tell_of_is_not_opened_before_the_one_that_is_named():
    headlines = found([0.4, 0.9, 0.3, 0.9])
    headlines.gain.loc[{"site": "dec1", "case": [*range(2, 8)]}] = math.nan
    assert "furthest beyond is enc1 (gain" in headlines.of("seg_grad_cam", "liver").words
    assert named_stages(headlines) == [[(STAGES.index("enc1"), 1)]]


@pytest.mark.parametrize("silent", [{"dice": 0.2}, {"before": None}, {"dice": math.nan}])
def test_where_it_names_none_it_is_the_strongest_of_those_that_it_may_name(silent):
    assert named_stages(found(**silent)) == [[(STAGES.index("dec1"), 0)]]
    assert named_stages(found(echo=["dec1"], **silent)) == [[(STAGES.index("enc1"), 0)]]
    assert named_stages(found(echo=["enc1", "dec1"], **silent)) == [[(-1, 0)]]
