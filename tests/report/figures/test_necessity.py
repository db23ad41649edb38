import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from helpers.saving import pixels
from segtrace.report.figures.drawing import as_picture, save_figure
from segtrace.report.figures.necessity import in_order, necessity_figure
from segtrace.report.figures.route import GREY, SCALE
from segtrace.report.route_words import Branch

LOST = torch.tensor([[0.9, 0.8], [0.0, 0.8], [-0.02, float("nan")]])
ENDS = (torch.tensor([[0.5, torch.nan]] * 3), torch.tensor([[1.0, torch.nan]] * 3))
SITES, ORGANS = ["enc1", "enc2", "skip_1"], ["left_kidney", "liver"]
U = (
    Branch("skip_1", "enc2", "dec1", 0.9, 0.5, 0.0),
    Branch("up_1", "enc3", "dec1", 0.1, 0.0, 0.0),
    Branch("skip_2", "enc1", "dec2", 0.2, 0.3, 0.0),
    Branch("up_2", "dec1", "dec2", 0.8, 0.8, 0.0),
)


def drawn(**options):
    given = {"dice": [0.9, 0.8], "vertices": [False] * 3, "title": "epoch 9",
             "cut": "channel_mean", "marks": ["PHANTOM"]}  # fmt: skip
    return necessity_figure(LOST, SITES, ORGANS, **(given | options))


def test_rows_stand_in_the_order_of_the_u_and_twins_are_named_once():
    sites = ["enc1", "enc2", "enc3", "dec1", "dec2", "head", "skip_1", "up_1", "skip_2", "up_2"]
    lost = torch.arange(10.0)[:, None].repeat(1, 2)
    lost[7], lost[9] = lost[2], lost[3]  # up_1 carries enc3, up_2 carries dec1
    assert in_order(sites, lost, ("enc1", "enc2", "enc3"), U) == [
        ("enc1",), ("enc2",), ("enc3", "up_1"), ("skip_1",), ("dec1", "up_2"), ("skip_2",),
        ("dec2",), ("head",),
    ]  # fmt: skip
    lost[9, 1] = 0.5  # an edge that loses something else is no twin
    assert ("dec1",) in in_order(sites, lost, ("enc1", "enc2", "enc3"), U)
    assert in_order(sites, lost) == [(site,) for site in sites]


def test_every_loss_is_printed_with_its_interval_or_that_it_is_all():
    figure, caption = drawn(ends=ENDS)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["0.90", "0.50 to 1.00", "0.80", "all", "0.00", "0.50 to 1.00", "0.80", "all",
                     "-0.02", "0.50 to 1.00", "–"]  # fmt: skip
    columns = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert columns == ["left kidney\nDice 0.90", "liver\nDice 0.80"]
    assert "replaced by each channel's mean over training slices" in caption
    assert "Note: phantom." in caption


def test_what_differs_between_organs_is_bold():
    bold = [text.get_text() for text in drawn()[0].axes[0].texts if text.get_weight() == "bold"]
    assert bold == ["0.00", "0.80"]


def test_what_every_path_runs_through_is_named_below_and_has_no_row():
    figure, caption = drawn(vertices=[True, False, False])
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["enc2", "skip_1"]
    assert "Every path runs through enc1" in figure.get_supxlabel()
    assert "Every path from image to logits runs through enc1" in caption
    assert "Every path" not in drawn()[0].get_supxlabel()
    chain, _ = drawn(vertices=[True] * 3)  # there is nothing else to show
    assert len(chain.axes[0].get_yticklabels()) == 3


def test_what_costs_nothing_is_light_and_what_is_undefined_grey():
    image = drawn()[0].axes[0].images[0]
    colours = image.to_rgba(image.get_array())
    assert tuple(colours[1, 0]) == tuple(colours[2, 0]) == SCALE(0.0)
    assert tuple(colours[2, 1]) == pytest.approx(to_rgba(GREY))
    assert colours[0, 0, :3].sum() < colours[0, 1, :3].sum() < colours[1, 0, :3].sum()


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


def test_an_organ_that_is_not_found_is_grey_and_counts_in_no_mean():
    figure, caption = drawn(dice=[0.9, 0.02])
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["0.90", "all", "–", "0.00", "–", "-0.02", "–"]
    assert not [text for text in figure.axes[0].texts if text.get_weight() == "bold"]
    assert "whose Dice is below 0.1 has nothing that could be lost" in caption
