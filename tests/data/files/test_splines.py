"""Slices made small and brought back as TransUNet's program does it, through the geometry."""

import json

import numpy as np
import pytest
from scipy import ndimage

from helpers.raw_layout import AFFINES, to_stored
from helpers.slow_augment import small
from segtrace.data.files.geometry import Geometry, Grid
from segtrace.data.files.splines import step, zoomed

NOISE = np.random.default_rng(0).random((3, 60, 45)).astype(np.float32)


@pytest.mark.parametrize("size", [24, 96])
def test_every_slice_is_zoomed_by_itself_and_left_as_it_overshoots(size):
    geometry = Geometry.fit(Grid((45, 60, 3), spacing=(1.0, 2.0, 3.0)), size, cubic=True)
    found = geometry.resize_images(NOISE)
    labels = geometry.resize_labels((NOISE * 9).astype(np.uint8))
    for plane, image, label in zip(NOISE, found, labels, strict=True):
        np.testing.assert_array_equal(image, small(plane, size, order=3))
        np.testing.assert_array_equal(label, small((plane * 9).astype(np.uint8), size, order=0))
    assert found.dtype == np.float32
    assert found.min() < 0 < 1 < found.max()


def test_a_slice_of_the_right_size_stays_itself():
    square = NOISE[:, :45]
    assert zoomed(square, (45, 45), order=3) is square


@pytest.mark.parametrize("axes", ["LPS", "PIR"])
@pytest.mark.parametrize("size", [16, 96])
def test_labels_come_back_as_theirs_do(axes, size):
    grid = Grid.from_affine(
        to_stored(np.zeros((40, 30, 5)), AFFINES[axes]).shape, AFFINES[axes], ""
    )
    geometry = Geometry.fit(grid, size, cubic=True)
    labels = np.random.default_rng(1).integers(0, 9, (5, size, size)).astype(np.uint8)
    back = grid.to_slices(geometry.to_source(labels, "nearest"))
    for plane, found in zip(labels, back, strict=True):
        expected = ndimage.zoom(plane, (30 / size, 40 / size), order=0)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [20, 100])
def test_a_map_of_cells_lies_where_the_network_saw_them(size):
    """Cells tile the network's image; pixel u of it is the file's u (rows - 1) / (size - 1)."""
    geometry = Geometry.fit(Grid((40, 40, 1)), size, cubic=True)
    ramp = np.broadcast_to(np.arange(size, dtype=np.float32), (1, size, size))
    back = geometry.to_source(np.ascontiguousarray(ramp))[:, 0, 0]
    np.testing.assert_allclose(back, np.arange(40) * (size - 1) / 39, atol=1e-4)
    coarse = np.broadcast_to(np.arange(5, dtype=np.float32), (1, 5, 5))
    back = geometry.to_source(np.ascontiguousarray(coarse))[10:30, 0, 0]
    u = np.arange(10, 30) * (size - 1) / 39
    np.testing.assert_allclose(back, (u + 0.5) * 5 / size - 0.5, atol=0.05)


def test_neighbours_lie_as_many_mm_apart_as_outer_pixels_that_stay_in_place():
    geometry = Geometry.fit(Grid((41, 81, 4), spacing=(1.0, 2.0, 3.0)), 21, cubic=True)
    assert geometry.square == (81, 41)
    assert geometry.spacing == (8.0, 2.0)
    assert step(1, 1) == 1
    assert Geometry.from_plain(json.loads(json.dumps(geometry.to_plain()))) == geometry
