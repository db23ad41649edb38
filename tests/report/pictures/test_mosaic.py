from dataclasses import replace

import numpy as np
import pytest
import torch

from segtrace.attribution.aggregate import aggregate
from segtrace.report.combined import NOTHING
from segtrace.report.pictures.cells import ct_cell, note_cell
from segtrace.report.pictures.lettering import INK_HEIGHT
from segtrace.report.pictures.mosaic import (
    choose_rows,
    describe_picture,
    flow_picture,
    heat_cell,
    shared_maximum,
)
from segtrace.report.pictures.sheet import GAP, MARGIN
from segtrace.report.scene import REASONS

CELL = 96
SAYS = {"region": "gt", "epoch": 7}


def cells_of(picture, rows, columns, cell=CELL):
    """Cut the cells out of a picture; the grid ends where the key begins."""
    height = 2 * INK_HEIGHT + cell + GAP
    dark = (picture[:, MARGIN + cell // 2] < 60).all(-1)
    first = int(np.argmax(dark & np.roll(dark, -5) & np.roll(dark, -40)))
    return [
        [
            picture[first + i * height :, MARGIN + j * (cell + GAP) :][:cell, :cell]
            for j in range(columns)
        ]
        for i in range(rows)
    ]


@pytest.fixture
def dark_scene(scene):
    """Black slices, so that a cell's first row is known by its colour."""
    return replace(scene, image=torch.zeros_like(scene.image))


def test_rows_are_the_slices_with_most_of_the_organ(flow, scene):
    assert choose_rows(flow, scene, "left_kidney") == [0, 1]
    assert choose_rows(flow, scene, "left_kidney", rows=1) == [0]


def test_rows_follow_the_truth_so_that_they_stay_over_the_epochs(flow, scene):
    moved = replace(flow, region_px=flow.region_px.flip(1))
    assert choose_rows(moved, scene, "left_kidney") == [0, 1]
    assert choose_rows(moved, replace(scene, truth=None), "left_kidney") == [2, 1]


def test_an_organ_on_no_slice_gets_one_row_that_says_so(flow, dark_scene):
    assert choose_rows(flow, dark_scene, "spleen") == [0]
    picture = flow_picture(flow, dark_scene, "seg_grad_cam", "spleen", **SAYS)
    ((_, *stages),) = cells_of(picture, 1, 4)
    for cell in stages:
        np.testing.assert_array_equal(cell, note_cell(REASONS["absent"], CELL))


def test_every_cell_of_the_picture_is_the_heat_cell_of_its_map(flow, dark_scene):
    picture = flow_picture(flow, dark_scene, "grad_pam", "left_kidney", **SAYS)
    cells = cells_of(picture, 2, 4)
    for i, n in enumerate((0, 1)):
        for j, stage in enumerate(flow.stages):
            expected = heat_cell(flow.maps[stage][1, 0, n], dark_scene.image[n, 0], CELL)
            np.testing.assert_array_equal(cells[i][j + 1], expected)


def test_an_unsound_map_gives_way_to_its_reason_in_grey(flow, dark_scene):
    picture = flow_picture(flow, dark_scene, "seg_grad_cam", "liver", **SAYS)
    head = cells_of(picture, 2, 4)[0][3]
    np.testing.assert_array_equal(head, note_cell(REASONS["gap_degenerate"], CELL))
    sound = flow_picture(flow, dark_scene, "grad_pam", "liver", **SAYS)
    assert np.ptp(cells_of(sound, 2, 4)[0][3].astype(int), -1).max() > 50


def test_a_shared_scale_is_the_maximum_of_the_sound_maps(flow, dark_scene):
    values = [flow.maps[s][0, 1, :2].max() for s in ("enc1", "enc2")]
    top = shared_maximum(flow, "seg_grad_cam", "liver")
    assert top == pytest.approx(float(max(values)))
    assert shared_maximum(flow, "seg_grad_cam", "spleen") == 0
    picture = flow_picture(flow, dark_scene, "seg_grad_cam", "liver", vmax=top, **SAYS)
    expected = heat_cell(flow.maps["enc2"][0, 1, 0], dark_scene.image[0, 0], CELL, top)
    np.testing.assert_array_equal(cells_of(picture, 2, 4)[0][2], expected)


def test_a_scale_for_each_stage_reaches_its_stage(flow, dark_scene):
    scales = {"enc1": 1.0, "enc2": 9.0, "head": 3.0}
    picture = flow_picture(flow, dark_scene, "grad_pam", "liver", vmax=scales, **SAYS)
    for j, (stage, top) in enumerate(scales.items()):
        expected = heat_cell(flow.maps[stage][1, 1, 0], dark_scene.image[0, 0], CELL, top)
        np.testing.assert_array_equal(cells_of(picture, 2, 4)[0][j + 1], expected)


def test_an_aggregate_is_a_further_last_column(flow, dark_scene):
    both = aggregate(flow, ["enc1", "enc2"])
    plain = flow_picture(flow, dark_scene, "grad_pam", "liver", **SAYS)
    wider = flow_picture(flow, dark_scene, "grad_pam", "liver", aggregate=both, **SAYS)
    assert wider.shape[1] == plain.shape[1] + CELL + GAP
    expected = heat_cell(both.map[1, 1, 0], dark_scene.image[0, 0], CELL)
    np.testing.assert_array_equal(cells_of(wider, 2, 5)[0][4], expected)


def test_an_aggregate_without_a_usable_stage_is_a_note(flow, dark_scene):
    degenerate = aggregate(flow, ["head"])  # of the liver by seg_grad_cam
    picture = flow_picture(flow, dark_scene, "seg_grad_cam", "liver", aggregate=degenerate, **SAYS)
    np.testing.assert_array_equal(cells_of(picture, 2, 5)[0][4], note_cell(NOTHING, CELL))


def test_the_key_says_what_an_aggregate_is(flow, scene):
    both = aggregate(flow, ["enc1", "enc2"], "max")
    caption = describe_picture(flow, scene, "grad_pam", "liver", rows=[0], aggregate=both, **SAYS)
    assert "aggregate: mean of the maps of enc1 and enc2, each divided by its max" in caption.key


def test_the_caption_holds_every_fact_of_the_picture(flow, scene):
    caption = describe_picture(flow, scene, "grad_pam", "liver", rows=[0, 1], **SAYS)
    assert (caption.organ, caption.rule, caption.region) == ("liver", "grad_pam", "gt")
    assert (caption.score, caption.epoch) == ("logit", 7)
    assert caption.phantom
    assert not caption.training
    assert caption.rows[1] == "img0001, slice 12, 154 px explained"
    assert "own maximum" in caption.scale


def test_sides_are_lettered_and_named_only_where_they_are_known(flow, dark_scene):
    unknown = replace(dark_scene, sides_known=False)
    known, without = (
        flow_picture(flow, place, "grad_pam", "liver", rows=[0], **SAYS)
        for place in (dark_scene, unknown)
    )
    cell = cells_of(known, 1, 4)[0][0]
    expected = ct_cell(
        dark_scene.image[0, 0], dark_scene.mask(dark_scene.truth, "liver", 0),
        dark_scene.mask(flow.prediction, "liver", 0), CELL, sides=True,
    )  # fmt: skip
    np.testing.assert_array_equal(cell, expected)
    assert (cell == 255).all(-1).any()
    assert not (cells_of(without, 1, 4)[0][0] == 255).all(-1).any()
    said = describe_picture(flow, unknown, "grad_pam", "liver", rows=[0], **SAYS).key
    assert "the patient's sides are not known" in said


def test_an_organ_that_is_not_found_is_said_to_be(flow, scene):
    blind = replace(flow, prediction=flow.prediction.masked_fill(flow.prediction == 2, 0))
    keys = [describe_picture(blind, scene, "grad_pam", organ, rows=[0], **SAYS).key
            for organ in ("liver", "left_kidney")]  # fmt: skip
    assert "liver: not found by the network on any of these slices" in keys[0]
    assert "redrawn" not in keys[0]
    assert "head: the prediction redrawn" in keys[1]
    assert "not found" not in keys[1]


@pytest.mark.parametrize(
    ("vmax", "words", "brightest"),
    [
        (None, "own maximum", "max"),
        (0.25, "0 to 2.5e-01", "2.5e-01"),
        ({"enc1": 1.0}, "fixed scale for each stage", "stage's limit"),
    ],
)
def test_the_caption_says_which_scale_was_used(flow, scene, vmax, words, brightest):
    caption = describe_picture(flow, scene, "grad_pam", "liver", rows=[0], vmax=vmax, **SAYS)
    assert words in caption.scale
    assert caption.brightest == brightest


def test_marks_stand_in_red_on_the_picture(flow, scene):
    def red(picture):
        return ((picture[..., 0] > 150) & (picture[..., 1] < 60) & (picture[..., 2] < 60)).sum()

    sure = replace(scene, phantom=False)
    with_mark = flow_picture(flow, scene, "grad_pam", "spleen", **SAYS)
    without = flow_picture(flow, sure, "grad_pam", "spleen", **SAYS)
    assert red(with_mark) > 100
    assert red(without) == 0


def test_a_narrow_picture_wraps_its_words_instead_of_cutting_them(flow, dark_scene):
    narrow = replace(flow, maps={"head": flow.maps["head"]}, status=flow.status[2:])
    picture = flow_picture(narrow, dark_scene, "grad_pam", "liver", **SAYS)
    assert picture.shape[1] == 2 * MARGIN + 2 * CELL + GAP
    assert (picture[:, -2:] == 255).all()


def test_pictures_of_two_epochs_have_one_size(flow, scene):
    first = flow_picture(flow, scene, "grad_pam", "liver", region="gt", epoch=1)
    later = flow_picture(flow, scene, "grad_pam", "liver", region="gt", epoch=2)
    assert first.shape == later.shape
    assert (first != later).any()
