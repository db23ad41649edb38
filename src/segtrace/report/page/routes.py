"""Routes as the page shows them: for every organ a sentence and a picture that is small enough."""

import io
from base64 import b64encode
from typing import TypedDict

from matplotlib.figure import Figure
from PIL import Image

from segtrace.report.figures.route import as_picture

DPI, COLOURS = 150, 96
"""A diagram of 1074 pixels across then takes about 35 KiB."""
CAUTION = (
    "What this trained network relies on, found by cutting: a network trained without the edge "
    "might do as well. A share of the score is no share of Dice, so both are written. One run."
)


class RouteEntry(TypedDict):
    """What the page holds of one organ's route.

    Attributes:
        sentence: the route in words.
        picture: the diagram, as the address of an image that lies in the page itself.
    """

    sentence: str
    picture: str


def route_entry(figure: Figure, sentence: str) -> RouteEntry:
    """The diagram in few colours, and its sentence."""
    file = io.BytesIO()
    few = Image.fromarray(as_picture(figure, DPI)).quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(file, "PNG", optimize=True)
    encoded = b64encode(file.getvalue()).decode()
    return RouteEntry(sentence=sentence, picture=f"data:image/png;base64,{encoded}")
