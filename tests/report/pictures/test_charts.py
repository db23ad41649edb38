import numpy as np
import pytest
from matplotlib import colormaps

from segtrace.report.pictures.cells import NOTE_GREY
from segtrace.report.pictures.charts import leak_picture, timeline_picture

YELLOW = np.round(np.array(colormaps["viridis"](1.0)[:3]) * 255).astype(np.uint8)
VIOLET = np.round(np.array(colormaps["viridis"](0.0)[:3]) * 255).astype(np.uint8)
TITLE = "liver  ·  gain\nregion: ground truth"


def count(picture, colour):
    return int((picture == colour).all(-1).sum())


def test_a_timeline_has_a_fixed_scale_so_that_pictures_compare():
    low = timeline_picture(np.full((2, 3), 0.0), ["enc1", "head"], [0, 1, 2], TITLE)
    high = timeline_picture(np.full((2, 3), 1.0), ["enc1", "head"], [0, 1, 2], TITLE)
    assert low.shape == high.shape
    assert count(low, VIOLET) > 100 > count(low, YELLOW)
    assert count(high, YELLOW) > 100 > count(high, VIOLET)


def test_undefined_values_are_grey_and_explained():
    values = np.array([[0.2, np.nan], [0.4, np.inf]])
    picture = timeline_picture(values, ["enc1", "head"], [0, 1], TITLE)
    assert count(picture, (NOTE_GREY,) * 3) >= 2 * 48 * 24
    whole = timeline_picture(np.full((2, 2), 0.2), ["enc1", "head"], [0, 1], TITLE)
    assert count(whole, (NOTE_GREY,) * 3) == 0


def test_values_outside_the_scale_are_drawn_at_its_ends_and_said_to_be():
    within = timeline_picture(np.array([[0.0, 1.0]]), ["head"], [0, 1], TITLE)
    beyond = timeline_picture(np.array([[-0.5, 9.0]]), ["head"], [0, 1], TITLE)
    assert count(beyond, YELLOW) > 500
    assert (within[-24:] != beyond[-24:]).any()


def test_numbers_are_printed_where_they_fit():
    few = timeline_picture(np.full((1, 4), 0.5), ["head"], range(4), TITLE)
    assert count(few, (255, 255, 255)) > 0
    many_values = np.full((1, 150), 0.5)
    many = timeline_picture(many_values, ["head"], range(150), TITLE)
    flat = np.round(np.array(colormaps["viridis"](128)[:3]) * 255).astype(np.uint8)
    assert count(many, flat) == 150 * 7 * 24 + count(few[-24:], flat)
    assert count(few, flat) < 4 * 48 * 24 + count(few[-24:], flat)


@pytest.mark.parametrize("epochs", [1, 2, 30, 150])
def test_a_timeline_of_any_length_is_drawn_within_its_margins(epochs):
    values = np.random.default_rng(0).random((3, epochs))
    picture = timeline_picture(values, ["a", "b", "c"], range(0, 5 * epochs, 5), TITLE)
    assert picture.dtype == np.uint8
    assert picture.shape[1] < 1300
    assert (picture[:, -2:] == 255).all()


def test_leakage_has_a_row_for_each_organ_and_may_have_other_columns():
    matrix = np.eye(2, 3)
    picture = leak_picture(matrix, ["liver", "spleen"], TITLE, columns=["liver", "spleen", "rest"])
    diagonal = count(picture, YELLOW)
    assert 2 * 48 * 24 * 0.6 < diagonal < 2 * 48 * 24 + 200
    square = leak_picture(matrix[:, :2], ["liver", "spleen"], TITLE)
    assert abs(count(square, YELLOW) - diagonal) < 200


def test_a_measure_on_another_scale_uses_it():
    values = np.array([[0.0, 24.0]])
    picture = leak_picture(values, ["liver"], TITLE, columns=["liver", "spleen"], vmax=24)
    clipped = leak_picture(values / 2, ["liver"], TITLE, columns=["liver", "spleen"], vmax=24)
    assert count(picture, YELLOW) > count(clipped, YELLOW) + 400
