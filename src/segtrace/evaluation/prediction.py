"""From a volume to a prediction on the file's own slices, by either protocol."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, uint8

from segtrace.data.files.nifti import Volume
from segtrace.data.preprocessing import CUBIC, Preprocessing, batch_of
from segtrace.evaluation.protocols import Protocol

Predict = Callable[[Tensor], Tensor]
"""Slices (D, C, h, w) -> label map (D, h, w), or masks (D, C, h, w) of bool."""


def native(
    volume: Volume, preprocessing: Preprocessing, predict: Predict, protocol: Protocol
) -> NDArray[np.uint8]:
    """(D, H, W), or (D, C, H, W) of 0 and 1: what the network finds, on the file's own slices.

    By ``strict`` slices are resized and brought back as those that the network was trained on. By
    ``transunet`` each slice is resized by splines of order 3, as it is, to the size the network
    was trained on, and its labels are brought back by order 0 (``test_single_volume`` in its
    utils.py; size 224 there).

    Raises:
        InputError: see :meth:`~segtrace.data.preprocessing.Preprocessing.images`.
    """
    if protocol.cubic:
        preprocessing = replace(preprocessing, resizing=CUBIC)
    images, geometry = preprocessing.images(volume)
    found = _numbers(predict(batch_of(images)))

    def back(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return volume.grid.to_slices(geometry.to_source(stack, "nearest"))

    if found.ndim == 3:
        return back(found)
    return np.stack([back(found[:, channel]) for channel in range(found.shape[1])], axis=1)


def _numbers(prediction: Tensor) -> NDArray[np.uint8]:
    numbers: NDArray[np.uint8] = prediction.to(uint8).cpu().numpy()
    return numbers
