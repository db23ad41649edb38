"""Colours that tell organs apart, the same in every chart, picture and viewer."""

from segtrace.report.pictures.lettering import Colour

PALETTE: tuple[Colour, ...] = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167),
    (86, 180, 233), (200, 130, 0), (110, 110, 110), (94, 50, 150),
)  # fmt: skip
"""Okabe and Ito's, which are told apart without red-green vision; to be seen on white and on CT."""
SHADES = (1.0, 0.6, 0.36)
"""How bright the first eight organs are, the next, and those after them."""


def colour_of(number: int) -> Colour:
    """Of the organ with this number, from 0 on; the colours of 24 organs differ.

    >>> colour_of(0), colour_of(8)
    ((0, 114, 178), (0, 68, 107))
    """
    turn, place = divmod(number, len(PALETTE))
    red, green, blue = (round(SHADES[turn % len(SHADES)] * part) for part in PALETTE[place])
    return red, green, blue
