import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from helpers.saving import pixels
from segtrace.report.figures.necessity import necessity_figure
from segtrace.report.figures.paper import save_figure
from segtrace.report.figures.route import GREY, as_picture

LOST = torch.tensor([[0.9, 0.8], [0.004, 0.3], [-0.02, float("nan")]])
SITES, ORGANS = ["enc1", "enc2", "skip_1"], ["left_kidney", "liver"]


def drawn(**options):
    given = {"dice": [0.9, 0.85], "vertices": [True, False, False], "title": "epoch 9",
             "cut": "channel_mean", "marks": ["PHANTOM"]}  # fmt: skip
    return necessity_figure(LOST, SITES, ORGANS, **(given | options))


def test_every_loss_is_printed_and_cut_vertices_are_marked():
    figure, caption = drawn()
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["0.90", "0.80", "0.00", "0.30", "-0.02", "–"]
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["enc1 †", "enc2", "skip_1"]
    columns = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert columns == ["left kidney\nDice 0.90", "liver\nDice 0.85"]
    assert "replaced by each channel's mean over training slices" in caption
    assert "Note: phantom." in caption


def test_what_costs_nothing_is_grey_and_what_is_undefined_white():
    image = drawn()[0].axes[0].images[0]
    colours = image.to_rgba(image.get_array())
    assert tuple(colours[1, 0]) == tuple(colours[2, 0]) == pytest.approx(to_rgba(GREY), abs=0.01)
    assert tuple(colours[2, 1]) == (1, 1, 1, 1)
    assert tuple(colours[0, 0]) != tuple(colours[1, 1])


def test_it_is_saved_with_its_caption_and_as_pixels(tmp_path):
    figure, caption = drawn(cut="zero")
    assert "replaced by zero" in caption
    png, pdf, text, _ = save_figure(tmp_path, "necessity", figure, caption)
    assert pdf.read_bytes().startswith(b"%PDF")
    assert text.read_text() == f"necessity: {caption}\n"
    # Each cell of the table has its own colour, seen near the cell's corner, beside the words.
    picture, (width, height) = pixels(png), figure.get_size_inches()
    assert picture.shape[:2] == pytest.approx((300 * height, 300 * width), abs=1)
    axes, image = figure.axes[0], figure.axes[0].images[0]
    shades = image.to_rgba(image.get_array(), bytes=True)
    for row, column in np.ndindex(3, 2):
        place = axes.transData.transform((column - 0.4, row - 0.3))
        x, y = figure.transFigure.inverted().transform(place)
        found = picture[round((1 - y) * len(picture)), round(x * picture.shape[1])]
        assert np.abs(found.astype(int) - shades[row, column, :3]).max() <= 1
    width, height = figure.get_size_inches()
    assert as_picture(figure).shape == pytest.approx((150 * height, 150 * width, 3), abs=1)
