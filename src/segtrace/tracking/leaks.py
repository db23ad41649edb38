"""Whose evidence lies on whose pixels, at one epoch: numbers, pictures, events in words."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.data.probes import Probes
from segtrace.labelled import names_along, rows, tensor
from segtrace.measures.leakage import Grids, Leakage, leakage
from segtrace.measures.over_cases import COVERAGE
from segtrace.network.stages import StagesLike
from segtrace.report.captions import plain
from segtrace.report.claims.leaks import Event, find_events, strongest, too_few_slices
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.charts import leak_picture
from segtrace.report.record import Record
from segtrace.report.scene import REGIONS
from segtrace.tracking.explained import Settings, organ_masks, traced

COLUMNS = ("density", "share", "density_coarse", "density_mirrored", "slices")
"""Of leakage.csv, out of a leakage's summary."""
DENSEST = 4.0
"""Upper end of the colours: four times what a uniform map puts there."""


class LeakMeter:
    """The leakage of one epoch after another; where the organs lie is worked out once."""

    def __init__(self) -> None:
        self._masks: Tensor | None = None
        self._known: Grids = {}

    def of(self, record: Record) -> Leakage:
        """The leakage of a record's flow; the columns are all organs of the network."""
        names = tuple(record.scene.channels)
        masks = organ_masks(record, names)
        if self._masks is None or not torch.equal(masks, self._masks):
            self._masks, self._known = masks, {}
        return leakage(record.flow, masks, names, known=self._known)

    def of_centred(
        self,
        net: nn.Module,
        stages: StagesLike,
        probes: Probes,
        channels: Mapping[str, int],
        settings: Settings,
        output: Callable[[Any], Tensor] | None = None,
    ) -> Leakage | None:
        """The leakage on centred logits, where the settings explain plain ones; else ``None``.

        What disappears there is shared by all logits and says nothing about one organ.
        """
        if settings.score != "logit":
            return None
        centred = replace(settings, score="centered")
        return self.of(traced(net, stages, probes, channels, centred, None, output))


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

    def events(self, rule: str) -> list[Event]:
        """Leaks beyond what resolution, the untrained network and a common mode explain.

        None of organs that the network finds nowhere: their maps explain a decision that it does
        not make.
        """
        cases = self.record.scene.cases
        events = find_events(self.found, self.centred, self.untrained, cases)
        return [e for e in events if e.rule == rule and e.organ not in self.missed]

    @property
    def missed(self) -> tuple[str, ...]:
        """The organs that the network finds on none of the slices."""
        return tuple(filter(self.record.missed, names_along(self.found.data, "organ")))

    def text(self, rule: str) -> str:
        """The events of one rule and what was looked at, as Markdown that reads as plain text."""
        found = [f"* {event.sentence} ({event.detail})" for event in self.events(rule)]
        against = {"centred logits": self.centred, "the untrained network": self.untrained}
        missing = [name for name, leak in against.items() if leak is None]
        lines = [
            f"Leakage events, {rule}, epoch {self.record.epoch} (one run)",
            *(found or ["* none found"]),
            *([COVERAGE] if found else []),
            *(f"* not held against {name}" for name in missing),
            "Largest densities off the diagonal, events or not:",
            *self._strongest(rule),
        ]
        few = [f"{plain(organ)}: not found by the network" for organ in self.missed]
        few += too_few_slices(self.found)
        if few:
            lines += ["Nothing can be said of:", *(f"* {words}" for words in few)]
        return "\n\n".join(lines) + "\n"

    def _strongest(self, rule: str) -> Iterator[str]:
        for stage in names_along(self.found.data, "site"):
            top = strongest(self.found, stage, rule, without=self.missed)
            yield f"* {stage}: {'; '.join(top) if top else 'none on enough slices'}"

    def picture(self, rule: str, stage: str) -> Picture:
        """The organ x organ matrix of densities: 1 is what a uniform map would put there."""
        record = self.record
        region = REGIONS.get(record.region, record.region)
        phantom = "  ·  PHANTOM" if record.scene.phantom else ""
        caption = (
            f"leak  ·  {stage}  ·  {rule}  ·  epoch {record.epoch}{phantom}\n"
            f"times uniform; region: {region}; score: {record.flow.score}; one run"
        )
        density = tensor(self.found.summary["density"].sel(site=stage, rule=rule))
        names = [f"{organ} (not found)" if organ in self.missed else organ
                 for organ in names_along(self.found.data, "organ")]  # fmt: skip
        onto = names_along(self.found.data, "onto")
        return leak_picture(density, names, caption, columns=onto, vmax=DENSEST)

    def rows(self) -> list[dict[str, Any]]:
        """One row a rule, stage, organ and organ leaked onto, beside what it is held against."""
        controls = {"density_untrained": self.untrained, "density_centred": self.centred}
        beside = {name: math.nan if leak is None else leak.summary["density"]
                  for name, leak in controls.items()}  # fmt: skip
        shown = self.found.summary.assign(beside).rename(site="stage")
        shown = shown.assign_coords(epoch=((), self.record.epoch))
        along = ("rule", "stage", "organ", "onto")
        return rows(shown, along, ("epoch", *along, *COLUMNS, *controls))
