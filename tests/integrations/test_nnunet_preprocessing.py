from dataclasses import replace

import numpy as np
import pytest

from helpers.nnunet_results import PLANS, plans
from segtrace import InputError
from segtrace.integrations.nnunet.plans import Plans, Resampling
from segtrace.integrations.nnunet.preprocessing import across, back, laid, prepare, resample
from segtrace.integrations.nnunet.result import to_file

PLAN = Plans.of(PLANS, "2d", "plans.json")
AS_STORED = Plans.of(plans(spacing=[1.0, 1.0]), "2d", "plans.json")


def image(shape=(3, 6, 8)):
    values = np.random.default_rng(0).normal(40, 60, (1, *shape)).astype(np.float32)
    values[:, :, 0] = values[:, :, :, -2:] = 0  # a row and two columns lie outside
    return values


def test_a_ct_is_cropped_clipped_and_normalised_by_the_numbers_of_the_plans():
    values = image()
    found = prepare(values, (5, 1, 1), AS_STORED)
    assert found.box == (slice(0, 3), slice(1, 6), slice(0, 6))
    expected = np.empty((3, 5, 6))
    for z in range(3):
        for y in range(5):
            for x in range(6):
                expected[z, y, x] = (min(max(values[0, z, y + 1, x], -100), 200) - 50) / 40
    assert np.allclose(found.image[0], expected, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_mr_is_normalised_by_its_own_mean_and_deviation(masked):
    planned = replace(AS_STORED, schemes=("ZScoreNormalization",), masked=(masked,))
    values = image()
    values[0, 1, 3, 0] = 0  # at the edge of the box, so that nothing encloses it
    found = prepare(values, (5, 1, 1), planned)
    box = values[0, :, 1:, :6].astype(np.float64)
    inside = box != 0 if masked else np.ones(box.shape, bool)
    mean, std = box[inside].mean(), box[inside].std()
    expected = np.where(inside, (box - mean) / std, box)
    assert np.allclose(found.image[0], expected, atol=1e-5)


def test_planes_far_apart_are_resampled_for_themselves():
    how = Resampling(1, None)
    assert across((5, 1, 1), (5, 2, 2), how) == 0
    assert across((2, 1, 1), (2, 2, 2), how) is None
    assert across((1, 5, 5), (1, 5, 5), how) is None  # two coarse axes
    assert across((5, 1, 1), (5, 2, 2), Resampling(1, False)) is None
    values = np.arange(2 * 4 * 4, dtype=np.float32).reshape(1, 2, 4, 4)
    found = resample(values, (4, 4, 4), (10, 1, 1), (5, 1, 1), how)
    assert np.array_equal(found[0], values[0][[0, 0, 1, 1]])  # the nearest plane, none between


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_what_was_prepared_is_laid_back_where_it_was(order):
    planned = replace(AS_STORED, transposed=order, spacing=(1.0, 1.0))
    values = image()
    found = prepare(values, (1, 1, 1), planned)
    whole = laid(back(found.image[0], found, planned), found, planned, -7)
    assert whole.shape == values.shape[1:]
    box = (slice(None), slice(1, None), slice(0, 6))
    clipped = (values[0].clip(-100, 200) - 50) / 40
    assert np.allclose(whole[box], clipped[box], atol=1e-6)
    whole[box] = -7
    assert (whole == -7).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
def test_a_voxel_knows_where_in_the_file_it_lies(order):
    planned = replace(AS_STORED, transposed=order)
    values = np.ones((1, 6, 8, 10), np.float32)
    spots = {(1, 2, 3): 100.0, (4, 5, 6): 200.0}
    values[0, 0] = 0
    for spot, value in spots.items():
        values[0][spot] = value
    found = prepare(values, (1, 1, 1), planned)
    matrix = to_file(found.box, found.image.shape[1:], planned)
    for (z, y, x), value in spots.items():
        place = np.argwhere(np.isclose(found.image[0], (value - 50) / 40))[0]
        assert np.allclose(matrix @ [*place, 1], (x, y, z, 1))


def test_an_image_the_network_does_not_take_is_refused():
    with pytest.raises(InputError, match="takes 1 channels; the image has 2"):
        prepare(np.ones((2, 3, 4, 5), np.float32), (1, 1, 1), PLAN)
    with pytest.raises(InputError, match="every voxel of the image is 0"):
        prepare(np.zeros((1, 3, 4, 5), np.float32), (1, 1, 1), PLAN)
    with pytest.raises(InputError, match=r"would have 3 x 200000 x 250000 voxels"):
        prepare(np.ones((1, 3, 4, 5), np.float32), (1, 1e5, 1e5), PLAN)
