"""One cell of a picture: a heat map, a CT slice, contours over it, or a grey note."""

from functools import lru_cache

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from segtrace.report.pictures.lettering import INK_HEIGHT, Colour, sprite, stamp, wrap
from segtrace.report.pictures.view import View, array, drawn

Picture = NDArray[np.uint8]
"""(H, W, 3) red, green, blue."""

COLOURS = "inferno"
"""Perceptually uniform and readable without red-green vision."""
DIM = 0.5
"""Brightness that the CT keeps under a heat map."""
TRUTH: Colour = (86, 180, 233)
"""Solid contour of the ground truth: sky blue of the Okabe-Ito palette."""
PREDICTION: Colour = (240, 150, 0)
"""Dashed contour of the prediction: its orange."""
NOTE_GREY = 118
LINE_PX, DASH_PX = 1.7, 4
"""Width of a contour and length of its dashes."""
WHITE: Colour = (255, 255, 255)


def _bytes(values: NDArray) -> NDArray[np.uint8]:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def grey_cell(image: Tensor | NDArray, view: View) -> NDArray[np.uint8]:
    """A CT slice (H, W), its window mapped to [0, 1], as (height, width) grey values."""
    return _bytes(drawn(np.nan_to_num(array(image).astype(np.float32)), view))


@lru_cache(maxsize=1)
def blend() -> NDArray[np.uint8]:
    """(256 heat, 256 grey, 4): that heat's colour on the screen over the dimmed CT, and a zero."""
    colour = colormaps[COLOURS](np.linspace(0, 1, 256))[:, None, :3]
    colour[0] = 0
    dimmed = DIM * np.linspace(0, 1, 256)[None, :, None]
    return np.pad(_bytes(1 - (1 - colour) * (1 - dimmed)), ((0, 0), (0, 0), (0, 1)))


def _heat(values: NDArray, view: View, vmax: float | None, top: float | None) -> NDArray[np.uint8]:
    """A signed map (h, w) as levels 0..255 of (height, width)."""
    positive = np.nan_to_num(np.maximum(values, 0), posinf=0)
    if vmax is not None or top is None:
        top = float(positive.max()) if vmax is None else vmax
    shares = drawn(positive / (top if top > 0 else 1), view, cells=True)
    return _bytes(shares if vmax is None else np.sqrt(shares))


def heat_cell(
    values: Tensor | NDArray,
    image: Tensor | NDArray,
    view: View | None = None,
    vmax: float | None = None,
    grey: NDArray[np.uint8] | None = None,
    top: float | None = None,
) -> Picture:
    """The picture of one map: every logged and every redrawn cell comes from here.

    ReLU at the map's own resolution, then division by the map's own maximum, inside the view or
    not, then every cell of the map as a cell, then inferno on the screen over the CT at half
    brightness. On a scale that is shared, ``vmax``, the colour is of the square root, lest weak
    stages be black. Zero evidence leaves the plain dimmed CT; cells that are not finite count as
    zero (such a map has the status ``nonfinite`` and is drawn as a note instead).

    Args:
        values: (h, w) signed map at native resolution.
        image: (H, W) the CT slice, in [0, 1].
        view: what of it is shown; None: all of it, at 96 pixels.
        vmax: the value drawn brightest, in the map's unit; None: the map's own maximum.
        grey: ``grey_cell(image, view)`` if it is at hand.
        top: of a plane of a volume, the volume's maximum, in the place of the map's own.

    Returns:
        (height, width, 3).
    """
    view = view or View()
    grey = grey_cell(image, view) if grey is None else grey
    heat = _heat(array(values), view, vmax, top)
    packed = blend().view(np.uint32).reshape(-1)
    colours = packed.take(heat.astype(np.int32) << 8 | grey)
    return colours[..., None].view(np.uint8)[..., :3]


def outline(mask: Tensor | NDArray, view: View) -> NDArray[np.float32]:
    """How much of each pixel (height, width) the contour of a mask (H, W) covers, 0 to 1.

    Drawn at the pixels of the view, whatever the grid of the mask; a sliver never vanishes.
    """
    cover = ndimage.uniform_filter(drawn(array(mask).astype(np.float32), view), 3, mode="nearest")
    if not cover.any():
        return cover
    slope = np.maximum(np.hypot(*np.gradient(cover)), 1e-6)
    away = np.abs(cover - min(0.5, cover.max() / 2)) / slope
    return np.clip(LINE_PX / 2 + 0.5 - away, 0, 1).astype(np.float32)


def paint(cell: Picture, line: NDArray[np.float32], colour: Colour, *, dashed: bool) -> None:
    """Draw what :func:`outline` found into a cell of the same size, in place."""
    at = np.nonzero(line)
    if dashed:
        kept = (at[1] + 2 * at[0]) // DASH_PX % 2 == 0
        at = at[0][kept], at[1][kept]
    much = line[at][:, None]
    cell[at] = cell[at] * (1 - much) + np.array(colour) * much + 0.5


def letter_sides(cell: Picture) -> None:
    """Write the patient's right and left into the upper corners, in place."""
    stamp(cell, "R", 2, 1, WHITE)
    stamp(cell, "L", cell.shape[1] - sprite("L").shape[1] - 2, 1, WHITE)


def note_cell(text: str, height: int = 96, width: int = 96) -> Picture:
    """A grey cell that says in words why there is no map; it holds no colour."""
    cell = np.full((height, width, 3), NOTE_GREY, np.uint8)
    lines = wrap(text, width - 6)
    pitch = INK_HEIGHT + 1
    top = max(2, (height - pitch * len(lines)) // 2)
    for i, line in enumerate(lines):
        left = (width - sprite(line).shape[1]) // 2
        stamp(cell, line, left, top + i * pitch, WHITE)
    return cell
