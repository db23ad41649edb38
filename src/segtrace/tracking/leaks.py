"""Whose evidence lies on whose pixels, at one epoch: numbers, pictures, events in words."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from segtrace.activation import SIGMOID
from segtrace.labelled import Dataset, names_along, rows, tensor
from segtrace.measures.leakage import Grids, Leakage, leakage, overlapping
from segtrace.measures.over_cases import COVERAGE
from segtrace.measures.significance import LEAST_CASES
from segtrace.network.logits import Output
from segtrace.progress import counted
from segtrace.report.captions import plain, title_of
from segtrace.report.claims.claim import passed
from segtrace.report.claims.leaks import (
    LEAST_SLICES,
    MOST,
    OF_THE_MAP,
    Leak,
    events_of,
    held_against,
    strongest,
    too_few_slices,
)
from segtrace.report.claims.recognition import why_not
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.charts import leak_picture
from segtrace.report.record import Record
from segtrace.report.scene import REGIONS
from segtrace.tracking.explained import Network, traced

COLUMNS = ("density", "share", "density_coarse", "density_mirrored", "density_others", "slices")
"""Of leakage.csv, out of a leakage's summary."""
TESTED = {"density_mean": "mean", "density_low": "low", "density_high": "high",
          "cases": "cases", "p": "p", "event": "holds", "p_others": "p_others",
          "follows": "follows"}  # fmt: skip
"""Of leakage.csv, out of the tests."""
DECIDED = {"event": "p", "follows": "p_others"}
"""Of them what says whether one was passed -> its p; NaN where there is none."""
DENSEST = 4.0
"""Upper end of the colours: four times what a uniform map puts there."""


class LeakMeter:
    """The leakage of one epoch after another; where the organs lie is worked out once."""

    def __init__(self) -> None:
        self._masks: Tensor | None = None
        self._known: Grids = {}

    def is_told(self, record: Record) -> bool:
        """Whether every pixel of the truth belongs to one organ at most."""
        return not overlapping(record.masks(tuple(record.scene.channels)))

    def of(self, record: Record) -> Leakage:
        """The leakage of a record's flow; the columns are all organs of the network."""
        names = tuple(record.scene.channels)
        masks = record.masks(names)
        if self._masks is None or not torch.equal(masks, self._masks):
            self._masks, self._known = masks, {}
        mirror = record.scene.mirror
        return leakage(
            record.flow, masks, names, mirror=mirror, cases=record.scene.cases, known=self._known
        )

    def of_centred(self, network: Network, output: Output | None = None) -> Leakage | None:
        """The leakage on centred logits, where the settings explain plain ones; else ``None``.

        What disappears there is shared by all logits and says nothing about one organ. Behind a
        sigmoid every logit decides for itself, and what is shared counts.
        """
        settings = network.settings
        if settings.score != "logit" or settings.activation == SIGMOID:
            return None
        centred = network._replace(settings=replace(settings, score="centered"))
        return self.of(traced(centred, output=output))


def left_out(told: int, found: int) -> list[str]:
    """A line that says that not all events are told, and which; nothing where all are."""
    which = "those that follow the organ first, then the strongest"
    return [f"{told} of {found} events are told: {which}."] * (found > told)


@dataclass(frozen=True)
class Leaks:
    """The leakage of one epoch and what it was held against.

    Attributes:
        record: of the epoch.
        found: its leakage.
        centred: the same on centred logits; ``None`` where that was not traced.
        untrained: of the network at epoch 0; ``None`` where that is not known.
    """

    record: Record
    found: Leakage
    centred: Leakage | None
    untrained: Leakage | None

    @cached_property
    def tests(self) -> Dataset | None:
        """See :func:`~segtrace.report.claims.leaks.held_against`; ``None`` without its controls.

        Not of organs that the network does not find, or knows by their usual place alone: their
        maps explain a decision that it hardly makes, or makes without a look at the image.
        """
        if any(leak is None for leak in self._controls.values()):
            return None
        cases = self.record.scene.cases
        return held_against(self.found, self.centred, self.untrained, cases, self.not_found)

    @property
    def _controls(self) -> dict[str, Leakage | None]:
        controls = {"centred logits": self.centred, "the untrained network": self.untrained}
        if self.record.flow.activation == SIGMOID:  # whose logits share nothing
            del controls["centred logits"]
        return controls

    @cached_property
    def all_events(self) -> list[Leak]:
        """Of all rules; those that follow the organ first, then the strongest."""
        return [] if self.tests is None else events_of(self.tests)

    def events(self, rule: str) -> list[Leak]:
        """Those of one rule that are told."""
        return self._all_of(rule)[:MOST]

    def left_out(self, rule: str) -> list[str]:
        """A line that says so, where there are more events of a rule than are told."""
        return left_out(MOST, len(self._all_of(rule)))

    def _all_of(self, rule: str) -> list[Leak]:
        return [event for event in self.all_events if event.rule == rule]

    @cached_property
    def missed(self) -> tuple[str, ...]:
        """The organs that the network finds on none of the slices."""
        return tuple(filter(self.record.missed, names_along(self.found.data, "organ")))

    @cached_property
    def not_found(self) -> tuple[str, ...]:
        """The organs of which no event is told; see :attr:`_why_not`."""
        return tuple(self._why_not)

    @cached_property
    def _why_not(self) -> dict[str, str]:
        """Organ -> why its events would say nothing."""
        organs = names_along(self.found.data, "organ")
        return why_not(self.record.scene, self.record.flow.prediction, organs)

    def text(self, rule: str) -> str:
        """The events of one rule and what was looked at, as Markdown that reads as plain text."""
        lines = [
            f"Leakage events, {rule}, epoch {self.record.epoch} (one run)",
            *self._told(rule),
            "Where an organ's map is densest on another organ, event or not (uniform: spread "
            f"evenly over the whole image; % {OF_THE_MAP}):",
            *self._strongest(rule),
        ]
        alike: dict[str, list[str]] = {}
        for organ, why in self._why_not.items():
            alike.setdefault(why, []).append(plain(organ))
        few = [f"{', '.join(organs)}: {why}" for why, organs in alike.items()]
        few += too_few_slices(self.found)
        if few:
            lines += ["Nothing can be said of:", *(f"* {words}" for words in few)]
        return "\n\n".join(lines) + "\n"

    def _told(self, rule: str) -> list[str]:
        if self.record.epoch == 0:
            return [self._yardstick]
        missing = [name for name, leak in self._controls.items() if leak is None]
        if missing:
            return [f"* no event: {' and '.join(missing)} not known to hold them against"]
        cases = len(set(self.record.scene.cases))
        if cases < LEAST_CASES:
            return [f"* no event: {counted(cases, 'case')}, below {LEAST_CASES} nothing is claimed"]
        all_of_rule = self._all_of(rule)
        words = [f"* {event}" for event in self.events(rule)] or ["* none found"]
        return [*words, *self.left_out(rule), *passed(all_of_rule), *[COVERAGE] * bool(all_of_rule)]

    @property
    def _yardstick(self) -> str:
        """How many the untrained network would have, without itself to be held against."""
        tests = held_against(self.found, None, None, self.record.scene.cases)
        holds, count = int(tests["holds"].sum()), int(tests["p"].notnull().sum())
        if not count:
            return "* untrained, a yardstick: no event, and nothing that could be tested"
        return (
            f"* untrained, a yardstick: no event, though {holds} of {count} entries of all rules "
            "pass the test against uniform, coarse and mirrored maps, by chance or by construction"
        )

    def _strongest(self, rule: str) -> Iterator[str]:
        for stage in names_along(self.found.data, "site"):
            image = "volume" if self.record.scene.of_volumes else "slice"
            top = strongest(self.found, stage, rule, without=self.not_found, image=image)
            none = (f"nothing above uniform on {LEAST_SLICES} or more {image}s with both organs, "
                    "of organs that something can be said of")  # fmt: skip
            yield f"* {stage}: {'; '.join(top) or none}"

    def picture(self, rule: str, stage: str) -> Picture:
        """The organ x organ matrix of densities: 1 is what a uniform map would put there."""
        record = self.record
        region = REGIONS.get(record.region, record.region)
        phantom = "  ·  PHANTOM" if record.scene.phantom else ""
        caption = (
            f"leak  ·  {stage}  ·  {title_of(rule)}  ·  epoch {record.epoch}{phantom}\n"
            f"times uniform; region: {region}; score: {record.flow.score}; one run"
        )
        density = tensor(self.found.summary["density"].sel(site=stage, rule=rule))
        names = [f"{organ} (not found)" if organ in self.missed else organ
                 for organ in names_along(self.found.data, "organ")]  # fmt: skip
        onto = names_along(self.found.data, "onto")
        return leak_picture(density, names, caption, columns=onto, vmax=DENSEST)

    def rows(self) -> list[dict[str, Any]]:
        """One row a rule, stage, organ and organ leaked onto, beside what it is held against.

        ``density_others`` is the density where the other organ lies in other cases.
        ``density_mean`` to ``follows`` are over cases: the mean and its 95 % t interval; ``p``
        beyond every null, corrected for all entries of the epoch; ``event``, whether it is one;
        ``p_others`` beyond where the other organ lies in other cases; ``follows``, whether an event
        passes that, too. Where nothing was tested (an organ on itself, the head, organs of which
        nothing is claimed, maps that are none) the p and what they decide are NaN.
        """
        controls = {"density_untrained": self.untrained, "density_centred": self.centred}
        beside = {name: math.nan if leak is None else leak.summary["density"]
                  for name, leak in controls.items()}  # fmt: skip
        shown = self.found.summary.assign(beside)
        for column, name in TESTED.items():
            nothing = shown["density"] * math.nan
            shown[column] = nothing if self.tests is None else self.tests[name]
        for column, p in DECIDED.items():
            shown[column] = shown[column].astype(object).where(shown[p].notnull())  # bools stay
        shown = shown.rename(site="stage").assign_coords(epoch=((), self.record.epoch))
        along = ("rule", "stage", "organ", "onto")
        return rows(shown, along, ("epoch", *along, *COLUMNS, *controls, *TESTED))
