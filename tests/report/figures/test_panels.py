import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from segtrace.report.figures.panels import (
    PAGE_WIDTH,
    Legend,
    Strip,
    cell_inches,
    cell_pixels,
    lay_out,
    print_style,
)
from segtrace.report.pictures.cells import TRUTH
from segtrace.report.pictures.strip import Cell
from segtrace.report.pictures.view import View

BLACK = np.zeros((60, 60, 3), np.uint8)


def rendered(figure):
    canvas = FigureCanvasAgg(figure)
    with print_style():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def one_strip(cells, **strip):
    side = cell_pixels(len(cells))
    legend = Legend(True, any(cell.sides for cell in cells), "max", "its gain")
    with print_style():
        return lay_out([Strip("liver", cells, **strip)], View(height=side, width=side), legend)


def test_the_style_is_put_back():
    before = matplotlib.rcParams["font.size"]
    with print_style():
        assert matplotlib.rcParams["font.size"] == 7
    assert matplotlib.rcParams["font.size"] == before


def test_cells_and_gaps_fill_the_page():
    figure = one_strip([Cell(name, BLACK) for name in ("CT", "enc1", "head")])
    left, right = figure.axes[0].get_position().x0, figure.axes[2].get_position().x1
    assert left + right == pytest.approx(1)
    assert figure.get_size_inches()[0] == pytest.approx(PAGE_WIDTH)
    box = figure.axes[1].get_position()
    width, height = figure.get_size_inches()
    assert box.width * width == pytest.approx(cell_inches(3))
    assert box.height * height == pytest.approx(cell_inches(3))
    assert cell_pixels(3) == round(cell_inches(3) * 300)


def test_all_words_lie_on_the_page_and_none_on_another():
    cells = [Cell(f"enc{i}", BLACK, "1.0e-02") for i in range(12)]
    figure = one_strip(cells)
    canvas = FigureCanvasAgg(figure)
    with print_style():
        canvas.draw()
        boxes = [text.get_window_extent() for text in figure.texts]
    page = figure.bbox
    assert all(b.x0 >= 0 and b.x1 <= page.x1 and b.y0 >= 0 and b.y1 <= page.y1 for b in boxes)
    overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.width and a.overlaps(b)]
    assert overlaps == []


def test_a_note_stays_within_its_cell():
    note = "gradient averages to zero (GAP degenerate)"
    figure = one_strip([Cell(f"enc{i}", None, note) for i in range(12)])
    with print_style():
        FigureCanvasAgg(figure).draw()
    for axes in figure.axes[:12]:
        text, cell = axes.texts[0].get_window_extent(), axes.bbox
        assert text.x0 >= cell.x0
        assert text.x1 <= cell.x1
        assert text.y0 >= cell.y0
        assert text.y1 <= cell.y1


def test_an_outline_runs_around_the_mask_and_closes_at_the_edge():
    mask = np.zeros((30, 30), bool)
    mask[0:10, 5:15] = True
    cell = Cell("CT", BLACK, lines=[(mask, TRUTH, False)])
    axes = one_strip([cell]).axes[0]
    (paths,) = [c.get_paths() for c in axes.collections]
    x, y = paths[0].vertices.T
    assert (x[0], y[0]) == pytest.approx((x[-1], y[-1]))
    pixel = cell_pixels(1) / 30
    assert (x.min(), x.max()) == pytest.approx((5 * pixel, 15 * pixel), abs=0.55 * pixel)
    assert (y.min(), y.max()) == pytest.approx((0, 10 * pixel), abs=0.55 * pixel)


def test_an_outline_lies_where_the_window_shows_its_mask_and_asks_for_no_room_beyond():
    mask = np.zeros((30, 30), bool)
    mask[12:15, 12:18] = True
    cell, view = (
        Cell("CT", BLACK, lines=[(mask, TRUTH, False)]),
        View((0.3, 0.6), (0.2, 0.8), 60, 120),
    )
    with print_style():
        axes = lay_out([Strip("", [cell])], view, Legend(True, False, "max", "")).axes[0]
    (paths,) = [c.get_paths() for c in axes.collections]
    x, y = paths[0].vertices.T
    assert (x.min(), x.max()) == pytest.approx((40 - 0.5, 80 - 0.5), abs=3.5)
    assert (y.min(), y.max()) == pytest.approx((20 - 0.5, 40 - 0.5), abs=3.5)
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 119.5), (59.5, -0.5))


def test_an_empty_mask_draws_no_outline():
    cell = Cell("CT", BLACK, lines=[(np.zeros((30, 30), bool), TRUTH, False)])
    assert not one_strip([cell]).axes[0].collections


def test_the_patients_right_is_lettered_at_the_left_where_the_sides_are_known():
    figure = one_strip([Cell("CT", BLACK, sides=True), Cell("enc1", BLACK)])
    FigureCanvasAgg(figure).draw()
    right, left = figure.axes[0].texts
    assert (right.get_text(), left.get_text()) == ("R", "L")
    box, middle = figure.axes[0].bbox, (figure.axes[0].bbox.x0 + figure.axes[0].bbox.x1) / 2
    assert box.x0 <= right.get_window_extent().x0 < right.get_window_extent().x1 < middle
    assert middle < left.get_window_extent().x0 < left.get_window_extent().x1 <= box.x1
    assert "R, L: the patient's right and left" in [text.get_text() for text in figure.texts]


def test_no_side_is_lettered_where_none_is_known():
    figure = one_strip([Cell("CT", BLACK)])
    assert not figure.axes[0].texts
    words = [text.get_text() for text in figure.texts]
    assert "the patient's sides are not known" in words
    assert not any("R, L" in word for word in words)


def test_a_mark_is_printed_in_red():
    with print_style():
        strips, legend = [Strip("liver", [Cell("CT", BLACK)])], Legend(True, False, "max", "")
        marked = lay_out(strips, View(height=300, width=300), legend, "PHANTOM")
    pixels = rendered(marked).astype(int)
    assert ((pixels[..., 0] > 150) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)).sum() > 20


def test_names_are_left_out_of_a_strip_that_repeats_them():
    named = one_strip([Cell("CT", BLACK)])
    bare = one_strip([Cell("CT", BLACK)], named=False)
    assert "CT" in [text.get_text() for text in named.texts]
    assert "CT" not in [text.get_text() for text in bare.texts]
    assert bare.get_size_inches()[1] < named.get_size_inches()[1]
