import numpy as np
import pytest

from segtrace.data.labels import BTCV
from segtrace.data.phantom.anatomy import Build
from segtrace.data.phantom.painting import Canvas, places


@pytest.fixture
def canvas():
    return Canvas.of_air(np.full((4, 5, 6), 0.5, np.float32))


def test_places_are_the_voxels_below_a_depth_and_within():
    field = np.float32([[-5, -1, 0], [-3, 2, -9]])
    within = np.array([[True, True, True], [False, True, True]])
    assert places(field).tolist() == [0, 1, 3, 5]
    assert places(field, depth=2).tolist() == [0, 3, 5]
    assert places(field, within, depth=-1).tolist() == [0, 1, 2, 5]


def test_what_is_painted_later_lies_on_top_and_takes_the_label_away(canvas):
    canvas.paint(np.array([0, 1]), 100, "liver", grain=10)
    canvas.paint(np.array([1, 2]), -90, grain=0)
    assert canvas.hu.ravel()[:4].tolist() == [105, -90, -90, -1000]
    assert canvas.labels.ravel()[:4].tolist() == [BTCV["liver"], 0, 0, 0]


def test_gas_lies_in_front_of_the_content_and_within_the_wall(canvas):
    x, y, z = (grid.astype(np.float32) for grid in np.indices((21, 21, 21)) - 10)
    ball = np.sqrt(x * x + y * y + z * z) - 9
    gas = 0
    for seed in range(10):
        canvas = Canvas.of_air(np.zeros(ball.shape, np.float32))
        build = Build(1.0, 15.0, np.random.default_rng(seed))
        canvas.paint_hollow(ball, np.ones(ball.shape, bool), build, y, "stomach")
        assert ((canvas.labels == BTCV["stomach"]) == (ball < 0)).all()
        wall = (ball < 0) & (ball >= -3.5)
        assert (canvas.hu[wall] > 0).all()
        lumen = ball < -3.5
        dark = lumen & (canvas.hu < -500)
        if dark.any():
            gas += 1
            assert y[dark].max() < y[lumen & ~dark].min()
    assert 0 < gas < 10
