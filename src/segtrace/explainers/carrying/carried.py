"""What cutting channels found: tables, figures, and what is claimed of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from segtrace.causal.channels import ChannelLosses, beyond, share
from segtrace.explainers.explainer import facts_of
from segtrace.measures.over_cases import by_case
from segtrace.names import file_name
from segtrace.report.claims.channels import channel_claims
from segtrace.report.claims.claim import Claim, told
from segtrace.report.figures.channels import channel_figure
from segtrace.report.figures.drawing import save_figure
from segtrace.report.files import save_manifest
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.references import PAPER
from segtrace.report.references import in_words as sources
from segtrace.report.tables import save_table

if TYPE_CHECKING:
    from segtrace.explainers.carrying.channel_cuts import ChannelCuts


@dataclass(frozen=True)
class Carried:
    """Dice lost by cuts of channels.

    Attributes:
        by: the explainer.
        losses: stage -> what was lost.
        organs: names along the organs of the losses.
        cases: name of each slice's case.
        marks: what the slices are not.
        left_out: stages for which the time did not suffice.
        seconds: that the work took.
    """

    by: "ChannelCuts"
    losses: Mapping[str, ChannelLosses]
    organs: tuple[str, ...]
    cases: tuple[str, ...]
    marks: tuple[str, ...]
    left_out: tuple[str, ...]
    seconds: float

    @cached_property
    def claims(self) -> list[Claim]:
        """Where an organ has channels of its own, if that is shown."""
        each = {stage: beyond(one, self.cases) for stage, one in self.losses.items()}
        return channel_claims(each, self.organs, len(set(self.cases)))

    def rows(self) -> list[dict[str, Any]]:
        """Of channels.csv: a row a stage, group and organ, Dice lost by the group alone."""
        return [
            {"stage": stage, "channels": " ".join(map(str, group.tolist())), "organ": organ,
             "dice_lost": float(lost[g, o])}
            for stage, one in self.losses.items()
            for lost in [by_case(one.alone, self.cases).nanmean(-1)]
            for g, group in enumerate(one.groups)
            for o, organ in enumerate(self.organs)
        ]  # fmt: skip

    def together(self) -> list[dict[str, Any]]:
        """Of channels_together.csv: a row a stage, organ and number of groups."""
        return [
            {"stage": stage, "organ": organ, "groups": many}
            | {name: float(curve[s, o]) for name, curve in curves.items()}
            for stage, one in self.losses.items()
            for curves in [{name: by_case(getattr(one, name), self.cases).nanmean(-1)
                            for name in ("own", "others", "random")}]
            for o, organ in enumerate(self.organs)
            for s, many in enumerate(one.steps)
        ]  # fmt: skip

    def write(self, folder: Path | str) -> None:
        """``channels.csv``, ``channels_together.csv``, ``figures/channels_{stage}.png``, facts."""
        folder = Path(folder)
        save_table(folder / "channels.csv", self.rows())
        save_table(folder / "channels_together.csv", self.together())
        for stage in self.losses:
            name = f"channels_{file_name(stage, tuple(self.losses))}"
            save_figure(folder / "figures", name, *self._figure(stage))
        facts = {**facts_of(self.by), "cut": self.by.cut,
                 "seconds": round(self.seconds, 1), "left_out": list(self.left_out)}  # fmt: skip
        save_manifest(folder / "manifest.json", facts)

    @property
    def flow(self) -> None:
        """It cuts channels, and draws no map."""

    def section(self) -> Section:
        """What is claimed, a figure a stage, and how few channels make up an organ's Dice."""
        late = f" Not in time: {', '.join(self.left_out)}." * bool(self.left_out)
        method = f"{self.by.equation}.{late} {sources([PAPER, *self.by.papers])}"
        figures = tuple(
            Shown(embedded(figure), caption) for figure, caption in map(self._figure, self.losses)
        )
        few = [
            {"stage": stage, "groups": len(one.groups)}
            | {organ: "" if many is None else str(many)
               for organ, many in zip(self.organs, share(one, self.cases), strict=True)}
            for stage, one in self.losses.items()
        ]  # fmt: skip
        caption = (
            "So many groups, cut together in the order of other cases, cost 90 % of what the cut "
            "of all costs; empty where that is less than 0.05 Dice. Controls: "
            "channels_together.csv."
        )
        return Section(self.by.title, (method, *told(self.claims)), figures,
                       (Table.of(caption, few),))  # fmt: skip

    def _figure(self, stage: str) -> tuple[Figure, str]:
        title = (stage, f"cut: {self.by.cut}", *self.marks)
        return channel_figure(self.losses[stage], self.organs, self.cases, title)
