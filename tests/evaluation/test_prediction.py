"""Predictions lie on the file's own slices, by either protocol, whatever the orientation."""

import nibabel
import numpy as np
import pytest
import torch

from helpers import slow_scores
from helpers.raw_layout import AFFINES, to_stored
from segtrace.data.files.nifti import read_image
from segtrace.data.preprocessing import Preprocessing
from segtrace.evaluation.prediction import native
from segtrace.evaluation.protocols import PROTOCOLS, STRICT, TRANSUNET

ORGANS = {"bright": 1, "brighter": 2}


def bands(images):
    """A network that knows two kinds of pixels: a label map."""
    return ((images > 0.4).long() + (images > 0.7).long())[:, 0]


def masks(images):
    return torch.cat([images > 0.4, images > 0.7], 1)


@pytest.fixture(params=["LPS", "PIR"])
def volume(request, tmp_path):
    lps = np.random.default_rng(0).normal(0, 60, (40, 30, 5))
    lps[8:20, 5:22, 1:4] += 150
    stored = to_stored(lps, AFFINES[request.param]).astype(np.int16)
    nibabel.Nifti1Image(stored, AFFINES[request.param]).to_filename(tmp_path / "a.nii")
    return read_image(tmp_path / "a.nii")


def test_strict_is_what_the_volumes_study_writes(volume):
    preprocessing = Preprocessing((-125.0, 275.0), 16, ORGANS)
    found = native(volume, preprocessing, bands, STRICT)
    images, geometry = preprocessing.images(volume)
    labels = bands(torch.from_numpy(images)[:, None]).numpy().astype(np.uint8)
    assert found.shape == volume.image.shape
    np.testing.assert_array_equal(
        volume.grid.from_slices(found), geometry.to_source(labels, "nearest")
    )


@pytest.mark.parametrize("size", [16, 48])
def test_transunet_is_its_loop_over_slices(volume, size):
    found = native(volume, Preprocessing((-125.0, 275.0), size, ORGANS), bands, TRANSUNET)
    image = (volume.image.clip(-125, 275) + np.float32(125)) / np.float32(400)
    expected = slow_scores.transunet_prediction(
        image, lambda small: bands(torch.from_numpy(small)[None, None])[0].numpy(), size
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_organs_that_overlap_come_back_one_by_one(volume, protocol):
    preprocessing = Preprocessing((-125.0, 275.0), 16, ORGANS)
    both = native(volume, preprocessing, masks, protocol)
    assert both.shape == (5, 2, *volume.image.shape[1:])
    labels = native(volume, preprocessing, bands, protocol)
    np.testing.assert_array_equal(both.sum(1), labels)
