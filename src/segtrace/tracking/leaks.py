"""Whose evidence lies on whose pixels, at one epoch: numbers, pictures, events in words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.data.probes import Probes
from segtrace.measures.events import Event, find_events, strongest, too_few_slices
from segtrace.measures.leakage import Grids, Leakage, leakage
from segtrace.measures.over_cases import COVERAGE
from segtrace.network.stages import StagesLike
from segtrace.report.captions import plain
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.charts import leak_picture
from segtrace.report.record import Record
from segtrace.report.scene import REGIONS
from segtrace.tracking.explained import Settings, organ_masks, traced

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
        return tuple(filter(self.record.missed, self.found.organs))

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
        for stage in self.found.stages:
            top = strongest(self.found, stage, rule, without=self.missed)
            yield f"* {stage}: {'; '.join(top) if top else 'none on enough slices'}"

    def picture(self, rule: str, stage: str) -> Picture:
        """The organ x organ matrix of densities: 1 is what a uniform map would put there."""
        s, r = self.found.stages.index(stage), self.found.rules.index(rule)
        record = self.record
        region = REGIONS.get(record.region, record.region)
        phantom = "  ·  PHANTOM" if record.scene.phantom else ""
        caption = (
            f"leak  ·  {stage}  ·  {rule}  ·  epoch {record.epoch}{phantom}\n"
            f"times uniform; region: {region}; score: {record.flow.score}; one run"
        )
        density = self.found.density[s, r]
        names = [f"{organ} (not found)" if organ in self.missed else organ
                 for organ in self.found.organs]  # fmt: skip
        return leak_picture(density, names, caption, columns=self.found.columns, vmax=DENSEST)

    def rows(self) -> list[dict[str, Any]]:
        """One row a rule, stage, organ and organ leaked onto, beside what it is held against."""
        found, nan = self.found, float("nan")
        # Copied out whole: an item of a tensor at a time would take seconds.
        numbers = {
            "density": found.density,
            "share": found.matrix,
            "density_coarse": found.coarse_density,
            "density_mirrored": found.mirrored_density,
            "slices": found.slices,
        }
        controls = {"density_untrained": self.untrained, "density_centred": self.centred}
        columns = {name: values.tolist() for name, values in numbers.items()}
        columns |= {name: leak.density.tolist() for name, leak in controls.items() if leak}
        return [
            {
                "epoch": self.record.epoch,
                "rule": rule,
                "stage": stage,
                "organ": organ,
                "onto": onto,
                **{name: columns[name][s][r][o][j] for name in numbers},
                **{name: columns[name][s][r][o][j] if leak else nan
                   for name, leak in controls.items()},
            }
            for r, rule in enumerate(found.rules)
            for s, stage in enumerate(found.stages)
            for o, organ in enumerate(found.organs)
            for j, onto in enumerate(found.columns)
        ]  # fmt: skip
