import nibabel
import numpy as np
import pytest
import torch
from torch.nn import functional

from helpers.raw_layout import AFFINES
from segtrace.data.files.geometry import Grid
from segtrace.data.volumes.geometry import VolumeGeometry
from segtrace.errors import InputError

WHOLE = {axes: AFFINES[axes] for axes in ("RAS", "LPS", "PIR", "oblique")}


def grid(affine, shape=(12, 20, 16)):
    return Grid.from_affine(shape, affine, "x.nii.gz")


@pytest.mark.parametrize("axes", WHOLE)
def test_a_marker_lies_at_its_millimetres_in_the_volume_and_comes_back_in_place(axes):
    own = grid(WHOLE[axes])
    half = VolumeGeometry.fit(own, tuple(mm / 2 for mm in own.spacing), "x")
    assert half.shape == tuple(2 * n for n in half.own)
    marker = np.zeros(own.shape, np.uint8)
    marker[3, 14, 5] = 1
    volume = half.resize_labels(own.to_slices(marker))
    places = np.argwhere(volume)
    assert len(places) == 8
    # The eight halves lie around the marker's own centre, in mm.
    mm = (half.affine() @ np.c_[places, np.ones(8)].T)[:3].mean(1)
    assert np.allclose(mm, (WHOLE[axes] @ [3, 14, 5, 1])[:3])
    assert np.array_equal(half.to_source(volume, "nearest"), marker)
    warm = half.to_source(volume.astype(np.float32))
    assert np.unravel_index(warm.argmax(), warm.shape) == (3, 14, 5)


@pytest.mark.parametrize("axes", WHOLE)
def test_a_volume_lies_as_slices_do(axes):
    own = grid(WHOLE[axes])
    codes = nibabel.aff2axcodes(VolumeGeometry.fit(own, None, "x").affine())
    assert codes == ("S", "P", "L")
    stored = np.random.default_rng(0).random(own.shape).astype(np.float32)
    same = VolumeGeometry.fit(own, None, "x")
    assert np.array_equal(same.resize_images(own.to_slices(stored)), own.to_slices(stored))
    assert np.array_equal(same.to_source(own.to_slices(stored)), stored)


def slow(line, n):
    """Antialiased linear resampling of a line, in float64: a triangle as wide as a new voxel."""
    step = len(line) / n
    found = []
    for place in (np.arange(n) + 0.5) * step - 0.5:
        weights = np.clip(1 - np.abs(np.arange(len(line)) - place) / max(step, 1), 0, None)
        found.append((weights * line).sum() / weights.sum())
    return np.array(found)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (7.0, 5.0, 9.0), (2.0, 3.0, 11.0)])
def test_resampling_is_linear_along_each_axis_by_itself(spacing):
    own = grid(np.diag([2.0, 3.0, 4.0, 1]))
    geometry = VolumeGeometry.fit(own, spacing, "x")
    stack = np.random.default_rng(1).random(geometry.own)
    by_hand = stack
    for axis, n in enumerate(geometry.shape):
        by_hand = np.apply_along_axis(slow, axis, by_hand, n)
    found = geometry.resize_images(stack.astype(np.float32))
    assert np.allclose(found, by_hand, atol=1e-5)
    both = geometry.resize_images(np.stack([stack, 1 - stack], 1).astype(np.float32))
    assert np.allclose(both[:, 1], 1 - found, atol=1e-5)
    mm = np.array(geometry.spacing) * geometry.shape
    assert np.allclose(mm, np.array([4, 3, 2]) * geometry.own)
    labels = (10 * stack).astype(np.uint8)
    ours = functional.interpolate(
        torch.from_numpy(labels)[None, None].float(), geometry.shape, mode="nearest-exact"
    )
    assert np.array_equal(geometry.resize_labels(labels), ours[0, 0].numpy())


def test_plain_values_lead_back():
    geometry = VolumeGeometry.fit(grid(AFFINES["PIR"]), (1.0, 2.0, 3.0), "x")
    assert VolumeGeometry.from_plain(geometry.to_plain()) == geometry
    assert geometry.affine((1, 2, 3)) @ [0, 0, 0, 1] == pytest.approx(
        geometry.affine() @ [1, 2, 3, 1]
    )


def test_millimetres_that_no_header_says_are_not_made_up():
    with pytest.raises(InputError, match=r"^x: how large .* to \[2.0, 2.0, 2.0\] mm; .*=null$"):
        VolumeGeometry.fit(Grid((4, 4, 4)), (2.0, 2.0, 2.0), "x")
    free = VolumeGeometry.fit(Grid((4, 5, 6)), None, "x")
    assert free.shape == (6, 5, 4)
    assert free.affine() is None
