from dataclasses import replace

import numpy as np
import pytest

from segtrace.report.pictures.cells import PREDICTION, TRUTH
from segtrace.report.pictures.lettering import INK_HEIGHT
from segtrace.report.pictures.sheet import (
    GAP,
    MARGIN,
    Column,
    blank,
    colour_bar,
    grid,
    head,
    key,
    paragraph,
)
from segtrace.report.scene import Caption


@pytest.fixture
def caption():
    return Caption("liver", "grad_pam", "gt", "logit", 3, "own", ("a",), phantom=True)


def test_cells_stand_under_their_name_and_row(caption):
    cells = [np.full((40, 40, 3), value, np.uint8) for value in (10, 20)]
    sheet = grid([Column("enc1", cells, ["max 1", ""])], ["case a", "case b"], 40)
    height = 2 * INK_HEIGHT + 40 + GAP
    for i, value in enumerate((10, 20)):
        top = 2 * INK_HEIGHT + i * height
        assert (sheet[top : top + 40, MARGIN : MARGIN + 40] == value).all()
    below = sheet[2 * INK_HEIGHT + 40 :][:INK_HEIGHT]
    assert (below < 128).any()
    assert (sheet[2 * INK_HEIGHT + height + 40 :] == 255).all()


@pytest.mark.parametrize("width", [208, 1208])
def test_head_and_key_fill_the_width_and_stay_within(caption, width):
    for part in (head(caption, width), key(caption, width)):
        assert part.shape[1] == width
        assert (part[:, :2] == 255).all()
        assert (part[:, -2:] == 255).all()


def test_the_mark_is_on_its_own_line_where_it_does_not_fit_beside(caption):
    assert head(caption, 208).shape[0] > head(caption, 1208).shape[0]


def test_the_key_shows_the_colours_of_the_contours_at_any_width(caption):
    for width in range(208, 900, 12):
        sheet = key(caption, width)
        assert (sheet == TRUTH).all(-1).any()
        assert (sheet == PREDICTION).all(-1).any()


def test_a_colour_bar_stands_between_its_ends():
    sheet = blank(INK_HEIGHT, 200)
    colours = np.stack([np.arange(50)] * 3, -1).astype(np.uint8)
    colour_bar(sheet, 0, colours, "0", "1")
    rows = (sheet[8] < 60).all(-1)
    assert rows.sum() >= 50


def test_a_paragraph_grows_with_its_lines():
    one = paragraph([("short", (0, 0, 0), False)], 300)
    two = paragraph([("short words " * 8, (0, 0, 0), False)], 300)
    assert one.shape[0] == INK_HEIGHT
    assert two.shape[0] > INK_HEIGHT


def test_the_colour_bar_ends_with_the_number_of_a_shared_scale(caption):
    shared = replace(caption, brightest="2.5e-01")
    assert (key(shared, 900)[:, -60:] != key(caption, 900)[:, -60:]).any()
