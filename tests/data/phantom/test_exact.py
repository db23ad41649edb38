import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage

from segtrace.data.phantom.exact import (
    FINE,
    STEPS,
    WEIGHTS,
    Draws,
    blurred,
    cosine_and_sine,
    deviation,
    gaussian,
    interpolated,
    on_grid,
    sum_of_squares,
)


@pytest.mark.parametrize("degrees", [0, 1e-9, 8.7, 25, -33.3, 60, 90, -120, 179])
def test_an_angle_has_its_cosine_and_sine(degrees):
    found = cosine_and_sine(degrees)
    expected = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    assert found == pytest.approx(expected, abs=1e-15)


def test_draws_are_those_of_numpy_on_a_grid():
    ours, numpys = Draws(3, 5), np.random.default_rng([3, 5])
    for _ in range(3):
        for draw in ("normal", "uniform"):
            for size in (None, (50, 2)):
                mine = getattr(ours, draw)(-2, 7, size)
                assert np.abs(mine - getattr(numpys, draw)(-2, 7, size)).max() <= 0.5 / STEPS
                assert (np.asarray(mine) * STEPS % 1 == 0).all()
    assert type(ours.normal()) is type(ours.uniform()) is float  # as numpy's


@pytest.mark.parametrize("sigma", [0, 0.1, 0.34, 0.8, 1.7, 6])
def test_the_weights_of_a_filter_are_scipys_as_whole_parts_of_one(sigma):
    weights = gaussian(sigma)
    assert weights.sum() == 1
    assert (weights * WEIGHTS % 1 == 0).all()
    impulse = np.zeros(len(weights))
    impulse[len(weights) // 2] = 1
    scipys = ndimage.gaussian_filter(impulse, sigma, mode="constant")
    middle = len(weights) // 2  # takes what the others' roundings leave
    np.testing.assert_allclose(weights, scipys, atol=(middle + 1) / WEIGHTS)
    apart = np.abs(weights - scipys)
    assert np.delete(apart, middle).max(initial=0) <= 0.5 / WEIGHTS + 1e-12


def test_the_deviation_is_that_of_numpy_to_the_last_bits():
    values = on_grid(np.random.default_rng(0).normal(0.1, 0.05, (64, 64)), FINE)
    assert deviation(values) == pytest.approx(values.std(), rel=1e-14)
    assert deviation(values) == deviation(values.T[::-1])


def exactly(weights, values):
    pairs = zip(weights.tolist(), values.tolist(), strict=True)
    return sum((Fraction(w) * Fraction(v) for w, v in pairs), Fraction(0))


def test_a_filter_rounds_nothing_on_its_way():
    line = on_grid(np.random.default_rng(0).normal(0, 900, 40), 2.0**5)
    result = line.reshape(1, 1, 40)
    weights = gaussian(0.8)
    for place in range(3, 37):
        around = result[0, 0, place - 3 : place + 4]
        assert Fraction(blurred(result, (0, 0, 0.8))[0, 0, place]) == exactly(weights, around)
    volume = on_grid(np.random.default_rng(0).normal(0, 900, (12, 12, 12)), 2.0**5)
    sigmas = (0.54, 0.56, 0.34)
    there = blurred(volume, sigmas)
    back = blurred(volume.transpose(2, 1, 0), sigmas[::-1]).transpose(2, 1, 0)
    np.testing.assert_array_equal(there, back)  # the axes in another order


def test_a_field_between_knots_is_a_spline_through_them():
    knots = Draws(0).normal(0, 5, (6, 6, 6))
    field = interpolated(knots, (26, 16, 11))
    assert field.shape == (26, 16, 11)
    np.testing.assert_allclose(field[::5, ::3, ::2], knots, atol=1e-5)
    np.testing.assert_allclose(
        field, ndimage.zoom(knots, (26 / 6, 16 / 6, 11 / 6), order=3), atol=1e-5
    )


def test_a_field_between_knots_is_summed_without_rounding():
    knots = Draws(0).normal(0, 5, 10)
    weights = on_grid(ndimage.zoom(np.eye(10), (16, 1), order=3), FINE)
    field = interpolated(knots, (160,))
    for place in range(160):
        assert Fraction(field[place]) == exactly(weights[place], on_grid(knots, FINE))


def test_squares_are_summed_one_after_the_other():
    assert sum_of_squares([3, 4]) == 25
    large = [1.0, *[1e-8] * 1000]
    assert sum_of_squares(large) == 1.0  # each vanishes; together they would not
    assert math.fsum(value * value for value in large) > 1
