"""Which part of the slices a picture shows, how large, and how values are drawn there."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

Span = tuple[float, float]
"""Where something begins and ends along an axis, in parts of the image."""

AIR = 0.05
"""Brightness up to which a pixel is no body."""
LEAST_BODY = 0.02
"""Part of a slice below which what is bright is no body."""
MARGIN = 0.04
"""Kept free around the body, in parts of the image."""


def array(values: Tensor | NDArray) -> NDArray:
    """A tensor of any device as the numpy array of the same dtype; arrays pass through."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


@dataclass(frozen=True)
class View:
    """A window into slices, whatever the grid of what is drawn in it.

    Attributes:
        rows: its upper and lower edge.
        columns: its left and right edge.
        height: pixels of a cell.
        width: pixels of a cell.
    """

    rows: Span = (0.0, 1.0)
    columns: Span = (0.0, 1.0)
    height: int = 96
    width: int = 96

    def holds(self, row: float, column: float) -> bool:
        """Whether a place, in parts of the image, lies inside."""
        return self.rows[0] <= row < self.rows[1] and self.columns[0] <= column < self.columns[1]


def body(image: Tensor | NDArray) -> NDArray[np.bool_]:
    """(H, W) bool: the largest connected part of the slice that is not air; a table is none.

    False everywhere where that is too little to be a body.
    """
    pixels = np.nan_to_num(array(image))
    parts, _ = ndimage.label(ndimage.binary_opening(pixels > AIR))
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    largest = int(areas.argmax())
    if areas[largest] < LEAST_BODY * parts.size:
        return np.zeros(parts.shape, bool)
    whole: NDArray[np.bool_] = parts == largest
    return whole


def view_of(images: Iterable[Tensor | NDArray], side: int) -> View:
    """The window around the bodies on all these slices; the whole slice where there is none.

    Args:
        images: (H, W) each, of one size, in [0, 1].
        side: a cell fills a square of so many pixels along its longer side.
    """
    found = np.logical_or.reduce([body(image) for image in images])
    rows, columns = _span(found.any(1)), _span(found.any(0))
    tall = (rows[1] - rows[0]) * found.shape[0]
    wide = (columns[1] - columns[0]) * found.shape[1]
    height, width = (max(1, round(side * length / max(tall, wide))) for length in (tall, wide))
    return View(rows, columns, height, width)


def _span(lit: NDArray[np.bool_]) -> Span:
    at, size = np.flatnonzero(lit), len(lit)
    if not at.size:
        return 0.0, 1.0
    return max(0.0, at[0] / size - MARGIN), min(1.0, (at[-1] + 1) / size + MARGIN)


@lru_cache(maxsize=256)
def _taps(
    n_in: int, n_out: int, span: Span, cells: bool
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which inputs each output reads and how much: ((K, n_out) indices, (K, n_out) weights)."""
    scale = n_in * (span[1] - span[0]) / n_out
    centre = n_in * span[0] + (np.arange(n_out) + 0.5) * scale - 0.5
    if cells and scale <= 1:
        index = np.clip(np.floor(centre + 0.5), 0, n_in - 1).astype(np.intp)[None]
        return index, np.ones(index.shape)
    support = max(scale, 1.0)
    first = np.floor(centre - support).astype(np.intp) + 1
    index = first + np.arange(int(np.ceil(2 * support)))[:, None]
    weight = np.clip(1 - np.abs(index - centre) / support, 0, None)
    weight[(index < 0) | (index >= n_in)] = 0
    return np.clip(index, 0, n_in - 1), weight / weight.sum(0)


def _along_rows(values: NDArray, n_out: int, span: Span, cells: bool) -> NDArray:
    index, weight = _taps(values.shape[-2], n_out, span, cells)
    weight = weight.astype(values.dtype)[..., None]
    return np.add.reduce([values.take(i, -2) * w for i, w in zip(index, weight, strict=True)])


def drawn(values: NDArray, view: View, *, cells: bool = False) -> NDArray:
    """Values at the pixels of a view: (..., h, w) floats -> (..., height, width).

    Where they are finer than the pixels, they are averaged under a widened bilinear kernel, so that
    nothing small falls between the samples; equal to ``torch.nn.functional.interpolate(...,
    mode="bilinear", antialias=True)`` on the whole image.

    Args:
        values: on a grid of the whole image.
        view: the window.
        cells: where they are coarser than the pixels, every one stays a cell with edges; else
            what lies between them is interpolated.
    """
    rows = _along_rows(values, view.height, view.rows, cells)
    turned = np.ascontiguousarray(rows.swapaxes(-1, -2))
    return _along_rows(turned, view.width, view.columns, cells).swapaxes(-1, -2)
