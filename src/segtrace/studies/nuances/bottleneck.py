"""A map at the bottleneck, and at the last stage: is there anything that it explains?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.causal.necessity import necessity
from segtrace.causal.sanity.similarity import Compared
from segtrace.errors import InputError, unknown
from segtrace.labelled import tensor
from segtrace.measures.locality import locality
from segtrace.measures.over_cases import by_case
from segtrace.network.sites import chosen
from segtrace.network.stages import resolve
from segtrace.network.undisturbed import unwrapped
from segtrace.progress import step
from segtrace.report.captions import title_of
from segtrace.report.claims.nuances.bottleneck import bottleneck_claims
from segtrace.report.figures.necessity import REPLACED
from segtrace.report.figures.nuances.bottleneck import bottleneck_figure
from segtrace.report.page.sections import Table
from segtrace.report.scene import FINAL
from segtrace.studies.cut_networks import check_kept
from segtrace.studies.nuances.nuance import Found, Looked, Nuance, left_out_words
from segtrace.tracking.cuts import CUT
from segtrace.tracking.explained import Network, flows_of_parts, organs_on

EXACT = 1e-6
"""Up to here 1 - cos is what rounding leaves of 0."""


@dataclass(frozen=True)
class Bottleneck(Nuance):
    """Maps at the bottleneck and at the last stage before the head, and what cutting them costs.

    The paper's first nuance: neither layer is the one that decides.

    Attributes:
        bottleneck: a stage; ``None`` for the last one named enc….
        last: a stage; ``None`` for the last one named dec….
        cut: what stands in the place of an activation.

    Raises:
        InputError: an unknown cut, or one by what no checkpoint holds.
    """

    name: ClassVar[str] = "nuance_bottleneck"
    bottleneck: str | None = None
    last: str | None = None
    cut: str = CUT

    def __post_init__(self) -> None:
        check_kept(self.cut)

    def found(self, looked: Looked, within: Path) -> Found:
        """Gain and necessity of both stages, and the closed forms of the last one."""
        flow, scene = looked.record.flow, looked.record.scene
        pair = self._pair(looked.network)
        rule = flow.rules[0]
        lost, held = self._lost(looked, pair)
        at, own = [flow.stages.index(name) for name in pair], [flow.organs.index(o) for o in held]
        gain = {"trained": looked.record.gain[at, 0][:, own]}
        if looked.untrained is not None:
            gain["untrained"] = looked.untrained.gain[at, 0][:, own]
        keep = [o for o, name in enumerate(held) if name not in looked.left_out]
        each = {
            name: by_case(values, scene.cases) for name, values in (gain | {"lost": lost}).items()
        }
        status = flow.status[at[0], 0, own]
        drawn = torch.stack([(status == Status.OK).sum(-1), (status != Status.ABSENT).sum(-1)], -1)
        claims = bottleneck_claims(each["lost"][0, keep], drawn[keep], [held[o] for o in keep],
                                   pair[0], title_of(rule), REPLACED[self.cut])  # fmt: skip
        table = _rows(each, pair, held, drawn)
        return Found(
            self.name,
            "A map at the bottleneck, and at the last stage: does the network need them?",
            claims,
            [self._closed_forms(looked, pair[1]), *left_out_words(looked)],
            bottleneck_figure({name: each[name] for name in gain}, each["lost"], pair, held,
                              title_of(rule), REPLACED[self.cut], looked.network.probes.marks),
            table,
            Table.of(f"Means over cases; the same: {self.name}.csv. Cut: {REPLACED[self.cut]} in "
                     "the stage's place.", table),
            within,
        )  # fmt: skip

    def check_stages(self, network: Network) -> None:
        """Refuse stages without the two, before any work.

        Raises:
            InputError: a stage that there is not, or that ``stages=`` leaves out.
        """
        asked, pair = network.settings.stages, self._pair(network)
        if asked and (missing := [name for name in pair if name not in asked]):
            raise InputError(
                f"stages=[{','.join(asked)}] leaves out {' and '.join(missing)}, which "
                f"study={self.name} looks at (the bottleneck {pair[0]}, the last stage "
                f"{pair[1]}); say stages=[{','.join(dict.fromkeys([*pair, *asked]))}]"
            )

    def _pair(self, network: Network) -> tuple[str, str]:
        """The bottleneck and the last stage: those named, or else the last enc… and dec…."""
        names = [stage.name for stage in network.places]
        found = []
        for option, asked, begins in (("bottleneck", self.bottleneck, "enc"),
                                      ("last", self.last, "dec")):  # fmt: skip
            if asked is not None and asked not in names:
                raise unknown(f"study.{option}", asked, names, "this network")
            known = [asked] if asked else [name for name in names if name.startswith(begins)]
            if not known:
                raise InputError(f"no stage of this network is named {begins}…; say "
                                 f"study.{option}=…, one of {', '.join(names)}")  # fmt: skip
            found.append(known[-1])
        return found[0], found[1]

    def _lost(self, looked: Looked, pair: Sequence[str]) -> tuple[Tensor, list[str]]:
        """(2, O, N) Dice lost, and the organs that the slices hold."""
        net, stages, probes, channels, settings, _ = looked.network
        _, held = organs_on(looked.truth, channels, settings.organs)
        with step(f"{looked.trained.name}: cutting {pair[0]} and {pair[1]}") as progress:
            found = necessity(
                net,
                chosen(resolve(unwrapped(net), stages), pair),
                probes.images,
                looked.truth,
                held,
                None if self.cut in ("zero", "resample") else looked.baselines,
                cases=probes.cases,
                cut=self.cut,
                seed=looked.seed,
                activation=settings.activation,
                progress=progress,
            )
        return tensor(found.dice_lost), list(held)

    def _closed_forms(self, looked: Looked, last: str) -> str:
        """What the last stage's map is by construction, as far as this network's head has it so."""
        network, flow = looked.network, looked.record.flow
        settings = replace(network.settings, stages=[last], rules=["seg_grad_cam"])
        masks = looked.record.masks(flow.organs)
        halves = flows_of_parts(network._replace(settings=settings), masks)
        apart = locality(*halves)
        worst = float(apart[apart.isfinite()].max()) if apart.isfinite().any() else torch.nan
        like = _correlation(flow, last)
        words = f"(largest 1 - cos of the maps of two parts {worst:.1e}; {like})"
        if worst <= EXACT:
            return (f"By construction, no finding: Seg-Grad-CAM's map at {last} is the same "
                    f"whatever the region {words}: the prediction redrawn.")  # fmt: skip
        return (f"What follows {last} is not linear, so that Seg-Grad-CAM's map there depends on "
                f"the region {words}.")  # fmt: skip


def _correlation(flow: Flow, last: str) -> str:
    """How the map of the last stage goes with that of the logits, which is the logit itself."""
    if "seg_grad_cam" not in flow.rules or FINAL not in flow.stages:
        return "not held against the logits"
    r = flow.rules.index("seg_grad_cam")
    one, other = flow.maps[last][r], flow.maps[FINAL][r]
    if one.shape != other.shape:
        return "not held against the logits, whose grid is another"
    there = flow.status[flow.stages.index(last), r] < Status.GAP_DEGENERATE
    rho = Compared.of(one[there]).like(Compared.of(other[there]))["spearman"]
    return f"ρ {float(rho.mean()):.3f} with the logits"


def _rows(
    each: dict[str, Tensor], pair: Sequence[str], organs: Sequence[str], drawn: Tensor
) -> list[dict[str, Any]]:
    def mean(name: str, s: int, o: int) -> float:
        return float(each[name][s, o].nanmean()) if name in each else torch.nan

    return [
        {"organ": organ, "stage": stage, "gain": mean("trained", s, o),
         "gain, untrained": mean("untrained", s, o), "Dice lost": mean("lost", s, o),
         "maps": int(drawn[o, 0]) if s == 0 else "", "slices": int(drawn[o, 1]),
         "cases": int(each["lost"][s, o].isfinite().sum())}
        for o, organ in enumerate(organs) for s, stage in enumerate(pair)
    ]  # fmt: skip
