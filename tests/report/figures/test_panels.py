import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from segtrace.report.figures.panels import (
    PAGE_WIDTH,
    Panel,
    Strip,
    cell_inches,
    cell_pixels,
    lay_out,
    print_style,
)
from segtrace.report.pictures.cells import TRUTH

BLACK = np.zeros((60, 60, 3), np.uint8)


def rendered(figure):
    canvas = FigureCanvasAgg(figure)
    with print_style():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def one_strip(panels, **strip):
    with print_style():
        return lay_out([Strip("liver", panels, **strip)], truth=True, bar_words="max")


def test_the_style_is_put_back():
    before = matplotlib.rcParams["font.size"]
    with print_style():
        assert matplotlib.rcParams["font.size"] == 7
    assert matplotlib.rcParams["font.size"] == before


def test_cells_and_gaps_fill_the_page():
    figure = one_strip([Panel(name, BLACK) for name in ("CT", "enc1", "head")])
    left, right = figure.axes[0].get_position().x0, figure.axes[2].get_position().x1
    assert left + right == pytest.approx(1)
    assert figure.get_size_inches()[0] == pytest.approx(PAGE_WIDTH)
    box = figure.axes[1].get_position()
    width, height = figure.get_size_inches()
    assert box.width * width == pytest.approx(cell_inches(3))
    assert box.height * height == pytest.approx(cell_inches(3))
    assert cell_pixels(3) == round(cell_inches(3) * 300)


def test_all_words_lie_on_the_page_and_none_on_another():
    panels = [Panel(f"enc{i}", BLACK, "1.0e-02") for i in range(12)]
    figure = one_strip(panels)
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
    figure = one_strip([Panel(f"enc{i}", None, note) for i in range(12)])
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
    panel = Panel("CT", BLACK, "", [(mask, TRUTH, False)])
    axes = one_strip([panel]).axes[0]
    (paths,) = [c.get_paths() for c in axes.collections]
    x, y = paths[0].vertices.T
    assert (x[0], y[0]) == pytest.approx((x[-1], y[-1]))
    assert (x.min(), x.max()) == pytest.approx((2 * 5 - 0.5, 2 * 15 - 0.5), abs=1.1)
    assert (y.min(), y.max()) == pytest.approx((-0.5, 2 * 10 - 0.5), abs=1.1)


def test_an_empty_mask_draws_no_outline():
    panel = Panel("CT", BLACK, "", [(np.zeros((30, 30), bool), TRUTH, False)])
    assert not one_strip([panel]).axes[0].collections


def test_the_patients_right_is_lettered_at_the_left_where_the_sides_are_known():
    figure = one_strip([Panel("CT", BLACK, sides=True), Panel("enc1", BLACK)])
    FigureCanvasAgg(figure).draw()
    right, left = figure.axes[0].texts
    assert (right.get_text(), left.get_text()) == ("R", "L")
    box, middle = figure.axes[0].bbox, (figure.axes[0].bbox.x0 + figure.axes[0].bbox.x1) / 2
    assert box.x0 <= right.get_window_extent().x0 < right.get_window_extent().x1 < middle
    assert middle < left.get_window_extent().x0 < left.get_window_extent().x1 <= box.x1
    assert "R, L: the patient's right and left" in [text.get_text() for text in figure.texts]


def test_no_side_is_lettered_where_none_is_known():
    figure = one_strip([Panel("CT", BLACK)])
    assert not figure.axes[0].texts
    words = [text.get_text() for text in figure.texts]
    assert "the patient's sides are not known" in words
    assert not any("R, L" in word for word in words)


def test_a_mark_is_printed_in_red():
    with print_style():
        strips = [Strip("liver", [Panel("CT", BLACK)])]
        marked = lay_out(strips, truth=True, bar_words="max", mark="PHANTOM")
    pixels = rendered(marked).astype(int)
    assert ((pixels[..., 0] > 150) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)).sum() > 20


def test_names_are_left_out_of_a_strip_that_repeats_them():
    named = one_strip([Panel("CT", BLACK)])
    bare = one_strip([Panel("CT", BLACK)], named=False)
    assert "CT" in [text.get_text() for text in named.texts]
    assert "CT" not in [text.get_text() for text in bare.texts]
    assert bare.get_size_inches()[1] < named.get_size_inches()[1]
