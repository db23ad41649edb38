"""Shrink the page to its size limit."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log1p
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from segtrace.errors import InputError
from segtrace.report.page.page_data import PageData, common, frame
from segtrace.report.page.sections import Section
from segtrace.report.scene import RESEARCH_USE

BUDGET = 10 * 2**20
"""Bytes of the file: what still goes through an e-mail."""
ENOUGH = 8
"""Epochs for whose sake maps are made coarser."""
COARSER = (1, 2, 4)
SCRIPTS = (
    "data.js", "state.js", "canvas.js", "pictures.js", "charts.js", "headlines.js", "words.js",
    "route.js", "pointer.js", "compare.js", "link.js", "save.js", "page.js",
)  # fmt: skip
"""The files of ``script/``, in this order."""


def within_budget(
    page_data: PageData,
    told: Mapping[str, Any],
    window: tuple[float, float],
    budget: int = BUDGET,
    sections: Sequence[Section] = (),
) -> str:
    """The page as HTML.

    The budget is kept by coarser maps, then by leaving out epochs: first, last and best stay
    longest, then those spaced evenly in the logarithm; at last the regions beside the leading one
    go. What was left out is said on the page; numbers over the slices stay for every epoch.

    Args:
        page_data: all epochs.
        told: what else stands on the page, as plain values.
        window: HU that the image maps to 0 and 1.
        budget: most bytes.
        sections: what stands below the maps.

    Raises:
        InputError: no room for one epoch.
    """
    bare = replace(page_data, epochs=[replace(one, others={}) for one in page_data.epochs])
    for shown in (page_data, bare):
        if (page := _within(shown, told, window, budget, sections)) is not None:
            return page
    raise InputError(
        f"a page of {budget / 2**20:.1f} MiB has no room for one epoch; explain fewer slices "
        "or organs: probes.n=…, organs=[…]"
    )


def _within(
    page_data: PageData,
    told: Mapping[str, Any],
    window: tuple[float, float],
    budget: int,
    sections: Sequence[Section],
) -> str | None:
    """The page with as many epochs as the budget allows; None if that is none."""
    order = by_importance([s.epoch or 0 for s in page_data.epochs], _best(page_data))
    for factor in COARSER:
        shared = {**common(page_data, factor, window), **told}
        room = budget - len(_rendered(shared | {"frames": []}, sections).encode())
        frames = _fitting(page_data, order, factor, room)
        if len(frames) >= min(ENOUGH, len(order)):
            break
    if not frames:
        return None
    return _rendered(shared | {"frames": [frames[i] for i in sorted(frames)]}, sections)


def by_importance(epochs: Sequence[int], best: int | None) -> list[int]:
    """Positions of the epochs: last, first, best, then always the one farthest from those so far.

    Distance is that of log(1 + epoch): early epochs, where most happens, lie far apart.

    >>> by_importance([0, 1, 2, 4, 8, 16], best=None)[:4]
    [5, 0, 3, 1]
    """
    if not epochs:
        return []
    place = [log1p(epoch) for epoch in epochs]
    chosen = list(dict.fromkeys(i for i in (len(epochs) - 1, 0, best) if i is not None))
    while len(chosen) < len(epochs):
        rest = [i for i in range(len(epochs)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: min(abs(place[i] - place[j]) for j in chosen)))
    return chosen


def _best(page_data: PageData) -> int | None:
    """Position of the epoch with the largest mean Dice."""
    known = [dice[~np.isnan(dice)] for dice in map(page_data.organ_dice, page_data.epochs)]
    if not all(len(dice) for dice in known):
        return None
    return int(np.argmax([dice.mean() for dice in known]))


def _fitting(
    page_data: PageData, order: Sequence[int], factor: int, room: int
) -> dict[int, dict[str, Any]]:
    """Position -> frame, in the order of importance, until one does not fit."""
    frames = {}
    for position in order:
        found = frame(page_data, page_data.epochs[position], factor)
        room -= len(_json(found)) + len(", ")
        if room < 0:
            break
        frames[position] = found
    return frames


def _json(data: object) -> str:
    # An unescaped `<` could end the script element that holds the data.
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def _rendered(data: Mapping[str, Any], sections: Sequence[Section]) -> str:
    return rendered("page.html.jinja", data=_json(data), sections=sections, scripts=SCRIPTS)


def rendered(template: str, **values: Any) -> str:
    """A file of templates beside this one with these values, all text escaped."""
    loader = PackageLoader("segtrace.report.page", "")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return pages.get_template(template).render(values, research=RESEARCH_USE)
