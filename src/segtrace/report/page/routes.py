"""Routes as the page shows them: for every organ a sentence and a picture that is small enough."""

from typing import TypedDict

from matplotlib.figure import Figure

from segtrace.report.page.sections import embedded

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
    return RouteEntry(sentence=sentence, picture=embedded(figure))
