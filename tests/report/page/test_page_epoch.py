from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.pages import ORGANS, RULES, STAGES, epoch, unpacked
from segtrace.attribution.flow import Status
from segtrace.report.page.page_epoch import PageEpoch, body, cells_of, cut, text
from segtrace.report.pictures.view import View, drawn


@pytest.fixture(scope="module")
def measured():
    return epoch(3)


@pytest.fixture(scope="module")
def page_epoch(measured):
    return PageEpoch.of(measured, body(measured.record.scene.image))


def stored(page_epoch, stage, factor=1):
    height, width = (-(-side // factor) for side in page_epoch.boxes[stage][2:])
    return unpacked(text(page_epoch.coarser(stage, factor)), "u1", -1, height, width)


@pytest.mark.parametrize("stage", STAGES)
def test_maps_that_may_be_read_are_stored_in_order_to_half_a_step(measured, page_epoch, stage):
    flow, s = measured.record.flow, list(STAGES).index(stage)
    levels = iter(stored(page_epoch, stage))
    for r in range(len(RULES)):
        for o in range(len(ORGANS)):
            for n in range(3):
                if flow.status[s, r, o, n] == Status.OK:
                    positive = flow.maps[stage][r, o, n].relu().numpy()
                    step = positive.max() / 255
                    expected = cut(positive, page_epoch.boxes[stage])
                    np.testing.assert_allclose(next(levels) * step, expected, atol=0.51 * step)
    assert next(levels, None) is None


def test_a_map_without_a_zero_is_scaled_by_its_maximum_alone(measured):
    """Cells of 2, 3 and 4: half, three quarters and all of 255."""
    flow = measured.record.flow
    maps = {stage: torch.full_like(values, 2.0) for stage, values in flow.maps.items()}
    for values in maps.values():
        values[..., 2:4, 2:5], values[..., 3, 3] = 3.0, 4.0
    record = replace(measured.record, flow=replace(flow, maps=maps))
    found = PageEpoch.of(replace(measured, record=record), body(record.scene.image))
    levels = stored(found, "dec1")
    assert set(np.unique(levels).tolist()) == {128, 191, 255}


def test_the_scale_of_a_map_is_the_measured_maximum(measured, page_epoch):
    flow = measured.record.flow
    there = (flow.status[2] != Status.ABSENT).numpy()
    largest = flow.maps["dec2"].relu().amax((-1, -2)).numpy()
    np.testing.assert_array_equal(page_epoch.numbers["max"][2][there], largest[there])


def test_dice_equals_counting_pixels(measured, page_epoch):
    record = measured.record
    for o, channel in enumerate(record.scene.channels.values()):
        sums = {}
        for n, case in enumerate(record.scene.cases):
            truth = record.scene.truth[n] == channel
            found = record.flow.prediction[n] == channel
            counts = np.array([(truth & found).sum(), truth.sum(), found.sum()], float)
            sums[case] = sums.get(case, 0) + counts
            expected = 2 * counts[0] / counts[1:].sum() if counts[1] else np.nan
            assert page_epoch.dice[o, n] == pytest.approx(expected, nan_ok=True)
        for n, case in enumerate(record.scene.cases):
            both, truth, found = sums[case]
            expected = 2 * both / (truth + found) if truth else np.nan
            assert page_epoch.case_dice[o, n] == pytest.approx(expected, nan_ok=True)


def test_parts_of_a_region_are_joined_by_their_sides_and_not_at_corners(measured):
    truth = torch.zeros_like(measured.record.scene.truth)
    truth[0, 40:44, 40:44] = truth[0, 44:46, 44:46] = 2  # the liver, in two parts
    truth[1, 40:44, 40:44] = truth[1, 44:46, 43:46] = 2  # in one
    record = replace(measured.record, scene=replace(measured.record.scene, truth=truth))
    found = PageEpoch.of(replace(measured, record=record), body(record.scene.image))
    assert found.parts[1].tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("region", "parts"), [("gt", 2), ("pred", 3), ("tp", 1), ("fp", 4), ("fn", 3), ("all", 0)]
)
def test_parts_are_counted_of_the_region_that_is_explained(measured, region, parts):
    """Of two pieces one row of one is found, which cuts it, and reaches over it at both ends."""
    record = measured.record
    truth, found = torch.zeros(2, *record.scene.truth.shape, dtype=torch.long)
    truth[0, 40:44, 40:44] = truth[0, 40:44, 60:64] = 2
    found[0, 42:43, 38:48] = found[0, 70:72, 60:62] = found[0, 70:72, 70:72] = 2
    record = replace(
        record, region=region, scene=replace(record.scene, truth=truth),
        flow=replace(record.flow, prediction=found),
    )  # fmt: skip
    one = PageEpoch.of(replace(measured, record=record), body(record.scene.image))
    assert one.parts[1, 0] == parts


def test_the_crop_holds_the_body_and_leaves_air_out(measured):
    image = measured.record.scene.image
    box = body(image)
    outside = image.clone()
    top, left, height, width = box
    outside[..., top : top + height, left : left + width] = 0
    assert outside.max() == 0
    assert top > 0
    assert width < image.shape[-1]


def test_every_stage_is_cut_to_the_cells_under_the_crop(measured, page_epoch):
    """The slices are wider than high; dec2 has their very grid, enc1 half of it."""
    crop = body(measured.record.scene.image)
    for stage, grid in STAGES.items():
        assert page_epoch.boxes[stage] == cells_of(crop, (96, 128), grid)
        top, left, height, width = (
            side * grid[axis % 2] / (96, 128)[axis % 2] for axis, side in enumerate(crop)
        )
        box = page_epoch.boxes[stage]
        assert box[0] <= top
        assert box[1] <= left
        assert box[0] + box[2] >= top + height
        assert box[1] + box[3] >= left + width


def test_an_empty_image_is_not_cropped():
    assert body(torch.zeros(2, 1, 30, 41)) == (0, 0, 30, 41)


@pytest.mark.parametrize("grid", [(96, 128), (48, 64), (6, 8), (3, 4), (7, 9)])
def test_a_cropped_map_draws_the_same_inside_the_crop(grid):
    values = np.random.default_rng(0).random(grid)
    size, crop, whole = (96, 128), (12, 20, 64, 88), View(height=96, width=128)
    top, left, height, width = cells_of(crop, size, grid)
    alone = np.zeros(grid)
    alone[top : top + height, left : left + width] = cut(values, (top, left, height, width))
    np.testing.assert_allclose(
        cut(drawn(alone, whole), crop), cut(drawn(values, whole), crop), atol=1e-12
    )


def test_a_coarser_map_is_the_mean_of_its_blocks(page_epoch):
    fine, coarse = stored(page_epoch, "dec2"), stored(page_epoch, "dec2", 4)
    height, width = fine.shape[1] // 4 * 4, fine.shape[2] // 4 * 4
    blocks = fine[:, :height, :width].reshape(len(fine), height // 4, 4, width // 4, 4)
    means = blocks.mean((2, 4))
    np.testing.assert_allclose(coarse[:, : height // 4, : width // 4], means, atol=0.5)


def test_separate_parts_of_the_explained_region_are_counted(measured):
    labels = measured.record.scene.truth
    labels[0, 10:14, 60:64] = 2
    try:
        parts = PageEpoch.of(measured, body(measured.record.scene.image)).parts
    finally:
        labels[0, 10:14, 60:64] = 0
    assert parts[1].tolist() == [2, 1, 1]
    assert parts[2].tolist() == [0, 0, 1]
