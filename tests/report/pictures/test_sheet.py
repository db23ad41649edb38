import numpy as np
import pytest

from segtrace.report.pictures.cells import PREDICTION, TRUTH, note_cell
from segtrace.report.pictures.lettering import INK_HEIGHT
from segtrace.report.pictures.sheet import (
    GAP,
    MARGIN,
    band,
    blank,
    colour_bar,
    head,
    key,
    paragraph,
)
from segtrace.report.pictures.strip import Cell
from segtrace.report.pictures.view import View

VIEW = View(height=30, width=40)
CONTOURS = (("solid blue", TRUTH), ("dashed orange", PREDICTION))


def key_of(width, high="max"):
    sentences = ["Contour: solid blue: truth, dashed orange: prediction", "Not for diagnosis"]
    return key(sentences, ("Colour:", "0", high), CONTOURS, width)


def test_cells_stand_under_their_name_in_lines_below_the_label():
    cells = [Cell(f"c{v}", np.full((30, 40, 3), v, np.uint8), "0.82") for v in (10, 20, 30)]
    sheet = band("case a", [*cells, Cell("c4", None, "no")], VIEW, 2)
    pitch = 2 * INK_HEIGHT + 30 + GAP
    for i, cell in enumerate(cells):
        top, left = 2 * INK_HEIGHT + i // 2 * pitch, MARGIN + i % 2 * (40 + GAP)
        np.testing.assert_array_equal(sheet[top : top + 30, left : left + 40], cell.picture)
        assert (sheet[top + 30 : top + 30 + INK_HEIGHT, left : left + 40] < 128).any()
    note = sheet[2 * INK_HEIGHT + pitch :, MARGIN + 40 + GAP :][:30, :40]
    np.testing.assert_array_equal(note, note_cell("no", 30, 40))


def test_contours_are_drawn_over_a_copy_of_the_cell():
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    black = np.zeros((30, 40, 3), np.uint8)
    sheet = band("", [Cell("CT", black, lines=[(mask, TRUTH, False)])], VIEW, 1)
    cell = sheet[INK_HEIGHT : INK_HEIGHT + 30, MARGIN : MARGIN + 40]
    assert (np.abs(cell.astype(int) - TRUTH) < 40).all(-1).any()
    assert not black.any()


@pytest.mark.parametrize("width", [300, 1208])
def test_head_and_key_fill_the_width_and_stay_within(width):
    for part in (head("Liver", "PHANTOM", "facts " * 30, width), key_of(width)):
        assert part.shape[1] == width
        assert (part[:, :2] == 255).all()
        assert (part[:, -2:] == 255).all()


def test_the_mark_is_on_its_own_line_where_it_does_not_fit_beside():
    title, mark = "Left kidney  ·  Seg-Grad-CAM", "PHANTOM"
    assert head(title, mark, "", 208).shape[0] > head(title, mark, "", 1208).shape[0]


def test_the_key_shows_the_colours_of_the_contours_at_any_width():
    for width in range(300, 900, 12):
        sheet = key_of(width)
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


def test_the_colour_bar_ends_with_the_number_of_a_shared_scale():
    assert (key_of(900, "0.25 in all maps") != key_of(900)).any()
