"""From a volume to a prediction on the file's own slices, by either protocol."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy, uint8

from segtrace.data.files.nifti import Volume
from segtrace.data.preprocessing import CUBIC, Preprocessing, batch_of
from segtrace.data.volumes.patches import first_channels
from segtrace.data.volumes.preprocessing import AnyPreprocessing, VolumePreprocessing
from segtrace.errors import InputError
from segtrace.evaluation.protocols import Protocol

Predict = Callable[[Tensor], Tensor]
"""Slices (D, C, h, w) -> label map (D, h, w), or masks (D, C, h, w) of bool.

Of volumes (1, C, z, y, x) -> (1, z, y, x), or (1, C, z, y, x).
"""


def native(
    volume: Volume,
    preprocessing: AnyPreprocessing,
    predict: Predict,
    protocol: Protocol,
) -> NDArray[np.uint8]:
    """(D, H, W), or (D, C, H, W) of 0 and 1: what the network finds, on the file's own slices.

    By ``strict`` slices are resized and brought back as those that the network was trained on. By
    ``transunet`` each slice is resized by splines of order 3, as it is, to the size the network
    was trained on, and its labels are brought back by order 0 (``test_single_volume`` in its
    utils.py; size 224 there). A volume is resampled as those that the network was trained on, and
    its labels are brought back by the nearest voxel.

    Raises:
        InputError: see :meth:`~segtrace.data.preprocessing.Preprocessing.images`; the protocol of
            slices for volumes.
    """
    check_protocol(preprocessing, protocol)
    if protocol.cubic and isinstance(preprocessing, Preprocessing):
        preprocessing = replace(preprocessing, resizing=CUBIC)
    images, geometry = preprocessing.images(volume)
    if isinstance(preprocessing, VolumePreprocessing):
        whole = _numbers(predict(from_numpy(first_channels(images))[None]))[0]
        found = whole if whole.ndim == 3 else np.moveaxis(whole, 0, 1)
    else:
        found = _numbers(predict(batch_of(images)))

    def back(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return volume.grid.to_slices(geometry.to_source(stack, "nearest"))

    if found.ndim == 3:
        return back(found)
    return np.stack([back(found[:, channel]) for channel in range(found.shape[1])], axis=1)


def check_protocol(preprocessing: AnyPreprocessing, protocol: Protocol) -> None:
    """Refuse volumes for a protocol that says how slices are resized.

    Raises:
        InputError: that.
    """
    if protocol.cubic and isinstance(preprocessing, VolumePreprocessing):
        raise InputError(
            f"the protocol {protocol.name} resizes slices, and this network takes volumes; score "
            "it by strict"
        )


def _numbers(prediction: Tensor) -> NDArray[np.uint8]:
    numbers: NDArray[np.uint8] = prediction.to(uint8).cpu().numpy()
    return numbers
