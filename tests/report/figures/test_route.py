from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba

from helpers.saving import pixels
from segtrace import InputError
from segtrace.report.figures.drawing import as_picture, save_figure
from segtrace.report.figures.route import (
    GREY,
    SCALE,
    THICKEST,
    THINNEST,
    Diagram,
    averaged,
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


STAGES = {
    "enc1": 0.9,
    "enc2": 0.02,
    "enc3": 0.0,
    "dec1": 0.4,
    "dec2": 0.8,
    "dec3": 0.9,
    "head": 0.9,
}


WORDS = "The liver loses most without up_2 (0.80, 0.70 to 0.90); over 12 cases."


def network(title, dice=0.9, branches=FOUND):
    return Diagram(title, branches, STAGES, dice, words=WORDS)


def test_the_network_is_drawn_as_a_u():
    at = places(ENCODERS, FOUND)
    assert at["enc1"] == (0, 0)
    assert at["enc2"] == (0, -1)
    assert at["enc3"][0] == 0.5  # the deepest lies between encoder and decoder
    assert at["enc3"][1] < -2
    assert at["dec1"] == (1, -1)  # beside enc2, whose skip it takes
    assert at["dec2"] == (1, 0)
    assert at["dec3"] == (1, 1)  # has no skip


def test_width_is_the_share():
    widths = [width(branch) for branch in FOUND]
    assert widths[2] == widths[4] == THINNEST
    assert widths[3] == THICKEST
    assert widths[1] < widths[0] < THICKEST


def test_the_more_is_lost_the_darker_and_grey_was_not_measured():
    assert colour(FOUND[4]) == GREY
    assert colour(FOUND[1]) == SCALE(0.0)
    light = [sum(to_rgb(colour(branch))) for branch in (FOUND[1], FOUND[2], FOUND[0], FOUND[3])]
    assert light == sorted(light, reverse=True)
    assert colour(FOUND[0], {"skip_1"}) == "white"  # total by construction: no finding


def ink(branch):
    """Red, green and blue in which a branch is drawn."""
    return np.round(255 * np.array(to_rgb(colour(branch)))).astype(int)


def drawn(ax):
    return [text.get_text() for text in ax.texts]


def test_where_a_share_is_not_defined_no_sum_of_shares_is_told():
    nowhere = [replace(branch, share=float("nan"), error=float("nan")) for branch in FOUND]
    for branches, said in (
        (nowhere, "means over training slices. Colour"),
        ([nowhere[0], *FOUND[1:]], "add to 1 within 2.0%"),
    ):
        _, caption = route_figure("liver", ENCODERS, [network("e", branches=branches)], [])
        assert said in caption
        assert "nan" not in caption


def test_every_number_is_printed_and_the_mean_over_organs_stands_beside(tmp_path):
    ends = {"skip_1": (0.25, 0.75)}
    own = replace(network("epoch 9"), ends=ends, vertices={"up_2", "head"})
    both = [own, averaged([own, network("epoch 9", 0.5)])]
    figure, caption = route_figure("liver", ENCODERS, both, ["PHANTOM"])
    words = {"90%; 0.50 [0.25 to 0.75]", "120%; †", "-20%; 0.30", "–; –", "image", "enc1", "head †"}
    assert words <= set(drawn(figure.axes[0]))
    titles = [ax.get_title() for ax in figure.axes[:2]]
    assert titles == ["epoch 9, Dice 0.90", "mean over 2 organs, Dice 0.70"]
    assert "add to 1 within 2.0%" in caption
    assert caption.startswith(WORDS)
    assert "Note: phantom." in caption
    assert "PHANTOM" in [text.get_text() for text in figure.texts]
    png, pdf, text, _ = save_figure(tmp_path, "route_liver", figure, caption)
    picture, (width, height) = pixels(png), figure.get_size_inches()
    assert picture.shape[:2] == pytest.approx((300 * height, 300 * width), abs=1)
    for branch in FOUND[:3]:  # every edge is there, in the colour of what its cut costs
        assert ((np.abs(picture - ink(branch)).max(-1) <= 1).sum()) > 500
    assert pdf.read_bytes().startswith(b"%PDF")
    assert text.read_text() == f"route_liver: {caption}\n"


def test_the_mean_over_organs_counts_what_is_known():
    other = [replace(branch, lost=0.1, share=0.5) for branch in FOUND]
    mean = averaged([network("a"), replace(network("b", 0.5, other), stages=STAGES)])
    assert [branch.lost for branch in mean.branches] == pytest.approx([0.3, 0.05, 0.2, 0.45, 0.1])
    assert mean.branches[4].share == 0.5
    assert mean.stages == pytest.approx(STAGES)
    assert mean.dice == pytest.approx(0.7)
    assert not mean.ends


def test_a_stage_has_the_colour_of_what_its_own_cut_costs():
    figure, _ = route_figure("liver", ENCODERS, [network("epoch 9")])
    faces = {
        text.get_text(): text.get_bbox_patch().get_facecolor()
        for text in figure.axes[0].texts
        if text.get_bbox_patch() is not None
    }
    assert faces["enc3"] == SCALE(0.0)
    assert faces["image"] == to_rgba("white")  # no stage
    assert faces["enc1"] == faces["head"] != faces["dec1"]


def test_what_every_path_runs_through_has_no_colour():
    figure, _ = route_figure("liver", ENCODERS, [replace(network("epoch 9"), vertices={"head"})])
    (box,) = [text for text in figure.axes[0].texts if text.get_text() == "head †"]
    assert box.get_bbox_patch().get_facecolor() == to_rgba("white")


def test_no_two_words_of_a_panel_lie_on_one_another():
    figure, _ = route_figure(
        "liver",
        ENCODERS,
        [
            replace(network("epoch 9"), ends={branch.name: (0.1, 0.9) for branch in FOUND}),
            network("mean"),
        ],
    )
    as_picture(figure)  # lays it out
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])


def test_tensorboard_gets_pixels():
    figure, _ = route_figure("liver", ENCODERS, [network("epoch 9")])
    picture = as_picture(figure)
    width, height = figure.get_size_inches()
    assert picture.shape == pytest.approx((150 * height, 150 * width, 3), abs=1)

    def count(last):
        """Pixels in the colour of the last branch, where that is drawn so."""
        network_ = network("epoch 9", branches=(*FOUND[:3], last))
        picture = as_picture(route_figure("liver", ENCODERS, [network_])[0])
        return int((np.abs(picture - ink(FOUND[3])).max(-1) <= 1).sum())

    thick = replace(FOUND[3], share=1.0)
    none = count(replace(thick, lost=0.0))  # boxes and the key have the colour, the edge has not
    assert count(thick) - none > 3 * (count(replace(thick, share=0.2)) - none) > 0


def test_nothing_to_draw_is_a_mistake():
    with pytest.raises(InputError, match="no edges to draw"):
        route_figure("liver", ENCODERS, [network("epoch 9", branches=())])
    with pytest.raises(InputError, match="no edges to draw"):
        route_figure("liver", ENCODERS, [])
