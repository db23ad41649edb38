"""From a volume to a prediction on the file's own slices, by either protocol."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import zoom
from torch import Tensor

from segtrace.data.files.nifti import Volume
from segtrace.data.preprocessing import Preprocessing
from segtrace.evaluation.protocols import Protocol

Predict = Callable[[Tensor], Tensor]
"""Slices (D, 1, h, w) -> label map (D, h, w), or masks (D, C, h, w) of bool."""


def native(
    volume: Volume, preprocessing: Preprocessing, predict: Predict, protocol: Protocol
) -> NDArray[np.uint8]:
    """(D, H, W), or (D, C, H, W) of 0 and 1: what the network finds, on the file's own slices.

    By ``strict`` slices are padded, resized and brought back as everywhere in this package. By
    ``transunet`` each slice is resized by splines of order 3, as it is, to the size the network
    was trained on, and its labels are brought back by order 0 (``test_single_volume`` in its
    utils.py; size 224 there).

    Raises:
        InputError: see :meth:`~segtrace.data.preprocessing.Preprocessing.images`.
    """
    if protocol.cubic:
        return _by_splines(preprocessing.windowed(volume), preprocessing.size, predict)
    images, geometry = preprocessing.images(volume)
    found = _numbers(predict(torch.from_numpy(images)[:, None]))

    def back(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return volume.grid.to_slices(geometry.to_source(stack, "nearest"))

    if found.ndim == 3:
        return back(found)
    return np.stack([back(found[:, channel]) for channel in range(found.shape[1])], axis=1)


def _by_splines(stack: NDArray[np.float32], size: int, predict: Predict) -> NDArray[np.uint8]:
    rows, columns = stack.shape[1:]
    small = np.stack([zoom(slice_, (size / rows, size / columns), order=3) for slice_ in stack])
    found = _numbers(predict(torch.from_numpy(small)[:, None]))
    factors = (1,) * (found.ndim - 3) + (rows / size, columns / size)
    return np.stack([zoom(slice_, factors, order=0) for slice_ in found])


def _numbers(prediction: Tensor) -> NDArray[np.uint8]:
    numbers: NDArray[np.uint8] = prediction.to(torch.uint8).cpu().numpy()
    return numbers
