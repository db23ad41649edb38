"""How alike two regions' maps are, against numpy and where there is nothing to say."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.pages import STAGES, epoch, wrong
from segtrace.attribution.flow import Status
from segtrace.report.page.likeness import likeness


@pytest.fixture(scope="module")
def flows():
    return wrong(3, "fp").record.flow, epoch(3).record.flow


def test_it_is_the_correlation_of_the_positive_parts_at_the_stages_own_grid(flows):
    found, (one, other) = likeness(*flows), flows
    sound = (one.status == Status.OK) & (other.status == Status.OK)
    assert sound.any()
    for s, r, o, n in sound.nonzero().tolist():
        drawn = [
            flow.maps[[*STAGES][s]][r, o, n].clamp(min=0).double().numpy().ravel()
            for flow in (one, other)
        ]
        assert found[s, r, o, n] == pytest.approx(np.corrcoef(*drawn)[0, 1], abs=1e-6)
    assert np.isnan(found[~sound.numpy()]).all()


def test_a_map_that_is_the_same_everywhere_has_none(flows):
    one, other = flows
    flat = replace(one, maps={stage: maps * 0 + 1 for stage, maps in one.maps.items()})
    assert np.isnan(likeness(flat, other)).all()


def test_a_map_is_like_itself(flows):
    found = likeness(flows[0], flows[0])
    np.testing.assert_allclose(found[np.isfinite(found)], 1, atol=1e-6)
