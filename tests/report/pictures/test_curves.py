from itertools import pairwise
from math import nan

import numpy as np
import pytest

from segtrace.report.pictures.curves import Axes, curves_picture
from segtrace.report.pictures.lettering import INK_HEIGHT, text_width
from segtrace.report.pictures.palette import PALETTE

SIZE = (200, 400)


def rows_of(picture, colour, columns=slice(0, 200)):
    """Rows of the pixels of a line, which are nearly of its colour."""
    near = (np.abs(picture[:, columns].astype(int) - colour) < 30).all(-1)
    return np.nonzero(near)[0]


def test_numbers_lie_between_the_corners_of_the_axes():
    axes = Axes(10, 20, 110, 220, (0, 4), 2.0)
    assert axes.at(0, 0) == (15, 220)
    assert axes.at(4, 2.0) == (105, 20)
    assert axes.at(2, 1.0) == (60, 120)
    assert axes.at(2, 9.0)[1] == 20
    below = Axes(10, 20, 110, 220, (0, 4), 2.0, -2.0)
    assert [below.at(0, value)[1] for value in (-9, -2, 0, 2)] == [220, 220, 120, 20]


def test_a_higher_curve_lies_higher():
    picture = curves_picture({"a": [0.9] * 3, "b": [0.2] * 3}, [0, 1, 2], "Dice", SIZE, 1.0)
    assert picture.shape == (*SIZE, 3)
    upper, lower = (rows_of(picture, colour) for colour in PALETTE[:2])
    assert upper.size
    assert upper.max() < lower.min()


def test_what_is_not_known_is_not_drawn():
    picture = curves_picture({"a": [nan, nan]}, [0, 5], "Dice", SIZE, 1.0)
    assert not rows_of(picture, PALETTE[0]).size


@pytest.mark.parametrize("epochs", [[0], [3, 7]])
def test_one_epoch_is_drawn_as_well_as_many(epochs):
    picture = curves_picture({"a": [0.5] * len(epochs)}, epochs, "Dice", SIZE)
    assert rows_of(picture, PALETTE[0]).size


def test_names_at_the_ends_do_not_cover_each_other():
    curves = {f"organ {i}": [0.5, 0.5] for i in range(8)}
    picture = curves_picture(curves, [0, 1], "Dice", SIZE, 1.0)
    spans = [rows_of(picture, colour, slice(300, 400)) for colour in PALETTE]
    centres = sorted(float(np.median(rows)) for rows in spans)
    assert min(b - a for a, b in pairwise(centres)) > 8


def test_a_long_number_at_the_axis_is_not_cut_off():
    picture = curves_picture({"a": [12345.0, 50.0]}, [0, 1], "Loss", SIZE)
    beside = picture[INK_HEIGHT : 3 * INK_HEIGHT, : text_width("1.23e+04") + 4]
    ink = np.nonzero((beside < 200).any((0, 2)))[0]
    assert np.ptp(ink) > text_width("1.23e+04") - 6
