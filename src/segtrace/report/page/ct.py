"""The CT under the maps as the page holds it, in HU: as its file has it where that is known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segtrace.report.page.page_epoch import Box, cells_of, cut, packed
from segtrace.report.pictures.view import array
from segtrace.report.scene import Scene

MOST_LEVELS = 2**16 - 1


def ct(scene: Scene, crop: Box, window: tuple[float, float]) -> dict[str, Any]:
    """Every slice's HU, cropped: the original, or else the network's input read back.

    Args:
        scene: the slices.
        crop: the box to show, in pixels of the network's input.
        window: HU that the network's input maps to 0 and 1.

    Returns:
        ``slices``, each with its ``grid`` (rows and columns over the same square as the input),
        the ``box`` of it that is held, and ``levels`` in two planes (low bytes, high bytes);
        level l stands for ``zero + l * step`` HU. ``original`` says which of the two it is,
        ``range`` what the least and the largest are, and ``clipped`` whether the ends of the
        window stand for what lies beyond.
    """
    if scene.originals is None:
        zero, step, grids = window[0], _step(window), _inputs(scene.image, window)
    else:
        grids = [array(hu) for hu in scene.originals]
        zero, step = float(min(hu.min() for hu in grids)), 1.0
    size = (scene.image.shape[-2], scene.image.shape[-1])
    return {
        "slices": [_slice(hu, cells_of(crop, size, hu.shape), zero, step) for hu in grids],
        "zero": zero,
        "step": step,
        "original": scene.originals is not None,
        "range": (float(min(hu.min() for hu in grids)), float(max(hu.max() for hu in grids))),
        "clipped": all(window[0] <= hu.min() and hu.max() <= window[1] for hu in grids),
    }


def _inputs(image: Tensor, window: tuple[float, float]) -> Sequence[NDArray[Any]]:
    low, high = window
    grey = np.clip(np.nan_to_num(array(image)[:, 0]), 0, 1)
    return list(low + grey * (high - low))


def _step(window: tuple[float, float]) -> float:
    """HU a level: one, unless the window is so narrow or so wide that it takes another."""
    width = window[1] - window[0]
    return float(width / np.clip(round(width), 255, MOST_LEVELS))


def _slice(hu: NDArray[Any], box: Box, zero: float, step: float) -> dict[str, Any]:
    levels = ((cut(hu, box).astype(np.float64) - zero) / step + 0.5).clip(0, MOST_LEVELS)
    whole = levels.astype(np.uint16)
    # Two planes: the high bytes are nearly constant and pack to nothing.
    return {
        "grid": hu.shape,
        "box": box,
        "levels": packed(np.stack([whole & 255, whole >> 8]).astype(np.uint8)),
    }
