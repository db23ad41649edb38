import pytest
from matplotlib.colors import to_rgb

from segtrace import InputError
from segtrace.report.figures import save_figure
from segtrace.report.route_picture import (
    GREY,
    THICKEST,
    THINNEST,
    as_picture,
    colour,
    places,
    route_figure,
    width,
)
from segtrace.report.route_words import Branch

ENCODERS = ("enc1", "enc2", "enc3")
FOUND = (
    Branch("skip_1", "enc2", "dec1", 0.9, 0.5, 0.01),
    Branch("up_1", "enc3", "dec1", 0.1, 0.0, 0.01),
    Branch("skip_2", "enc1", "dec2", -0.2, 0.3, 0.02),
    Branch("up_2", "dec1", "dec2", 1.2, 0.8, 0.02),
    Branch("up_3", "dec2", "dec3", float("nan"), float("nan"), 0.0),
)


def test_the_network_is_drawn_as_a_u():
    at = places(ENCODERS, FOUND)
    assert [at[name] for name in ENCODERS] == [(0, 0), (0, -1), (0, -2)]
    assert at["dec1"] == (1, -1)  # beside enc2, whose skip it takes
    assert at["dec2"] == (1, 0)
    assert at["dec3"] == (1, 1)  # has no skip


def test_width_is_the_share_and_grey_costs_nothing():
    widths = [width(branch) for branch in FOUND]
    assert widths[2] == widths[4] == THINNEST
    assert widths[3] == THICKEST
    assert widths[1] < widths[0] < THICKEST
    assert colour(FOUND[1]) == colour(FOUND[4]) == GREY
    assert to_rgb(colour(FOUND[0])) != to_rgb(colour(FOUND[3]))


def test_every_number_is_printed_and_the_untrained_network_stands_beside(tmp_path):
    figure, caption = route_figure("liver", ENCODERS, {"epoch 9": FOUND, "epoch 0": FOUND})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"0.90 | 0.50", "1.20 | 0.80", "enc1", "dec3"} <= set(texts)
    assert [ax.get_title() for ax in figure.axes[:2]] == ["epoch 9", "epoch 0"]
    assert "add to 1 within 2.0%" in caption
    assert caption.startswith("The liver enters by the skips of enc2 and enc1 and travels up")
    paths = save_figure(tmp_path, "route_liver", figure, caption)
    assert all(path.stat().st_size > 0 for path in paths)


def test_tensorboard_gets_pixels():
    figure, _ = route_figure("liver", ENCODERS, {"epoch 9": FOUND})
    picture = as_picture(figure)
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert picture.std() > 0


def test_nothing_to_draw_is_a_mistake():
    with pytest.raises(InputError, match="no edges to draw"):
        route_figure("liver", ENCODERS, {"epoch 9": ()})
