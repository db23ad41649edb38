"""The result of explainers that give a map a stage: measured and drawn as those of the rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status, worst
from segtrace.attribution.rules import Method
from segtrace.explainers.explainer import Explainer, facts_of, options_of
from segtrace.measures.localisation import measure, over_slices
from segtrace.names import file_name
from segtrace.progress import counted
from segtrace.report.captions import absent_words, paragraph, plain, titled
from segtrace.report.files import save_text
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.pictures.strip import number_words
from segtrace.report.record import Record
from segtrace.report.references import PAPER, bibliography
from segtrace.report.references import in_words as sources
from segtrace.report.scene import REGIONS
from segtrace.report.tables import save_table
from segtrace.tracking.explained import Explained, Network, scene

SLICES_SHOWN = 2
"""Of an organ on the page; the files hold all."""
MOST = 3
"""Channels of a stage on the page."""
UNTRAINED = (
    "What an untrained network's maps, the CT itself and chance reach is not beside it: "
    "study=compare has them"
)


@dataclass(frozen=True)
class StageMaps:
    """Maps of an explainer at every stage.

    Attributes:
        by: the explainer.
        explained: its maps and measures, under its name in the place of a rule.
        left_out: stages for which the time did not suffice.
        passes: forward passes of one image.
        seconds: that the work took.
        weights: stage -> (O, N, K), what each channel weighs; of a method that weighs none, none.
    """

    by: Explainer
    explained: Explained
    left_out: tuple[str, ...]
    passes: int
    seconds: float
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def write(self, folder: Path | str) -> None:
        """Its files.

        ``maps.npz``, ``measures.csv`` and ``manifest.json`` as of every study, and
        ``figures/{name}/{organ}.png`` with ``caption.txt`` and ``references.bib``; ``weights.csv``,
        a row a stage, organ, slice and channel, where channels are weighed.
        """
        self.write_with(folder, self.facts)

    def write_with(self, folder: Path | str, facts: Mapping[str, Any]) -> None:
        """The same, with the manifest of a result that holds more."""
        folder = Path(folder)
        self.explained.write(folder, facts)
        if self.weights:
            save_table(folder / "weights.csv", self._weights())
        figures = folder / "figures" / file_name(self.by.name)
        here = self.explained.record.organs_here
        caption = "\n\n".join(map(self.caption, here)) + "\n"
        save_text(figures / "caption.txt", caption)
        save_text(figures / "references.bib", bibliography(caption))

    def caption(self, organ: str) -> str:
        """What a reader of an organ's picture must know."""
        record = self.explained.record
        shown = [record.scene.name(n) for n in range(len(record.scene.cases))]
        opening = f"{titled(organ)}, {self.by.title}, a map a stage."
        scale = "each map's own maximum"
        number = number_words(shared=False)
        return paragraph([record], [organ], self.by.name, opening, shown, scale, number)

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            **facts_of(self.by),
            "passes": self.passes,
            "whole": not self.left_out,
            "seconds": round(self.seconds, 1),
            "left_out": list(self.left_out),
        }

    @property
    def flow(self) -> Flow:
        """The maps, at every stage that was done."""
        return self.explained.record.flow

    def section(self) -> Section:
        """The maps of the first slices of every organ there, and how well they localise."""
        flow = self.flow
        region = REGIONS.get(self.explained.record.region, self.explained.record.region)
        said = [
            f"{self.by.equation}. Region: {region}. {sources([PAPER, *self.by.papers])}",
            f"{self.passes} forward passes of one image in {self.seconds:.0f} s.",
            *absent_words(self.explained.record),
        ]
        if self.left_out:
            said.append(
                f"The time did not suffice for {', '.join(self.left_out)}: give more max_seconds, "
                "or name fewer stages."
            )
        kind = "volume" if self.explained.record.scene.of_volumes else "slice"
        shown = counted(min(SLICES_SHOWN, flow.scores.shape[1]), kind)
        figures = tuple(
            Shown(
                embedded(self.explained.picture(self.by.name, organ, SLICES_SHOWN)),
                f"{self.by.title}: {plain(organ)}, {shown}. Maps: maps.npz.",
            )
            for organ in self.explained.record.organs_here
        )
        return Section(self.by.title, tuple(said), figures, (self._table(flow), *self._heaviest()))

    def _weights(self) -> list[dict[str, Any]]:
        """A row a stage, organ, slice and channel."""
        scene = self.explained.record.scene
        return [
            {"stage": stage, "organ": organ, "case": scene.cases[n], "slice": scene.slices[n],
             "channel": k, "weight": weight}
            for stage, of_stage in self.weights.items()
            for organ, of_organ in zip(self.flow.organs, of_stage.tolist(), strict=True)
            for n, of_slice in enumerate(of_organ)
            for k, weight in enumerate(of_slice)
        ]  # fmt: skip

    def _heaviest(self) -> list[Table]:
        """The channels of each stage that weigh most."""
        rows = [
            {"stage": stage}
            | dict(zip(map(plain, self.flow.organs), map(heaviest, one), strict=True))
            for stage, one in self.weights.items()
        ]
        together = options_of(self.by).get("at_once", 1) > 1
        shared = "; channels cut together share theirs" if together else ""
        words = (
            f"The {MOST} channels of a stage with the largest weights (means over the slices; all "
            f"channels and slices: weights.csv). Numbers of these slices, and no claim{shared}."
        )
        return [Table.of(words, rows)] * bool(rows)

    def _table(self, flow: Flow) -> Table:
        gain = over_slices(self.explained.measures)["gain"].sel(rule=self.by.name)
        rows = [
            {"stage": stage} | {o: float(gain.sel(site=stage, organ=o)) for o in flow.organs}
            for stage in flow.stages
        ]
        return Table.of(f"Gain over the slices; every slice: measures.csv. {UNTRAINED}.", rows)


def heaviest(weights: Tensor) -> str:
    """The channels of the largest mean weights (N, K), in words; slices without any are left out.

    >>> heaviest(torch.tensor([[0.1, 0.5, -0.9, 0.2], [0.3, 0.5, 0.0, torch.nan]]))
    '1 (0.5), 0 (0.2), 3 (0.2)'
    """
    means = weights.nanmean(0)
    ranked = means.nan_to_num(nan=-torch.inf).sort(descending=True, stable=True).indices[:MOST]
    return ", ".join(f"{k} ({float(means[k]):.2g})" for k in ranked if means[k].isfinite())


def measured(by: Explainer, flow: Flow, network: Network, epoch: int | None) -> Explained:
    """The maps of an explainer with the measures of the rules' maps.

    Args:
        by: the explainer.
        flow: its maps, under its name in the place of a rule.
        network: the network and its slices.
        epoch: finished passes, where known.
    """
    settings, probes = network.settings, network.probes
    known = Method(by.name, by.title, by.equation, by.papers)
    flow = replace(flow, methods={by.name: known, **flow.methods})
    record = Record(flow, scene(probes, network.channels), settings.region, epoch)
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
