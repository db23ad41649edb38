import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from segtrace.report.pictures.cells import (
    NOTE_GREY,
    PREDICTION,
    TRUTH,
    blend,
    ct_cell,
    grey_cells,
    heat_cell,
    heat_cells,
    note_cell,
    resize,
)
from segtrace.report.pictures.lettering import sprite


def brightness(picture):
    return picture.astype(int).sum(-1)


@pytest.mark.parametrize("source", [(2, 2), (7, 7), (56, 56), (224, 224), (5, 9)])
@pytest.mark.parametrize("target", [(96, 96), (33, 61)])
def test_resizing_equals_torch_bilinear_with_half_pixel_centres(source, target):
    values = torch.rand(3, *source, dtype=torch.float64)
    expected = interpolate(
        values[None], target, mode="bilinear", align_corners=False, antialias=True
    )[0]
    np.testing.assert_allclose(resize(values.numpy(), target), expected.numpy(), atol=1e-12)


def test_resizing_a_step_gives_the_numbers_of_align_corners_false():
    step = np.array([[0.0, 1.0]])
    np.testing.assert_allclose(resize(step, (1, 4))[0], [0, 0.25, 0.75, 1], atol=1e-12)


def test_a_delta_in_the_second_of_four_cells_is_centred_at_5_5_of_16():
    delta = np.zeros((1, 4))
    delta[0, 1] = 1
    row = resize(delta, (1, 16))[0]
    assert (row * np.arange(16)).sum() / row.sum() == pytest.approx(5.5)


def test_the_map_is_rectified_before_it_is_resized():
    # methods 5.4: the checkerboard sums to 8.0 rectified first, to 4.5 rectified last.
    signed = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert resize(np.maximum(signed, 0), (4, 4)).sum() == pytest.approx(8.0)
    assert np.maximum(resize(signed, (4, 4)), 0).sum() == pytest.approx(4.5)
    black = np.zeros((4, 4))
    right = heat_cell(signed, black, 4)
    np.testing.assert_array_equal(right, heat_cell(np.maximum(signed, 0), black, 4))
    late = heat_cell(np.maximum(resize(signed, (4, 4)), 0), black, 4)
    assert (right != late).any()


def test_a_map_without_positive_evidence_is_the_plain_dimmed_slice():
    image = np.linspace(0, 1, 64).reshape(8, 8)
    cell = heat_cell(np.full((2, 2), -3.0), image, 8)
    grey = grey_cells(image[None], 8)[0]
    np.testing.assert_array_equal(cell, np.repeat(cell[..., :1], 3, -1))
    np.testing.assert_allclose(cell[..., 0], grey / 2, atol=1)


def test_each_map_is_scaled_by_its_own_maximum_unless_told():
    values, black = torch.rand(4, 4), torch.zeros(4, 4)
    same = heat_cell(values, black, 16)
    np.testing.assert_array_equal(same, heat_cell(values * 2**-20, black, 16))
    dimmer = heat_cell(values, black, 16, vmax=10.0)
    assert brightness(dimmer).max() < brightness(same).max() / 3


def test_a_map_is_divided_by_its_maximum_and_its_minimum_is_no_zero():
    """Two cells of 3 and 4: the weaker one has three quarters of the brightness, not none."""
    black = np.zeros((8, 8))
    cell = heat_cell(np.array([[3.0, 4.0]]), black, 64)
    scale = blend()[:, 0, :3]
    np.testing.assert_array_equal(cell[32, 0], scale[round(255 * 3 / 4)])
    np.testing.assert_array_equal(cell[32, 63], scale[255])
    flat = heat_cell(np.full((4, 4), 0.2), black, 64)
    np.testing.assert_array_equal(flat, np.broadcast_to(scale[255], (64, 64, 3)))


def test_what_is_negative_is_no_evidence_and_does_not_stretch_the_scale():
    black = np.zeros((8, 8))
    cell = heat_cell(np.array([[-9.0, 2.0, 4.0, 3.0]]), black, 64)
    rows = heat_cell(np.array([[0.0, 2.0, 4.0, 3.0]]), black, 64)
    np.testing.assert_array_equal(cell, rows)


@pytest.mark.parametrize("side", [3, 224])
def test_a_single_cell_reaches_the_brightest_colour_at_any_resolution(side):
    delta = np.zeros((side, side))
    delta[1, 1] = 1e-7
    full = heat_cell(np.ones((1, 1)), np.zeros((8, 8)), 96)[0, 0]
    assert (heat_cell(delta, np.zeros((8, 8)), 96) == full).all(-1).any()


def test_a_fixed_scale_is_in_the_unit_of_the_map():
    black = np.zeros((4, 4))
    half = heat_cell(np.full((4, 4), 1.0), black, 4, vmax=2.0)
    full = heat_cell(np.full((4, 4), 2.0), black, 4, vmax=2.0)
    np.testing.assert_array_equal(half, heat_cell(np.full((4, 4), 5.0), black, 4, vmax=10.0))
    np.testing.assert_array_equal(full, heat_cell(np.full((4, 4), 9.0), black, 4, vmax=2.0))
    assert brightness(full).min() > brightness(half).max()


def test_more_heat_is_brighter_on_any_tissue():
    ramp = np.linspace(0, 1, 256)[None].repeat(256, 0)
    cell = heat_cell(ramp, ramp.T, 256)
    luma = cell.astype(float) @ (0.299, 0.587, 0.114)
    assert (np.diff(luma, axis=1) > -1.5).all()


def test_a_cell_has_the_same_bits_alone_and_in_a_batch():
    maps, image = torch.randn(5, 31, 31), torch.rand(5, 64, 64)
    batch = heat_cells(maps, image, 48)
    for i in range(5):
        np.testing.assert_array_equal(batch[i], heat_cell(maps[i], image[i], 48))


def test_infinite_and_missing_values_do_not_spoil_the_others():
    values = np.array([[np.nan, 1.0], [np.inf, -np.inf]])
    clean = np.array([[0.0, 1.0], [0.0, 0.0]])
    black = np.zeros((2, 2))
    np.testing.assert_array_equal(heat_cell(values, black, 8), heat_cell(clean, black, 8))


def test_a_slice_that_is_not_square_keeps_its_proportions():
    cell = heat_cell(np.ones((4, 8)), np.ones((16, 32)), 64)
    lit = brightness(cell).any(1)
    assert lit.sum() == 32
    assert lit[16:48].all()


def test_the_contours_have_their_colours_and_the_prediction_is_dashed():
    mask = np.zeros((96, 96), bool)
    mask[40:56, 40:56] = True
    cell = ct_cell(np.zeros((96, 96)), mask, None, 96)
    truth = (cell == TRUTH).all(-1)
    assert truth.sum() == 4 * 15
    assert truth[40, 40:56].all()
    both = ct_cell(np.zeros((96, 96)), mask, mask, 96)
    dashed = (both == PREDICTION).all(-1)
    assert 0 < dashed.sum() < truth.sum()
    np.testing.assert_array_equal(dashed | (both == TRUTH).all(-1), truth)


def test_an_organ_of_one_pixel_is_still_outlined():
    mask = np.zeros((224, 224), bool)
    mask[101, 57] = True
    cell = ct_cell(np.zeros((224, 224)), mask, None, 96)
    rows, columns = np.nonzero((cell == TRUTH).all(-1))
    assert len(rows) > 0
    assert abs(rows.mean() - 101 * 96 / 224) < 1.5
    assert abs(columns.mean() - 57 * 96 / 224) < 1.5


def test_an_empty_mask_draws_nothing():
    cell = ct_cell(np.zeros((32, 32)), np.zeros((32, 32), bool), None, 32)
    assert not (cell == TRUTH).all(-1).any()


def test_the_patients_right_is_lettered_at_the_left_of_the_picture():
    cell = ct_cell(np.zeros((8, 8)), None, None, 96, sides=True)
    right, left = sprite("R"), sprite("L")
    height = len(right)
    np.testing.assert_array_equal(cell[1 : 1 + height, 2 : 2 + right.shape[1], 0], right)
    np.testing.assert_array_equal(cell[1 : 1 + height, 94 - left.shape[1] : 94, 0], left)
    assert not np.array_equal(right, left)
    assert not brightness(cell)[:, 20:76].any()


def test_no_side_is_lettered_where_none_is_known():
    assert not ct_cell(np.zeros((8, 8)), None, None, 96).any()


@pytest.mark.parametrize("words", ["no positive evidence", "x" * 60, "one two three four five six"])
def test_a_note_is_grey_and_within_its_cell(words):
    cell = note_cell(words, 96)
    np.testing.assert_array_equal(cell, np.repeat(cell[..., :1], 3, -1))
    edge = np.concatenate([cell[0], cell[-1], cell[:, 0], cell[:, -1]])
    assert (edge == NOTE_GREY).all()
    assert (cell != NOTE_GREY).any()
