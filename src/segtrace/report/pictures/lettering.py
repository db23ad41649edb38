"""Words on arrays: a TrueType font, rendered once per string and stamped as a mask."""

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segtrace.errors import printable

FONT_PX = 13
"""Em height: capitals and digits of DejaVu Sans are then 10 px high, above the 9 px asked for."""
ELLIPSIS = "…"
Colour = tuple[int, int, int]


@lru_cache(maxsize=2)
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), FONT_PX)


INK_HEIGHT = sum(_font(False).getmetrics())
"""Pixels from the highest ascender to the lowest descender of a line."""


@lru_cache(maxsize=4096)
def sprite(text: str, bold: bool = False) -> NDArray[np.uint8]:
    """A line of text as coverage 0..255, (INK_HEIGHT, width); kept, since words recur.

    Names come from files: a break in one is a space, a control code is spelled out.
    """
    image = Image.new("L", (text_width(text, bold), INK_HEIGHT))
    ImageDraw.Draw(image).text((0, 0), printable(text), fill=255, font=_font(bold))
    return np.asarray(image)


def stamp(
    picture: NDArray[np.uint8],
    text: str,
    left: int,
    top: int,
    colour: Colour = (0, 0, 0),
    *,
    bold: bool = False,
    upright: bool = False,
) -> None:
    """Write a line of text into a picture, in place; what reaches over the edge is cut off.

    Args:
        picture: (H, W, 3), changed.
        text: one line.
        left: first column.
        top: first row.
        colour: of the ink.
        bold: heavier letters.
        upright: turned a quarter to the left, to be read from below.
    """
    mask = np.rot90(sprite(text, bold)) if upright else sprite(text, bold)
    place = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
    ink = mask[: place.shape[0], : place.shape[1]].astype(np.uint16)
    for channel, level in enumerate(colour):  # a third faster than all three at once
        below = place[..., channel]
        below[:] = (below * (255 - ink) + level * ink + 127) // 255


@lru_cache(maxsize=4096)
def text_width(text: str, bold: bool = False) -> int:
    """Pixels that a line takes; it is not drawn, since most that are measured do not fit."""
    return max(1, round(_font(bold).getlength(printable(text))) + 1)


def shorten(text: str, width: int, bold: bool = False) -> str:
    """The text, or as much of its beginning as fits ``width`` pixels, with an ellipsis."""
    if text_width(text, bold) <= width:
        return text
    kept = len(text)
    while kept and text_width(text[:kept] + ELLIPSIS, bold) > width:
        kept -= 1
    return text[:kept] + ELLIPSIS


def wrap(text: str, width: int, bold: bool = False) -> list[str]:
    """The text in lines of at most ``width`` pixels; a word too long for a line is broken.

    Lines break at plain spaces if they can: a no-break space keeps words together.
    """
    lines: list[str] = []
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, bold) <= width:
            lines[-1] = joined
        else:
            lines.extend(_broken(word, width, bold))
    return lines


def _broken(word: str, width: int, bold: bool) -> list[str]:
    """A word in pieces of at most ``width`` pixels, after an underscore or dash where one is."""
    pieces = []
    while text_width(word, bold) > width and len(word) > 1:
        fits = next((n for n in range(len(word) - 1, 1, -1)
                     if text_width(word[:n], bold) <= width), 1)  # fmt: skip
        at = max(word.rfind(sign, 0, fits) for sign in "_-./") + 1
        pieces.append(word[: at or fits])
        word = word[at or fits :]
    return [*pieces, word]
