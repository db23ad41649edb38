"""The result of explainers that give a map a stage: measured and drawn as those of the rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status, worst
from segtrace.explainers.explainer import Explainer
from segtrace.measures.localisation import measure, over_slices
from segtrace.report.captions import plain
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.record import Record
from segtrace.report.references import PAPER
from segtrace.report.references import in_words as sources
from segtrace.tracking.explained import Explained, Network, scene

VOLUME = ("plane", "row", "column")
"""Axes of a prediction in 3-D."""
SLICES_SHOWN = 2
"""Of an organ on the page; the files hold all."""


@dataclass(frozen=True)
class StageMaps:
    """Maps of an explainer at every stage.

    Attributes:
        by: the explainer.
        explained: its maps and measures, under its name in the place of a rule.
        left_out: stages for which the time did not suffice.
        seconds: that the work took.
    """

    by: Explainer
    explained: Explained
    left_out: tuple[str, ...]
    seconds: float

    def write(self, folder: Path | str) -> None:
        """``maps.npz``, ``measures.csv``, ``figures/{name}/{organ}.png``, ``manifest.json``."""
        self.explained.write(Path(folder), self.facts)

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "explainer": self.by.name,
            "equation": self.by.equation,
            "papers": list(self.by.papers),
            "seconds": round(self.seconds, 1),
            "left_out": list(self.left_out),
        }

    @property
    def flow(self) -> Flow:
        """The maps, at every stage that was done."""
        return self.explained.record.flow

    def section(self) -> Section:
        """The maps of the first slices of every organ, and how well they localise."""
        flow = self.flow
        said = [f"{self.by.equation}. {sources([PAPER, *self.by.papers])}"]
        if self.left_out:
            said.append(
                f"The time did not suffice for {', '.join(self.left_out)}: give more max_seconds, "
                "or name fewer stages."
            )
        if self.explained.of_volumes:
            said.append("Of volumes there are maps alone, no pictures or measures: maps.npz.")
            return Section(self.by.title, tuple(said))
        figures = tuple(
            Shown(
                embedded(self.explained.picture(self.by.name, organ, SLICES_SHOWN)),
                f"{self.by.title}: {plain(organ)}, {SLICES_SHOWN} slices. Maps: maps.npz.",
            )
            for organ in flow.organs
        )
        return Section(self.by.title, tuple(said), figures, (self._table(flow),))

    def _table(self, flow: Flow) -> Table:
        gain = over_slices(self.explained.measures)["gain"].sel(rule=self.by.name)
        rows = [
            {"stage": stage} | {o: float(gain.sel(site=stage, organ=o)) for o in flow.organs}
            for stage in flow.stages
        ]
        return Table.of("Gain over the slices; every slice and measure: measures.csv.", rows)


def measured(flow: Flow, network: Network, epoch: int | None) -> Explained:
    """The maps of an explainer with the measures of the rules' maps.

    Args:
        flow: its maps, under its name in the place of a rule; of volumes nothing is measured.
        network: the network and its slices.
        epoch: finished passes, where known.
    """
    settings, probes = network.settings, network.probes
    record = Record(flow, scene(probes, network.channels), settings.region, epoch)
    if probes.images.ndim > 4:  # measures are of slices
        return Explained(record, flow.to_xarray(maps=False).drop_dims(VOLUME))
    values = measure(flow, record.masks(flow.organs), probes.spacing, settings.measures)
    return Explained(record, values)


def flow_of(
    name: str,
    score: str,
    maps: Mapping[str, Tensor],
    scores: Mapping[str, Tensor],
    region_px: Tensor,
    prediction: Tensor,
    activation: str,
) -> Flow:
    """Maps that rest on no gradient, as a flow.

    Args:
        name: of the explainer.
        score: φ of the explained score.
        maps: stage -> (O, N, *cells), signed.
        scores: organ -> (N,) the explained score.
        region_px: (O, N) pixels of the region.
        prediction: (N, *image), or masks (N, C, *image).
        activation: of the logits.
    """
    absent = region_px == 0  # where a share of the score is none of anything
    maps = {name: one.masked_fill(_like(absent, one), 0) for name, one in maps.items()}
    unknown = torch.full((len(maps), len(scores), prediction.shape[0]), torch.nan)
    finite = torch.stack([one.flatten(2).isfinite().all(-1) for one in maps.values()])
    positive = torch.stack([(one > 0).flatten(2).any(-1) for one in maps.values()])
    holds = {Status.ABSENT: absent, Status.NONFINITE: ~finite, Status.DEAD: ~positive}
    return Flow(
        maps={stage: one[None] for stage, one in maps.items()},
        kappa=unknown,
        gradient_l1=unknown.double(),
        status=worst(holds, unknown.shape, unknown.device)[:, None],
        scores=torch.stack([*scores.values()]),
        region_px=region_px,
        prediction=prediction,
        rules=(name,),
        organs=tuple(scores),
        score=score,
        activation=activation,
    )


def _like(mask: Tensor, maps: Tensor) -> Tensor:
    """(O, N) beside (O, N, *cells)."""
    return mask.reshape(*mask.shape, *[1] * (maps.ndim - 2))
