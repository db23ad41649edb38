from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from segtrace.attribution.aggregate import aggregate
from segtrace.labelled import tensor
from segtrace.measures.localisation import measure
from segtrace.report.combined import NOTHING
from segtrace.report.figures.paper import paper_figure
from segtrace.report.pictures.cells import PREDICTION, TRUTH, heat_cell
from segtrace.report.pictures.mosaic import sentences
from segtrace.report.pictures.strip import Place, decimal, shared_maximum, strip, two, view
from segtrace.report.scene import OFF_VIEW, REASONS


def cells_of(record, rule="grad_pam", organ="liver", n=0, vmax=None):
    return strip(Place(record, rule, organ, n), view(record, [n], 64), vmax)


def test_a_strip_is_the_ct_and_every_stage_with_the_size_of_its_grid(record):
    cells = cells_of(record)
    assert [cell.name for cell in cells] == ["CT", "enc1", "enc2", "head"]
    assert [cell.grid for cell in cells] == ["", "16 × 16", "4 × 4", "32 × 32"]


def test_every_map_is_the_heat_cell_of_its_values(record):
    window = view(record, [0], 64)
    for stage, cell in zip(record.flow.stages, cells_of(record)[1:], strict=True):
        values, image = record.flow.maps[stage][1, 1, 0], record.scene.image[0, 0]
        np.testing.assert_array_equal(cell.picture, heat_cell(values, image, window))


def test_a_smooth_map_is_resized_before_it_is_rectified(record):
    """As in Vinogradova's program: bilinear, then ReLU, then by the maximum of that."""
    window = view(record, [0], 64)
    smooth = replace(record, smooth=True)
    for stage, cell, plain in zip(
        record.flow.stages, cells_of(smooth)[1:], cells_of(record)[1:], strict=True
    ):
        values, image = record.flow.maps[stage][1, 1, 0], record.scene.image[0, 0]
        size = image.shape
        whole = functional.interpolate(values[None, None], size, mode="bilinear")[0, 0]
        np.testing.assert_array_equal(cell.picture, heat_cell(whole, image, window))
        assert cell.grid == plain.grid
        assert bool((cell.picture == plain.picture).all()) is (values.shape == size)
    first = functional.interpolate(
        record.flow.maps["enc2"][1, 1, 0].relu()[None, None], (32, 32), mode="bilinear"
    )[0, 0]
    other = heat_cell(first, record.scene.image[0, 0], window)
    assert (other != cells_of(smooth)[2].picture).any()  # the other order is another picture
    said = "resized to the image's grid (bilinear) and rectified then"
    assert said in " ".join(sentences(smooth, "liver", shared=False))
    assert said in paper_figure(smooth, ["liver"], "grad_pam")[1]
    assert "each cell as a cell" in paper_figure(record, ["liver"], "grad_pam")[1]


def test_the_number_below_a_map_is_the_gain_of_the_csv(record):
    masks = record.masks(record.flow.organs)
    gain = tensor(measure(record.flow, masks)["gain"])
    torch.testing.assert_close(record.gain[:, :, :2, :2], gain[:, :, :2, :2], rtol=0, atol=0)
    words = [cell.words.removesuffix(f"  {OFF_VIEW}") for cell in cells_of(record)[1:]]
    assert words == [f"gain {two(float(g))}" for g in gain[:, 1, 1, 0]]


def test_on_a_shared_scale_the_number_is_the_largest_value(record):
    top = shared_maximum(record.flow, "grad_pam", "liver")
    cells = cells_of(record, vmax=top)
    largest = [float(record.flow.maps[stage][1, 1, 0].max()) for stage in record.flow.stages]
    found = [cell.words.removesuffix(f"  {OFF_VIEW}") for cell in cells[1:]]
    assert found == [f"max {decimal(value)}" for value in largest]


def test_the_contour_of_the_organ_is_on_every_map(record):
    ct, *maps = cells_of(record)
    assert [colour for _, colour, _ in ct.lines] == [TRUTH, PREDICTION]
    for cell in maps:
        ((mask, colour, dashed),) = cell.lines
        assert torch.equal(mask, record.scene.truth[0] == 2)
        assert (colour, dashed) == (TRUTH, False)
    blind = replace(record, scene=replace(record.scene, truth=None))
    for cell in cells_of(blind):
        ((mask, colour, dashed),) = cell.lines
        assert torch.equal(mask, record.flow.prediction[0] == 2)
        assert (colour, dashed) == (PREDICTION, True)


def test_an_unsound_map_gives_way_to_its_reason(record):
    cells = cells_of(record, "seg_grad_cam")
    assert cells[3].picture is None
    assert cells[3].words == REASONS["gap_degenerate"]
    assert all(cell.words == REASONS["absent"] for cell in cells_of(record, organ="spleen")[1:])


def test_a_map_that_is_brightest_beside_the_window_says_so(record):
    image = torch.zeros_like(record.scene.image)
    image[:, :, 4:24, 4:20] = 0.5
    maps = {name: torch.zeros_like(values) for name, values in record.flow.maps.items()}
    maps["enc1"][..., 4, 4] = maps["enc2"][..., 0, 3] = maps["head"][..., 31, 31] = 1.0
    flow = replace(record.flow, maps=maps)
    known = replace(record, flow=flow, scene=replace(record.scene, image=image))
    assert [OFF_VIEW in cell.words for cell in cells_of(known)] == [False, False, True, True]


def test_a_shared_scale_is_the_maximum_of_the_sound_maps(flow):
    values = [flow.maps[s][0, 1, :2].max() for s in ("enc1", "enc2")]
    assert shared_maximum(flow, "seg_grad_cam", "liver") == pytest.approx(float(max(values)))
    assert shared_maximum(flow, "seg_grad_cam", "spleen") == 0


def test_an_aggregate_is_a_further_last_cell_with_the_number_of_its_stages(record):
    both = replace(record, aggregate=aggregate(record.flow, ["enc1", "enc2"]))
    last = cells_of(both)[4]
    assert (last.name, last.words) == ("aggregate", "2 of 2 stages")
    expected = heat_cell(
        both.aggregate.map[1, 1, 0], record.scene.image[0, 0], view(record, [0], 64)
    )
    np.testing.assert_array_equal(last.picture, expected)


def test_an_aggregate_without_a_usable_stage_is_a_note(record):
    degenerate = replace(record, aggregate=aggregate(record.flow, ["head"]))
    last = cells_of(degenerate, "seg_grad_cam")[4]
    assert (last.picture, last.words) == (None, NOTHING)
