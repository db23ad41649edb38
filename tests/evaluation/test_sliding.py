"""Whole volumes through a window that slides, against a loop over windows and voxels."""

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from helpers.raw_layout import AFFINES
from segtrace.activation import predicted
from segtrace.data.files.nifti import read_image
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.volumes.preprocessing import VolumePreprocessing, preprocessing_of
from segtrace.data.volumes.windows import padding, windows
from segtrace.errors import InputError
from segtrace.evaluation.prediction import native
from segtrace.evaluation.protocols import STRICT, TRANSUNET
from segtrace.evaluation.sliding import inferer_of

WINDOW = (-125.0, 275.0)
PATCH = (4, 6, 8)  # x, y, z


def looped(net, volume, overlap):
    """Gaussian-weighed means over windows, added up window by window in float64."""
    z, y, x = reversed(PATCH)
    pads = padding(volume.shape, (z, y, x))
    padded = np.pad(volume, pads)
    middles = [(size - 1) / 2 for size in (z, y, x)]
    axes = [
        np.exp(-0.5 * ((np.arange(size) - middle) / (0.125 * size)) ** 2)
        for size, middle in zip((z, y, x), middles, strict=True)
    ]
    weights = axes[0][:, None, None] * axes[1][:, None] * axes[2]
    weights = np.maximum(weights, max(weights.min(), 1e-3))
    total = np.zeros((2, *padded.shape))
    seen = np.zeros(padded.shape)
    for start in windows(padded.shape, (z, y, x), overlap):
        place = tuple(slice(s, s + n) for s, n in zip(start, (z, y, x), strict=True))
        logits = net(torch.from_numpy(padded[place])[None, None])[0].numpy()
        total[:, *place] += logits * weights
        seen[place] += weights
    inner = tuple(slice(a, n - b) for (a, b), n in zip(pads, padded.shape, strict=True))
    return (total / seen)[:, *inner]


@pytest.mark.parametrize("shape", [(8, 6, 4), (11, 9, 13), (5, 12, 3)])
@pytest.mark.parametrize("overlap", [0.25, 0.5])
@torch.no_grad()
def test_a_stitched_volume_is_the_weighed_mean_of_its_windows(shape, overlap):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.Tanh()).double()
    volume = np.random.default_rng(0).random(shape)
    inferer = inferer_of(VolumePreprocessing(WINDOW, {"liver": 1}, None, PATCH, overlap))
    found = inferer(torch.from_numpy(volume)[None, None], net)[0].numpy()
    assert np.allclose(found, looped(net, volume, overlap), atol=2e-6)
    if shape == tuple(reversed(PATCH)):  # one window that covers all
        plain = net(torch.from_numpy(volume)[None, None])[0].numpy()
        assert np.allclose(found, plain, atol=1e-12)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "oblique"])
@pytest.mark.parametrize("many", [False, True])
def test_a_marker_comes_back_in_place_through_the_sliding_window(tmp_path, axes, many):
    marker = np.full((14, 18, 10), -1000, np.int16)
    marker[3:6, 9:14, 2:5] = 275
    nibabel.Nifti1Image(marker, AFFINES[axes]).to_filename(tmp_path / "a.nii")
    volume = read_image(tmp_path / "a.nii")
    spacing = tuple(mm / 2 for mm in volume.grid.spacing)
    preprocessing = VolumePreprocessing(WINDOW, {"liver": 1}, spacing, (8, 8, 8))
    inferer = inferer_of(preprocessing)

    def predict(images):
        def net(x):
            return torch.cat([0.3 - x, x - 0.3], 1)  # at a corner half a voxel holds 0.42

        logits = inferer(images, net)
        return logits > 0 if many else predicted(logits, "softmax")

    found = native(volume, preprocessing, predict, STRICT)
    bright = (found[:, 1] if many else found) > 0
    assert np.array_equal(volume.grid.from_slices(bright), marker > 0)


def test_volumes_have_no_score_by_the_protocol_of_slices(tmp_path):
    nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), AFFINES["RAS"]).to_filename(
        tmp_path / "a.nii"
    )
    volume = read_image(tmp_path / "a.nii")
    preprocessing = VolumePreprocessing(WINDOW, {"liver": 1}, None, (4, 4, 4))
    with pytest.raises(InputError, match=r"protocol transunet resizes slices.*score it by strict$"):
        native(volume, preprocessing, lambda x: x[:, 0], TRANSUNET)


def test_plain_values_say_whether_a_network_takes_slices_or_volumes():
    volumes = VolumePreprocessing(
        ("zscore", WINDOW), {"liver": 1}, (1.5, 1.5, 2), (8, 9, 10), 0.2, 2
    )
    assert preprocessing_of(volumes.to_plain()) == volumes
    assert volumes.roi == volumes.input_shape == (10, 9, 8)
    slices = Preprocessing(WINDOW, 32, {"liver": 1})
    assert preprocessing_of(slices.to_plain()) == slices
    assert inferer_of(slices) is None
    with pytest.raises(InputError, match="use the segtrace that wrote it"):
        preprocessing_of(volumes.to_plain() | {"resizing": "otherwise"})
    with pytest.raises(InputError, match="the patch is not known"):
        VolumePreprocessing(WINDOW, {"liver": 1}, (1, 1, 1)).roi  # noqa: B018
