import numpy as np
import pytest
import torch

from segtrace.report.pictures.cells import (
    NOTE_GREY,
    PREDICTION,
    TRUTH,
    blend,
    grey_cell,
    heat_cell,
    letter_sides,
    note_cell,
    outline,
    paint,
)
from segtrace.report.pictures.lettering import sprite
from segtrace.report.pictures.view import View


def square(side):
    return View(height=side, width=side)


def brightness(picture):
    return picture.astype(int).sum(-1)


def test_a_coarse_map_is_drawn_cell_by_cell():
    values, black = np.array([[1.0, 3.0], [4.0, -2.0]]), np.zeros((8, 8))
    cell = heat_cell(values, black, square(64))
    scale = blend()[:, 0, :3]
    for i, j in np.ndindex(2, 2):
        block = cell[32 * i : 32 * i + 32, 32 * j : 32 * j + 32]
        level = round(255 * max(values[i, j], 0) / 4)
        np.testing.assert_array_equal(block, np.broadcast_to(scale[level], block.shape))


def test_a_map_without_positive_evidence_is_the_plain_dimmed_slice():
    image = np.linspace(0, 1, 64).reshape(8, 8)
    cell = heat_cell(np.full((2, 2), -3.0), image, square(8))
    np.testing.assert_array_equal(cell, np.repeat(cell[..., :1], 3, -1))
    np.testing.assert_allclose(cell[..., 0], grey_cell(image, square(8)) / 2, atol=1)


def test_each_map_is_scaled_by_its_own_maximum_unless_told():
    values, black = torch.rand(4, 4), torch.zeros(4, 4)
    same = heat_cell(values, black)
    np.testing.assert_array_equal(same, heat_cell(values * 2**-20, black))
    dimmer = heat_cell(values, black, vmax=100.0)
    assert brightness(dimmer).max() < brightness(same).max() / 3


def test_the_maximum_counts_where_it_cannot_be_seen():
    values, black = np.array([[8.0, 4.0]]), np.zeros((8, 8))
    half = heat_cell(values, black, View(columns=(0.5, 1.0), height=8, width=8))
    np.testing.assert_array_equal(half, np.broadcast_to(blend()[128, 0, :3], (8, 8, 3)))


def test_what_is_negative_is_no_evidence_and_does_not_stretch_the_scale():
    black = np.zeros((8, 8))
    cell = heat_cell(np.array([[-9.0, 2.0, 4.0, 3.0]]), black)
    np.testing.assert_array_equal(cell, heat_cell(np.array([[0.0, 2.0, 4.0, 3.0]]), black))


@pytest.mark.parametrize("side", [3, 32])
def test_a_single_cell_reaches_the_brightest_colour(side):
    delta = np.zeros((side, side))
    delta[1, 1] = 1e-7
    full = heat_cell(np.ones((1, 1)), np.zeros((8, 8)))[0, 0]
    assert (heat_cell(delta, np.zeros((8, 8))) == full).all(-1).any()


def test_a_shared_scale_is_in_the_unit_of_the_map_and_lifts_what_is_weak():
    black = np.zeros((4, 4))
    quarter = heat_cell(np.full((4, 4), 1.0), black, vmax=4.0)
    np.testing.assert_array_equal(quarter[0, 0], blend()[128, 0, :3])  # its square root
    np.testing.assert_array_equal(quarter, heat_cell(np.full((4, 4), 2.5), black, vmax=10.0))
    full = heat_cell(np.full((4, 4), 4.0), black, vmax=4.0)
    np.testing.assert_array_equal(full, heat_cell(np.full((4, 4), 9.0), black, vmax=4.0))


def test_more_heat_is_brighter_on_any_tissue():
    ramp = np.linspace(0, 1, 256)[None].repeat(256, 0)
    cell = heat_cell(ramp, ramp.T, square(256))
    luma = cell.astype(float) @ (0.299, 0.587, 0.114)
    assert (np.diff(luma, axis=1) > -1.5).all()


def test_infinite_and_missing_values_do_not_spoil_the_others():
    values = np.array([[np.nan, 1.0], [np.inf, -np.inf]])
    clean = np.array([[0.0, 1.0], [0.0, 0.0]])
    black = np.zeros((2, 2))
    np.testing.assert_array_equal(heat_cell(values, black), heat_cell(clean, black))


def test_a_contour_is_drawn_at_the_pixels_of_the_picture_whatever_the_grid():
    mask = np.zeros((12, 12), bool)
    mask[4:8, 4:8] = True
    line = outline(mask, square(120))
    assert line.max() > 0.9
    rows, columns = np.nonzero(line > 0.5)
    assert {(rows.min(), columns.min()), (rows.max(), columns.max())} <= {
        (i, i) for i in (*range(38, 43), *range(77, 82))
    }
    assert not line[50:70, 50:70].any()  # it is a line and no area
    assert not line[:34].any()
    crossed = np.nonzero(line[60] > 0.5)[0]
    assert 2 <= len(crossed) <= 6


def test_an_organ_of_one_pixel_is_still_outlined():
    mask = np.zeros((224, 224), bool)
    mask[101, 57] = True
    line = outline(mask, square(96))
    rows, columns = np.nonzero(line > 0.3)
    assert len(rows) > 0
    assert abs(rows.mean() - 101 * 96 / 224) < 1.5
    assert abs(columns.mean() - 57 * 96 / 224) < 1.5


def test_an_empty_mask_draws_nothing():
    assert not outline(np.zeros((32, 32), bool), square(32)).any()


def test_contours_have_their_colours_and_the_prediction_is_dashed():
    mask = np.zeros((96, 96), bool)
    mask[40:56, 40:56] = True
    line = np.ceil(outline(mask, square(96)))
    solid, dashed = np.zeros((2, 96, 96, 3), np.uint8)
    paint(solid, line, TRUTH, dashed=False)
    paint(dashed, line, PREDICTION, dashed=True)
    whole, part = (solid == TRUTH).all(-1), (dashed == PREDICTION).all(-1)
    np.testing.assert_array_equal(whole, line > 0)
    assert not (part & ~whole).any()
    assert 0.3 < part.sum() / whole.sum() < 0.7


def test_the_patients_right_is_lettered_at_the_left_of_the_picture():
    cell = np.zeros((60, 96, 3), np.uint8)
    letter_sides(cell)
    right, left = sprite("R"), sprite("L")
    height = len(right)
    np.testing.assert_array_equal(cell[1 : 1 + height, 2 : 2 + right.shape[1], 0], right)
    np.testing.assert_array_equal(cell[1 : 1 + height, 94 - left.shape[1] : 94, 0], left)
    assert not np.array_equal(right, left)
    assert not brightness(cell)[:, 20:76].any()


@pytest.mark.parametrize("words", ["no positive evidence", "x" * 60, "one two three four five six"])
def test_a_note_is_grey_and_within_its_cell(words):
    cell = note_cell(words, 80, 120)
    assert cell.shape == (80, 120, 3)
    np.testing.assert_array_equal(cell, np.repeat(cell[..., :1], 3, -1))
    edge = np.concatenate([cell[0], cell[-1], cell[:, 0], cell[:, -1]])
    assert (edge == NOTE_GREY).all()
    assert (cell != NOTE_GREY).any()
