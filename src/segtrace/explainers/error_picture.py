"""The picture of maps of the image: the CT, the map and what stands beside it, its error say."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segtrace.attribution.flow import Status
from segtrace.report.captions import SCORES, epoch_words, marks, titled
from segtrace.report.pictures.cells import PREDICTION, TRUTH, Picture, heat_cell
from segtrace.report.pictures.mosaic import choose_rows, sentences
from segtrace.report.pictures.sheet import band, head, key, sheet_width
from segtrace.report.pictures.strip import Cell, Place, number_words, strip, view
from segtrace.report.pictures.view import View, array
from segtrace.report.record import Record
from segtrace.report.scene import PREDICTION_LINE, REGIONS, TRUTH_LINE

ACROSS = 3
"""The CT, the map and its error."""
WIDE = 190
"""Pixels of a cell: three fill the narrowest sheet."""

CHANCE = 0.5
"""A map of which so much is chance, or more, is not drawn."""
MOSTLY_CHANCE = "half of the map or more is chance: draw more"
BAR = ("Colour: raises the score,", "not, or lowers it", "each map's own maximum")
"""Words for the key's colour bar."""
ERROR_WORDS = (
    "the map's standard error on the map's scale; below it, how much of the map's variance over "
    "the pixels is chance"
)


class Said(NamedTuple):
    """What a picture says of a method.

    Attributes:
        title: its name.
        drawn: how much was drawn by chance.
        whole: as much as was asked for.
        reading: how fine its maps are.
    """

    title: str
    drawn: str
    whole: bool
    reading: str


def error_picture(record: Record, organ: str, said: Said, error: Tensor, noise: Tensor) -> Picture:
    """The slices that hold most of an organ: the CT, the map, and its error.

    Args:
        record: the maps of one rule and stage.
        organ: whose maps.
        said: what the method is called, and how to read it.
        error: (N, H, W) standard error of the maps.
        noise: (N,) the part of a map's variance that is error.

    Returns:
        (H, W, 3).
    """

    def cells(place: Place, window: View) -> list[Cell]:
        image, found = strip(place, window)
        if noise[place.n] >= CHANCE:
            found = Cell(found.name, None, MOSTLY_CHANCE, found.grid)
        return [image, found, _error(place, error[place.n], float(noise[place.n]), window)]

    score = SCORES.get(record.flow.score, record.flow.score)
    region = REGIONS.get(record.region, record.region)
    asked = "What of the image raises the organ's score where it is shown"
    facts = (asked, f"region: {region}", f"score: {score}")
    words = (f"Number: {number_words(shared=False)}", f"Error: {ERROR_WORDS}")
    return image_picture(record, organ, said, facts, BAR, words, cells)


def image_picture(
    record: Record,
    organ: str,
    said: Said,
    facts: Sequence[str],
    bar: tuple[str, str, str],
    words: Sequence[str],
    cells: Callable[[Place, View], list[Cell]],
) -> Picture:
    """The slices that hold most of an organ, of each :data:`ACROSS` cells.

    Args:
        record: the maps of one rule and stage.
        organ: whose maps.
        said: what the method is called, and how to read it.
        facts: what is asked, and of what.
        bar: words for the key's colour bar.
        words: how to read what stands below and beside the map.
        cells: of a slice.

    Returns:
        (H, W, 3).
    """
    flow, scene = record.flow, record.scene
    (rule,), rows = flow.rules, choose_rows(flow, scene, organ)
    window, pixels = view(record, rows, WIDE), flow.region_px[flow.organs.index(organ)]
    bands = [
        band(
            f"{scene.name(n)}, {int(pixels[n])} px explained",
            cells(Place(record, rule, organ, n), window),
            window,
            ACROSS,
        )
        for n in rows
    ]
    width = sheet_width(window, ACROSS)
    when = [] if record.epoch is None else [epoch_words(record.epoch)]
    warned = [said.drawn] * (not said.whole) + marks(record)
    above = head(
        "  ·  ".join([titled(organ), said.title, *when]),
        "  ·  ".join(warned).upper(),
        "  ·  ".join([*facts, said.drawn]),
        width,
    )
    _, *reading, research_use = sentences(record, organ, shared=False)
    below = key(
        [*words, *reading, said.reading, research_use],
        bar,
        ((TRUTH_LINE, TRUTH), (PREDICTION_LINE, PREDICTION)),
        width,
    )
    return np.concatenate([above, *bands, below])


def share_cell(shares: NDArray[Any], image: Tensor, window: View) -> Picture:
    """The picture of (h, w) shares on the scale from 0 to 1, whatever the largest is."""
    # Squared, for a scale that is shared is drawn by its root: so it is linear, as a map's is.
    return heat_cell(shares**2, image, window, 1.0)


def _error(place: Place, error: Tensor, noise: float, window: View) -> Cell:
    """The standard error on the map's own scale; a note where there is no map."""
    flow, (r, o, n) = place.record.flow, place.at
    (maps,) = flow.maps.values()
    if flow.status[0, r, o, n] != Status.OK:
        return Cell("error", None, "no map")
    shares = array(error) / float(maps[r, o, n].max())
    picture = share_cell(shares, place.record.scene.image[n, 0], window)
    words = "" if np.isnan(noise) else f"chance {100 * noise:.0f} %"
    return Cell("error", picture, words, "", place.lines[:1])
