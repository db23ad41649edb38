"""An organ over the epochs as an animated GIF, which plays wherever an image is shown."""

import io
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrace.report.pictures.cells import PREDICTION, TRUTH, Picture
from segtrace.report.pictures.sheet import FAINT, INK, WARNING

FRAME_MS, LAST_MS = 700, 2500
"""How long a frame stands, and the last one before the first comes again."""
COLOURS = 256
KEPT = (TRUTH, PREDICTION, WARNING, FAINT, INK, (255, 255, 255))
"""Colours of contours and letters: too few pixels for a palette to keep them by itself."""
SAMPLE = 200_000
"""Pixels that the palette is made from."""


class Animation:
    """Pictures of one size, one an epoch; kept packed until all have come."""

    def __init__(self) -> None:
        self._frames: list[tuple[tuple[int, ...], bytes]] = []

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, picture: Picture) -> None:
        """Append a frame."""
        self._frames.append((picture.shape, zlib.compress(picture.tobytes(), 1)))

    def gif(self) -> bytes:
        """All frames in one palette, so that nothing flickers that does not change."""
        pictures = [
            np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)
            for shape, packed in self._frames
        ]
        frames = [_padded(picture, pictures) for picture in pictures]
        colours = palette(frames)
        first, *rest = [_reduced(frame, colours) for frame in frames]
        times = [FRAME_MS] * len(rest) + [LAST_MS]
        buffer = io.BytesIO()
        first.save(buffer, "GIF", save_all=True, append_images=rest, duration=times, loop=0)
        return buffer.getvalue()


def _padded(picture: Picture, pictures: Sequence[Picture]) -> Picture:
    """White below and at the right, up to the largest of the pictures."""
    height, width = (max(other.shape[i] for other in pictures) for i in (0, 1))
    missing = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
    return np.pad(picture, missing, constant_values=255)


def _reduced(picture: Picture, colours: Image.Image) -> Image.Image:
    """The picture in the colours of a palette, without dithering, which would flicker."""
    near = Image.fromarray(picture).quantize(palette=colours, dither=Image.Dither.NONE)
    indices = np.array(near)
    numbers = _numbers(picture)
    for i, colour in enumerate(KEPT):  # Pillow looks only for a colour nearby, not the nearest
        indices[numbers == _numbers(np.array(colour, np.uint8))] = i
    exact = Image.frombytes("P", near.size, indices.tobytes())
    exact.putpalette(colours.getpalette() or [])
    return exact


def _numbers(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Colours (…, 3) as one number each, which are compared five times as fast."""
    red, green, blue = (colours[..., i].astype(np.int32) for i in range(3))
    return red << 16 | green << 8 | blue


def palette(frames: Sequence[Picture]) -> Image.Image:
    """The colours that serve all frames best, those of contours and letters among them."""
    pixels = np.concatenate([frame.reshape(-1, 3) for frame in frames])
    sample = pixels[:: max(1, len(pixels) // SAMPLE)]
    chosen = Image.fromarray(sample[None]).quantize(
        COLOURS - len(KEPT), Image.Quantize.MEDIANCUT, kmeans=2
    )
    found: NDArray[np.uint8] = np.array(chosen.getpalette(), np.uint8).reshape(-1, 3)
    whole = Image.new("P", (1, 1))
    whole.putpalette(np.concatenate([np.array(KEPT, np.uint8), found])[:COLOURS].tobytes())
    return whole
