"""``index.html``: the results for a colleague, in one file that needs no server."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log1p
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from segtrace.errors import InputError
from segtrace.report.files import environment, save_text
from segtrace.report.page_routes import CAUTION, RouteEntry
from segtrace.report.payload import Story, common, fact_rows, frame
from segtrace.report.record import Record
from segtrace.report.scene import RESEARCH_USE
from segtrace.report.snapshot import Measured, Snapshot, body
from segtrace.report.whole_cases import WholeCases

BUDGET = 10 * 2**20
"""Bytes of the file: what still goes through an e-mail."""
ENOUGH = 8
"""Epochs for whose sake maps are made coarser."""
COARSER = (1, 2, 4)
WINDOW = (-125.0, 275.0)
"""HU that the stored image maps to 0 and 1, where nothing else is said."""


def write_page(
    path: Path | str,
    series: Iterable[Measured],
    facts: Mapping[str, object] | None = None,
    *,
    events: Sequence[str] = (),
    window: tuple[float, float] = WINDOW,
    budget: int = BUDGET,
) -> None:
    """Write the page of one network, or of one training over its epochs; see :class:`Page`.

    Args:
        path: ``index.html``.
        series: records of the same slices, stages, rules and organs, in the order of their epochs;
            gone through once.
        facts: see :meth:`Page.write`.
        events: see :meth:`Page.write`.
        window: see :meth:`Page.write`.
        budget: see :meth:`Page.write`.

    Raises:
        InputError: see :meth:`Page.add` and :meth:`Page.write`.
    """
    page = Page()
    for measured in series:
        page.add(measured)
    page.write(path, facts, events=events, window=window, budget=budget)


@dataclass
class Page:
    """The page while its epochs come in; of each it keeps what it will show, and no more.

    Attributes:
        first: the first record; the others differ from it in maps, numbers and prediction alone.
        snapshots: the epochs so far.
    """

    first: Record | None = None
    snapshots: list[Snapshot] = field(default_factory=list)

    def add(self, measured: Measured, whole: WholeCases | None = None) -> None:
        """Take in the next epoch.

        Args:
            measured: its maps and measures.
            whole: volumes and Dice of the cases that labelled slices are of, as far as known.

        Raises:
            InputError: other slices or another network than before, or an epoch out of order.
        """
        record = measured.record
        self.first = self.first or record
        _check(self.first, record, self.snapshots)
        known = WholeCases() if whole is None or record.scene.truth is None else whole
        self.snapshots.append(Snapshot.of(measured, body(self.first.scene.image), known))

    def write(
        self,
        path: Path | str,
        facts: Mapping[str, object] | None = None,
        *,
        events: Sequence[str] = (),
        routes: Mapping[str, RouteEntry] | None = None,
        window: tuple[float, float] = WINDOW,
        budget: int = BUDGET,
    ) -> None:
        """Write ``index.html``.

        It holds slices, labels and maps: image data. It names cases as the record does, except
        where there is no ground truth: the name of such a case is a file's, which may be a
        person's, so it becomes ``image 1``. Folders are cut from all facts.

        Args:
            path: of the file.
            facts: what made it, as in the manifest.
            events: sentences to list.
            routes: organ -> its route, where the network was cut.
            window: HU that the image maps to 0 and 1.
            budget: most bytes of the file. Kept by coarser maps, then by leaving out epochs:
                first, last and best stay longest, then those spaced evenly in the logarithm. What
                was left out is said on the page; numbers over the slices stay for every epoch.

        Raises:
            InputError: no epochs; no room for one of them; a file that cannot be written.
        """
        if self.first is None:
            raise InputError("no maps for a page; explain at least one checkpoint")
        story = Story(self.first, body(self.first.scene.image), self.snapshots)
        told = {
            "facts": fact_rows({**environment(), **(facts or {})}),
            "events": list(events),
            "routes": dict(routes or {}),
            "route_caution": CAUTION,
        }
        save_text(path, _html(story, told, window, budget))


def _check(first: Record, record: Record, before: Sequence[Snapshot]) -> None:
    for what, ours, theirs in (
        ("stages", first.flow.stages, record.flow.stages),
        ("rules", first.flow.rules, record.flow.rules),
        ("organs", first.flow.organs, record.flow.organs),
        ("cases", first.scene.cases, record.scene.cases),
        ("slices", first.scene.slices, record.scene.slices),
    ):
        if ours != theirs:
            raise InputError(
                f"epochs {first.epoch} and {record.epoch} have other {what} ({ours} and {theirs}); "
                "one page shows checkpoints of one run"
            )
    if not before:
        return
    earlier, later = before[-1].epoch, record.epoch
    if earlier is None or later is None:
        raise InputError("a page of several networks needs to know their epochs")
    if later <= earlier:
        raise InputError(
            f"epoch {later} comes after epoch {earlier}; one page shows checkpoints of one run, "
            "in order, each once"
        )


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


def _best(story: Story) -> int | None:
    """Position of the epoch with the largest mean Dice."""
    known = [dice[~np.isnan(dice)] for dice in map(story.organ_dice, story.snapshots)]
    if not all(len(dice) for dice in known):
        return None
    return int(np.argmax([dice.mean() for dice in known]))


def _html(story: Story, told: Mapping[str, Any], window: tuple[float, float], budget: int) -> str:
    """The page with as many epochs as the budget allows."""
    order = by_importance([s.epoch or 0 for s in story.snapshots], _best(story))
    for factor in COARSER:
        shared = {**common(story, factor, window), **told}
        room = budget - len(_rendered(shared | {"frames": []}).encode())
        frames = _fitting(story, order, factor, room)
        if len(frames) >= min(ENOUGH, len(order)):
            break
    if not frames:
        raise InputError(
            f"a page of {budget / 2**20:.1f} MiB has no room for one epoch; explain fewer slices "
            "or organs: probes.n=…, organs=[…]"
        )
    return _rendered(shared | {"frames": [frames[i] for i in sorted(frames)]})


def _fitting(
    story: Story, order: Sequence[int], factor: int, room: int
) -> dict[int, dict[str, Any]]:
    """Position -> frame, in the order of importance, until one does not fit."""
    frames = {}
    for position in order:
        found = frame(story, story.snapshots[position], factor)
        room -= len(_json(found)) + len(", ")
        if room < 0:
            break
        frames[position] = found
    return frames


def _json(data: object) -> str:
    # An unescaped `<` could end the script element that holds the data.
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def _rendered(data: Mapping[str, Any]) -> str:
    loader = PackageLoader("segtrace.report", "")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return pages.get_template("page.html.jinja").render(data=_json(data), research=RESEARCH_USE)
