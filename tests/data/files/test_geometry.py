import json

import numpy as np
import pytest

from helpers.raw_layout import AFFINES, to_stored
from segtrace.data.files.geometry import Geometry, Grid
from segtrace.errors import InputError

X, Y, Z = 20, 7, 3  # of the marker, towards left, posterior, superior


def marked(affine):
    """A 40 x 30 x 5 volume (LPS) with one bright voxel, as stored, and its grid."""
    volume = np.zeros((40, 30, 5), dtype=np.float32)
    volume[X, Y, Z] = 1
    stored = to_stored(volume, affine)
    return stored, Grid.from_affine(stored.shape, affine, "file")


@pytest.mark.parametrize("axes", AFFINES)
def test_every_orientation_gives_radiological_slices(axes):
    stored, grid = marked(AFFINES[axes])
    stack = grid.to_slices(stored)
    assert stack.shape == (5, 30, 40)
    assert np.argwhere(stack).tolist() == [[Z, Y, X]]
    assert grid.rows_columns == (30, 40)


@pytest.mark.parametrize("axes", AFFINES)
def test_slices_return_to_the_files_own_voxels(axes):
    stored, grid = marked(AFFINES[axes])
    assert np.array_equal(grid.from_slices(grid.to_slices(stored)), stored)


@pytest.mark.parametrize("axes", AFFINES)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_marker_comes_back_to_its_voxel_after_padding_and_resizing(axes, mode):
    stored, grid = marked(AFFINES[axes])
    geometry = Geometry.fit(grid, 120)
    resized = geometry.resize_labels(grid.to_slices(stored).astype(np.uint8))
    back = geometry.to_source(resized.astype(np.float32), mode)
    assert back.shape == stored.shape
    assert np.argwhere(back == back.max()).tolist() == np.argwhere(stored).tolist()


def test_a_small_map_covers_the_whole_square():
    grid = Grid((40, 30, 1))
    ramp = np.broadcast_to(np.arange(4, dtype=np.float32), (1, 4, 4))  # rises towards the left
    back = Geometry.fit(grid, 64).to_source(ramp)
    assert (np.diff(back[:, 15, 0]) >= 0).all()
    assert back[20, 15, 0] == pytest.approx(1.5 + 0.5 / 10)  # centre of voxel 20 of 40


@pytest.mark.parametrize("size", [16, 50, 224])
def test_image_and_label_stay_aligned(size):
    stack = np.zeros((1, 60, 100), dtype=np.float32)
    stack[0, 12:36, 24:72] = 1
    geometry = Geometry.fit(Grid((100, 60, 1)), size)
    image = geometry.resize_images(stack)
    label = geometry.resize_labels(stack.astype(np.uint8))
    for axis in (1, 2):
        centre = [np.average(np.indices(a.shape)[axis], weights=a) for a in (image, label)]
        assert abs(centre[0] - centre[1]) < 0.5


def test_resized_images_stay_within_the_window():
    noise = np.random.default_rng(0).random((2, 50, 50)).astype(np.float32)
    for size in (20, 90):
        resized = Geometry.fit(Grid((50, 50, 2)), size).resize_images(noise)
        assert resized.min() >= 0
        assert resized.max() <= 1 + 1e-6


def test_a_label_is_that_of_the_voxel_under_the_pixels_centre():
    stack = np.zeros((1, 30, 30), dtype=np.uint8)
    stack[:, 1::3, 1::3] = 1
    assert Geometry.fit(Grid((30, 30, 1)), 10).resize_labels(stack).all()


def test_a_tall_slice_is_padded_at_its_sides():
    stack = np.ones((1, 40, 20), dtype=np.float32)
    geometry = Geometry.fit(Grid((20, 40, 1)), 40)
    image = geometry.resize_images(stack)[0]
    assert image[:, :10].max() == image[:, 30:].max() == 0
    assert image[:, 10:30].min() == 1
    assert np.allclose(geometry.to_source(image[None]), 1)


def test_padding_is_centred_and_dark():
    stack = np.ones((1, 20, 40), dtype=np.float32)
    image = Geometry.fit(Grid((40, 20, 1)), 40).resize_images(stack)[0]
    assert image[:10].max() == 0
    assert image[10:30].min() == 1
    assert image[30:].max() == 0


def test_a_slice_becomes_square_in_mm_not_in_voxels():
    geometry = Geometry.fit(Grid((100, 80, 4), spacing=(1.0, 2.0, 3.0)), 80)
    assert geometry.square == (80, 160)
    assert geometry.spacing == pytest.approx((2.0, 2.0))


def test_unknown_spacing_stays_unknown():
    geometry = Geometry.fit(Grid((100, 80, 4)), 50)
    assert geometry.square == (100, 100)
    assert np.isnan(geometry.spacing).all()


def test_spacing_follows_the_axes():
    affine = np.diag([5.0, 7.0, 9.0, 1.0])[:, [2, 0, 1, 3]]  # stored z, x, y
    grid = Grid.from_affine((4, 5, 6), affine, "file")
    assert grid.spacing == (5.0, 7.0, 9.0)
    assert grid.rows_columns == (6, 5)


@pytest.mark.parametrize("axes", AFFINES)
@pytest.mark.parametrize("shear", [0, 1e-7, 0.4])
def test_steps_are_as_long_as_those_of_the_affine(axes, shear):
    """The way between two voxels, wherever they lie among the slices, is |A (i - j)| mm."""
    affine = AFFINES[axes].copy()
    affine[:3, 0] += shear * affine[:3, 2]
    grid = Grid.from_affine((4, 5, 6), affine, "file")
    stacks = [grid.to_slices(along) for along in np.indices(grid.shape)]
    places = np.random.default_rng(0).integers(0, min(stacks[0].shape), (40, 2, 3))
    stored = np.array([[[along[tuple(at)] for along in stacks] for at in pair] for pair in places])
    found = np.linalg.norm((places[:, 0] - places[:, 1]) @ grid.steps, axis=1)
    expected = np.linalg.norm((stored[:, 0] - stored[:, 1]) @ affine[:3, :3].T, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if shear < 0.1:  # to the bit along the coordinates
        np.testing.assert_array_equal(grid.steps, np.diag(grid.spacing[::-1]))
    assert np.isnan(grid.doubting(sides=False, spacing=True).steps).any()


def test_geometry_survives_json():
    _, grid = marked(AFFINES["oblique"])
    for geometry in (Geometry.fit(grid, 64), Geometry.fit(Grid((4, 5, 6), spacing=(1, 1, 1)), 8)):
        assert Geometry.from_plain(json.loads(json.dumps(geometry.to_plain()))) == geometry


def test_an_affine_that_folds_an_axis_away_is_refused():
    with pytest.raises(InputError, match="file: the affine cannot be inverted"):
        Grid.from_affine((2, 2, 2), np.diag([1.0, 0.0, 1.0, 1.0]), "file")
