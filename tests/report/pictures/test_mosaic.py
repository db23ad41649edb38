from dataclasses import replace

import numpy as np
import pytest
import torch

from segtrace.report.pictures.cells import note_cell
from segtrace.report.pictures.mosaic import choose_rows, flow_picture, sentences
from segtrace.report.pictures.sheet import GAP, MARGIN
from segtrace.report.pictures.strip import Place, strip, view
from segtrace.report.scene import REASONS

SIDE = 64


@pytest.fixture
def dark(record):
    """Black slices, so that a cell's first row is known by its colour."""
    scene = replace(record.scene, image=torch.zeros_like(record.scene.image), sides_known=False)
    return replace(record, scene=scene)


def cells_in(picture, rows, columns):
    """Cut the cells out of a picture of the whole slices; every row has a label above."""
    dark = (picture[:, MARGIN + SIDE // 2] < 60).all(-1)
    tops, after = [], 0
    for _ in range(rows):
        rest = dark[after:]
        tops.append(after + int(np.argmax(rest & np.roll(rest, -5) & np.roll(rest, -40))))
        after = tops[-1] + SIDE
    return [
        [picture[top:, MARGIN + j * (SIDE + GAP) :][:SIDE, :SIDE] for j in range(columns)]
        for top in tops
    ]


def test_rows_are_the_slices_with_most_of_the_organ(flow, scene):
    assert choose_rows(flow, scene, "left_kidney") == [0, 1]
    assert choose_rows(flow, scene, "left_kidney", rows=1) == [0]


def test_rows_follow_the_truth_so_that_they_stay_over_the_epochs(flow, scene):
    moved = replace(flow, region_px=flow.region_px.flip(1))
    assert choose_rows(moved, scene, "left_kidney") == [0, 1]
    assert choose_rows(moved, replace(scene, truth=None), "left_kidney") == [2, 1]


def test_an_organ_on_no_slice_gets_one_row_that_says_so(dark):
    assert choose_rows(dark.flow, dark.scene, "spleen") == [0]
    picture = flow_picture(dark, "seg_grad_cam", "spleen", side=SIDE)
    ((_, *stages),) = cells_in(picture, 1, 4)
    for cell in stages:
        np.testing.assert_array_equal(cell, note_cell(REASONS["absent"], SIDE, SIDE))


def test_the_cells_of_the_strip_stand_in_the_picture(dark):
    bare = replace(dark, flow=replace(dark.flow, prediction=torch.zeros(3, 32, 32).long()))
    blind = replace(bare, scene=replace(bare.scene, truth=None))
    picture = flow_picture(blind, "grad_pam", "left_kidney", side=SIDE, rows=[0, 1])
    window = view(blind, [0, 1], SIDE)
    for n, row in enumerate(cells_in(picture, 2, 4)):
        cells = strip(Place(blind, "grad_pam", "left_kidney", n), window)
        for found, cell in zip(row, cells, strict=True):
            np.testing.assert_array_equal(found, cell.picture)


def test_a_shared_scale_draws_other_colours_and_says_so(dark):
    own, shared = (
        flow_picture(dark, "grad_pam", "liver", side=SIDE, shared=s) for s in (False, True)
    )
    (first, second) = (cells_in(picture, 1, 2)[0][1] for picture in (own, shared))
    assert (first != second).any()
    assert "gain" in sentences(dark, "liver", shared=False)[0]
    assert "largest value" in sentences(dark, "liver", shared=True)[0]


def test_many_cells_are_broken_into_lines(record):
    maps = {f"stage{i}": record.flow.maps["enc2"] for i in range(11)}
    status = record.flow.status[:1].expand(11, -1, -1, -1)
    kappa = record.flow.kappa[:1].expand(11, -1, -1)
    deep = replace(record, flow=replace(record.flow, maps=maps, status=status, kappa=kappa))
    shallow = flow_picture(record, "grad_pam", "liver", side=SIDE, rows=1)
    picture = flow_picture(deep, "grad_pam", "liver", side=SIDE, rows=1)
    assert picture.shape[0] > shallow.shape[0] + SIDE
    wide = flow_picture(deep, "grad_pam", "liver", side=200, rows=1)
    width = view(deep, [0], 200).width
    assert wide.shape[1] == 2 * MARGIN + 6 * width + 5 * GAP


def test_the_key_says_how_to_read_the_picture(record):
    said = " ".join(sentences(record, "liver", shared=False)).replace("\N{NO-BREAK SPACE}", " ")
    for fact in (
        "Number: gain, the evidence on the organ (1: as much on the organ as its own mask",
        "solid blue: ground truth, dashed orange: prediction",
        "R, L: the patient's right and left",
        "Head: the prediction redrawn",
        "Research use only, not for diagnosis",
    ):
        assert fact in said
    blind = replace(record, scene=replace(record.scene, truth=None, sides_known=False))
    said = " ".join(sentences(blind, "liver", shared=False))
    assert "ground truth" not in said
    assert "the patient's sides are not known" in said


def test_an_organ_that_is_not_found_is_said_to_be(record):
    prediction = record.flow.prediction.masked_fill(record.flow.prediction == 2, 0)
    blind = replace(record, flow=replace(record.flow, prediction=prediction))
    liver, kidney = (
        " ".join(sentences(blind, organ, shared=False)) for organ in ("liver", "left_kidney")
    )
    assert "not found by the network on any of these slices" in liver
    assert "redrawn" not in liver
    assert "not found" not in kidney


def test_marks_stand_in_red_on_the_picture(record):
    def red(picture):
        return ((picture[..., 0] > 150) & (picture[..., 1] < 60) & (picture[..., 2] < 60)).sum()

    sure = replace(record, scene=replace(record.scene, phantom=False))
    with_mark, without = (
        flow_picture(known, "grad_pam", "spleen", side=SIDE) for known in (record, sure)
    )
    assert red(with_mark) > red(without) + 100
