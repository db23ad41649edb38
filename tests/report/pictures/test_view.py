import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from segtrace.report.pictures.view import MARGIN, View, body, drawn, view_of


def patient(rows, columns, side=64):
    image = np.zeros((side, side))
    image[slice(*rows), slice(*columns)] = 0.4
    return image


@pytest.mark.parametrize("source", [(2, 2), (7, 7), (56, 56), (224, 224), (5, 9)])
@pytest.mark.parametrize("target", [(96, 96), (33, 61)])
def test_the_whole_image_equals_torch_bilinear_with_half_pixel_centres(source, target):
    values = torch.rand(3, *source, dtype=torch.float64)
    expected = interpolate(
        values[None], target, mode="bilinear", align_corners=False, antialias=True
    )[0]
    found = drawn(values.numpy(), View(height=target[0], width=target[1]))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)


def test_a_window_shows_what_lies_there_in_the_whole():
    values = np.random.default_rng(0).random((32, 48))
    whole = drawn(values, View(height=320, width=480))
    part = drawn(values, View((0.25, 0.75), (0.5, 1.0), 160, 240))
    np.testing.assert_allclose(part, whole[80:240, 240:], atol=1e-12)


def test_cells_stay_cells_where_they_are_coarser_than_the_pixels():
    values = np.arange(9.0).reshape(3, 3)
    found = drawn(values, View(height=12, width=12), cells=True)
    np.testing.assert_array_equal(found, values.repeat(4, 0).repeat(4, 1))
    quarter = drawn(values, View((0.0, 0.5), (0.5, 1.0), 6, 6), cells=True)
    np.testing.assert_array_equal(quarter, found[:6, 6:])


def test_cells_finer_than_the_pixels_are_averaged_so_that_none_is_lost():
    values = np.zeros((96, 96))
    values[31, 17] = 1
    found = drawn(values, View(height=24, width=24), cells=True)
    assert found.sum() == pytest.approx(1 / 16)
    assert found[7, 4] > 0


def test_the_body_is_the_largest_part_and_neither_table_nor_noise():
    image = patient((16, 40), (10, 50))
    image[50:54, 4:60] = 0.4  # a table
    image[2, 2] = 1.0
    found = body(image)
    assert found[17:39, 11:49].all()
    assert not found[:16].any()
    assert not found[40:].any()


def test_a_slice_of_air_has_no_body_and_is_shown_whole():
    speck = np.zeros((64, 64))
    speck[:3, :3] = 1
    for image in (np.zeros((64, 64)), speck, np.full((64, 64), np.nan)):
        assert not body(image).any()
        assert view_of([image], 96) == View()


def test_the_window_holds_the_bodies_of_all_slices_with_a_margin():
    images = [patient((16, 40), (10, 50)), patient((20, 48), (14, 54))]
    found = view_of(images, 150)
    assert found.rows == pytest.approx((16 / 64 - MARGIN, 48 / 64 + MARGIN))
    assert found.columns == pytest.approx((10 / 64 - MARGIN, 54 / 64 + MARGIN))
    assert (found.width, found.height) == (150, round(150 * (32 / 64 + 0.08) / (44 / 64 + 0.08)))
    assert found.holds(0.5, 0.5)
    assert not found.holds(0.1, 0.5)
    assert not found.holds(0.5, 0.95)


def test_an_image_that_is_not_square_keeps_its_proportions():
    found = view_of([np.zeros((32, 64))], 100)
    assert (found.height, found.width) == (50, 100)
