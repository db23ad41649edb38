"""A network that sees one window at a time, on an image of any size.

Windows lie as nnU-Net lays them: half a window apart at most, evenly, the last one ending with the
image. What several of them say of a voxel is averaged with a Gaussian's weights.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from segtrace.axes import sized
from segtrace.errors import InputError
from segtrace.network.logits import logits_at
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.progress import counted, over

STEP = 0.5
"""Of a window, between two of them."""
SIGMA = 1 / 8
"""Of a window's side: the standard deviation of the Gaussian."""
SIDE, VOXELS = 4096, 2**26
"""Of a window at most, along a side and in all: what a file says is not believed beyond."""
Window = tuple[int | slice, ...]
"""Of an image (D, H, W): a plane and two slices, or three slices."""


def check_patch(patch: Sequence[int], where: str) -> None:
    """Refuse sides that no network was trained on.

    Raises:
        InputError: which sides, and what they may be.
    """
    if max(patch) > SIDE or math.prod(patch) > VOXELS:
        raise InputError(
            f"{where}: a window of {sized(patch)} voxels; sides of 1 to {SIDE}, and "
            f"{VOXELS} voxels in all, are read: repair the file"
        )


def steps(size: int, side: int, step: float = STEP) -> list[int]:
    """Where windows of a side begin along an axis that is at least as long.

    >>> steps(110, 64)
    [0, 23, 46]
    """
    count = math.ceil((size - side) / (side * step)) + 1
    return [int(np.round(i * (size - side) / max(count - 1, 1))) for i in range(count)]


def windows(shape: Sequence[int], patch: Sequence[int]) -> list[Window]:
    """All windows of an image (D, H, W) that is at least as large as the patch.

    Args:
        shape: D, H, W.
        patch: sides of a window; of two sides it lies in a plane.
    """
    sized = zip(shape[3 - len(patch) :], patch, strict=True)
    sides = [[slice(begin, begin + side) for begin in steps(size, side)] for size, side in sized]
    planes = [range(shape[0])] if len(patch) < len(shape) else []
    return list(product(*planes, *sides))


def padded(image: Tensor, patch: Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    """An image (…, D, H, W) with zeros around it where it is smaller than the patch.

    Returns:
        The image, and how many voxels stand before it along D, H and W.
    """
    lacking = [max(0, side - n) for side, n in zip((1, *patch)[-3:], image.shape[-3:], strict=True)]
    before = tuple(n // 2 for n in lacking)
    pairs = [(low, n - low) for low, n in zip(before, lacking, strict=True)]
    return functional.pad(image, [n for pair in reversed(pairs) for n in pair]), before


@lru_cache(maxsize=2)
def importance(patch: tuple[int, ...]) -> Tensor:
    """Weights of a window's voxels, the largest 1 and none 0."""
    centre = np.zeros(patch)
    centre[tuple(side // 2 for side in patch)] = 1
    weights = gaussian_filter(centre, [side * SIGMA for side in patch], mode="constant")
    weights = (weights / weights.max()).astype(np.float32)
    return torch.from_numpy(weights.clip(min=weights[weights > 0].min()))


def stitched(net: nn.Module, image: Tensor, patch: Sequence[int]) -> Tensor:
    """Logits (K, D, H, W) of an image (C, D, H, W), a window at a time; the network is left as is.

    Args:
        net: takes a batch (1, C, *patch).
        image: as the network takes it.
        patch: sides of a window.
    """
    large, before = padded(image, patch)
    weights = importance(tuple(patch))
    total, found = torch.zeros(large.shape[1:]), torch.zeros(0)
    with undisturbed(net, next(net.parameters()).device), torch.no_grad():
        for window in _said(windows(large.shape[1:], patch)):
            part = as_input(net, large[(slice(None), *window)][None])
            logits = logits_at(net, part)[0].float().cpu()
            if not found.numel():
                found = torch.zeros(len(logits), *large.shape[1:])
            found[(slice(None), *window)] += logits * weights
            total[window] += weights
    inner = [slice(low, low + n) for low, n in zip(before, image.shape[1:], strict=True)]
    return (found / total)[(slice(None), *inner)]


def _said(all_windows: list[Window]) -> Iterator[Window]:
    yield from over(all_windows, f"Predicting {counted(len(all_windows), 'window')}")
