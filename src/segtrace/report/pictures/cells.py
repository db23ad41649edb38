"""One cell of a picture: a heat map, a CT slice with contours, or a grey note."""

from functools import lru_cache

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from segtrace.report.pictures.lettering import INK_HEIGHT, sprite, stamp, wrap

Picture = NDArray[np.uint8]
"""(H, W, 3) red, green, blue."""

COLOURS = "inferno"
"""Perceptually uniform and readable without red-green vision."""
DIM = 0.5
"""Brightness that the CT keeps under a heat map."""
TRUTH = (86, 180, 233)
"""Solid contour of the ground truth: sky blue of the Okabe-Ito palette."""
PREDICTION = (240, 150, 0)
"""Dashed contour of the prediction: its orange."""
NOTE_GREY = 118
DASH_PX = 3


def array(values: Tensor | NDArray) -> NDArray:
    """A tensor of any device as the numpy array of the same dtype; arrays pass through."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


@lru_cache(maxsize=64)
def _taps(n_in: int, n_out: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which inputs each output reads and how much: ((K, n_out) indices, (K, n_out) weights)."""
    scale = n_in / n_out
    support = max(scale, 1.0)
    centre = (np.arange(n_out) + 0.5) * scale - 0.5
    first = np.floor(centre - support).astype(np.intp) + 1
    index = first + np.arange(int(np.ceil(2 * support)))[:, None]
    weight = np.clip(1 - np.abs(index - centre) / support, 0, None)
    weight[(index < 0) | (index >= n_in)] = 0
    return np.clip(index, 0, n_in - 1), weight / weight.sum(0)


def _resize_rows(values: NDArray, n_out: int) -> NDArray:
    index, weight = _taps(values.shape[-2], n_out)
    weight = weight.astype(values.dtype)[..., None]
    out = values.take(index[0], axis=-2)
    out *= weight[0]
    tap = np.empty_like(out)
    for i, w in zip(index[1:], weight[1:], strict=True):
        values.take(i, axis=-2, out=tap, mode="clip")  # without checks, straight into its place
        tap *= w
        out += tap
    return out


def resize(values: NDArray, size: tuple[int, int]) -> NDArray:
    """Bilinear resize, ``align_corners=False``, with a widened kernel where it shrinks.

    Equal to ``torch.nn.functional.interpolate(..., mode="bilinear", antialias=True)``; the
    anti-aliasing keeps a small organ from falling between the samples. Written element by
    element, so that a cell has the same bits alone and in a batch.

    Args:
        values: (..., h, w) floats.
        size: (H, W) of the result.

    Returns:
        (..., H, W), the dtype of ``values``.
    """
    rows = _resize_rows(values, size[0])
    turned = np.ascontiguousarray(rows.swapaxes(-1, -2))
    return _resize_rows(turned, size[1]).swapaxes(-1, -2)


def _fitted(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    """The largest (height, width) of the shape's proportions in a square of ``size``."""
    longest = max(shape[-2:])
    return max(1, round(size * shape[-2] / longest)), max(1, round(size * shape[-1] / longest))


def _square(values: NDArray, size: int) -> NDArray:
    """Centre (n, h, w) on zeros of (n, size, size)."""
    height, width = values.shape[-2:]
    top, left = (size - height) // 2, (size - width) // 2
    out = np.zeros((*values.shape[:-2], size, size), values.dtype)
    out[..., top : top + height, left : left + width] = values
    return out


def _bytes(values: NDArray) -> NDArray[np.uint8]:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def grey_cells(image: Tensor | NDArray, size: int) -> NDArray[np.uint8]:
    """CT slices as grey squares.

    Args:
        image: (n, H, W) window mapped to [0, 1].
        size: pixels of a side; a slice that is not square is centred on black.

    Returns:
        (n, size, size) grey values.
    """
    pixels = np.nan_to_num(array(image).astype(np.float32))
    return _square(_bytes(resize(pixels, _fitted(pixels.shape, size))), size)


@lru_cache(maxsize=1)
def blend() -> NDArray[np.uint8]:
    """(256 heat, 256 grey, 4): that heat's colour on the screen over the dimmed CT, and a zero."""
    colour = colormaps[COLOURS](np.linspace(0, 1, 256))[:, None, :3]
    colour[0] = 0
    dimmed = DIM * np.linspace(0, 1, 256)[None, :, None]
    return np.pad(_bytes(1 - (1 - colour) * (1 - dimmed)), ((0, 0), (0, 0), (0, 1)))


def _heat(maps: NDArray, shape: tuple[int, int], vmax: float | None) -> NDArray[np.uint8]:
    """(n, h, w) signed maps as (n, *shape) levels 0..255."""
    positive = np.maximum(maps, 0)
    peak = positive.max((-2, -1), keepdims=True)
    if not np.isfinite(peak).all():
        positive = np.nan_to_num(positive, posinf=0)
        peak = positive.max((-2, -1), keepdims=True)
    if vmax is not None:
        return _bytes(resize(positive / (vmax if vmax > 0 else 1), shape))
    scaled = resize(positive / np.where(peak > 0, peak, 1), shape)
    peak = scaled.max((-2, -1), keepdims=True)
    return _bytes(scaled / np.where(peak > 0, peak, 1))


def heat_cells(
    maps: Tensor | NDArray,
    image: Tensor | NDArray,
    size: int,
    vmax: float | None = None,
    grey: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """:func:`heat_cell` for n maps of one stage at once, with the same bits.

    Args:
        maps: (n, h, w) signed maps.
        image: (n, H, W) in [0, 1].
        size: pixels of a side.
        vmax: the value drawn brightest, or None for each map's own maximum.
        grey: ``grey_cells(image, size)`` if it is at hand.

    Returns:
        (n, size, size, 3).
    """
    heat = _square(_heat(array(maps), _fitted(image.shape, size), vmax), size)
    grey = grey_cells(image, size) if grey is None else grey
    packed = blend().view(np.uint32).reshape(-1)
    colours = packed.take(heat.astype(np.int32) << 8 | grey)
    return colours[..., None].view(np.uint8)[..., :3]


def heat_cell(
    values: Tensor | NDArray, image: Tensor | NDArray, size: int = 96, vmax: float | None = None
) -> Picture:
    """The picture of one map: every logged and every redrawn cell comes from here.

    ReLU at the map's own resolution, then bilinear to the cell, then division by the cell's
    maximum (or by ``vmax``), then inferno on the screen over the CT at half brightness. Zero
    evidence leaves the plain dimmed CT; cells that are not finite count as zero (such a map has
    the status ``nonfinite`` and is drawn as a note instead).

    Args:
        values: (h, w) signed map at native resolution.
        image: (H, W) the CT slice, in [0, 1].
        size: pixels of a side.
        vmax: the value drawn brightest, in the map's unit; None: the map's own maximum.

    Returns:
        (size, size, 3).
    """
    return heat_cells(array(values)[None], array(image)[None], size, vmax)[0]


def _outline(mask: NDArray, size: int) -> NDArray[np.bool_]:
    """The innermost line of pixels of a mask drawn at ``size``; a sliver never vanishes."""
    cover = _square(resize(mask.astype(np.float32), _fitted(mask.shape, size)), size)
    inside = cover >= min(0.5, cover.max() / 2) if cover.max() > 0 else cover > 0
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def ct_cell(
    image: Tensor | NDArray,
    truth: Tensor | NDArray | None,
    prediction: Tensor | NDArray | None,
    size: int = 96,
    *,
    sides: bool = False,
) -> Picture:
    """The slice with the organ's contours and, where they are known, the patient's sides.

    Args:
        image: (H, W) in [0, 1].
        truth: (H, W) mask of the organ, solid blue; None where there is no truth.
        prediction: (H, W) mask, dashed orange over it; None to leave it out.
        size: pixels of a side.
        sides: columns run from the patient's right to the left; the sides are lettered.

    Returns:
        (size, size, 3).
    """
    cell = np.repeat(grey_cells(array(image)[None], size)[0][..., None], 3, -1)
    row, column = np.indices((size, size))
    if truth is not None:
        cell[_outline(array(truth), size)] = TRUTH
    if prediction is not None:
        dashed = (column + 2 * row) // DASH_PX % 2 == 0
        cell[_outline(array(prediction), size) & dashed] = PREDICTION
    if sides:
        stamp(cell, "R", 2, 1, (255, 255, 255))
        stamp(cell, "L", size - sprite("L").shape[1] - 2, 1, (255, 255, 255))
    return cell


def note_cell(text: str, size: int = 96) -> Picture:
    """A grey square that says in words why there is no map; it holds no colour."""
    cell = np.full((size, size, 3), NOTE_GREY, np.uint8)
    lines = wrap(text, size - 6)
    pitch = INK_HEIGHT + 3
    top = max(2, (size - pitch * len(lines)) // 2)
    for i, line in enumerate(lines):
        left = (size - sprite(line).shape[1]) // 2
        stamp(cell, line, left, top + i * pitch, (255, 255, 255))
    return cell
