"""Two instances of one organ: does a map tell which of them is explained?"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from segtrace.attribution.flow import Flow
from segtrace.errors import InputError
from segtrace.measures.locality import locality, parts
from segtrace.measures.over_cases import by_case, over_cases
from segtrace.progress import say
from segtrace.report.captions import title_of
from segtrace.report.claims.claim import Claim, number
from segtrace.report.claims.nuances.instances import (
    AVERAGED,
    instances_claims,
    learned_claim,
)
from segtrace.report.figures.nuances.instances import Example, instances_figure
from segtrace.report.page.sections import Table
from segtrace.report.scene import FINAL
from segtrace.studies.nuances.nuance import Found, Looked, Nuance, left_out_words
from segtrace.tracking.explained import flows_of_parts

HEADING = "Two parts of one organ: do the maps tell them apart?"


@dataclass(frozen=True)
class Instances(Nuance):
    """Maps of two parts of every organ: its two largest components, or else its two halves.

    The paper's second nuance: weights that are averaged over all places cannot say which of two
    objects is explained.
    """

    name: ClassVar[str] = "nuance_instances"

    def found(self, looked: Looked, within: Path) -> Found:
        """Cosines of the maps of both parts, over cases, beside maps of another organ."""
        flow = looked.record.flow
        if AVERAGED not in flow.rules:
            raise InputError(f"study={self.name} holds rules against {AVERAGED}; name it in rules=")
        masks = looked.record.masks(flow.organs)
        say(f"{looked.trained.name}: maps of two parts of every organ")
        halves = flows_of_parts(looked.network, masks)
        apart = {"parts": locality(*halves), "organs": locality(flow, _of_next(flow))}
        if looked.before is not None:
            say(f"{looked.trained.name}: the same of the untrained network")
            apart["untrained"] = locality(*flows_of_parts(looked.before, masks))
        keep = [o for o, name in enumerate(flow.organs) if name not in looked.left_out]
        table = _rows(apart, flow, looked)
        if not keep:
            none = Claim("instances", "No organ is recognised on these slices, so that no maps of "
                         f"two parts are compared. Every slice: {self.name}.csv.")  # fmt: skip
            return Found(self.name, HEADING, [none], left_out_words(looked), None, table, None,
                         within)  # fmt: skip
        cases = looked.record.scene.cases
        each = {name: by_case(values[:, :, keep], cases).nanmean(2)
                for name, values in apart.items()}  # (S, R, C)  # fmt: skip
        network = looked.network
        known = tuple(stage.name for stage in network.places)
        drawn = tuple(stage for stage in redrawn(known) if stage in flow.stages)
        claims = instances_claims(each["parts"], flow.stages, flow.rules, drawn)
        if "untrained" in each:
            claims.append(learned_claim(each["parts"], each["untrained"], flow.stages, flow.rules,
                                        drawn))  # fmt: skip
        example = _example(looked, halves, masks, drawn)
        figure = instances_figure(each, flow.stages, flow.rules, example, network.probes.marks)
        return Found(
            self.name,
            HEADING,
            claims,
            [*_untrained(each, flow, drawn), *_by_construction(each["parts"], flow, drawn),
             *left_out_words(looked)],
            figure,
            table,
            Table.of("1 - cos of positive maps, mean over organs and cases, and the 95 % t "
                     f"interval over cases; every slice: {self.name}.csv.", _shown(each, flow)),
            within,
        )  # fmt: skip


def redrawn(stages: tuple[str, ...]) -> tuple[str, ...]:
    """The head, and the decoder stage before it: what a map shows there is the prediction."""
    last = [stage for stage in stages if stage.startswith("dec")][-1:]
    return (*last, *(stage for stage in stages if stage == FINAL))


def _of_next(flow: Flow) -> Flow:
    """The flow with every organ's maps in the place of those of the one before: a scale."""
    return replace(flow, maps={name: maps.roll(-1, 1) for name, maps in flow.maps.items()})


def _untrained(each: dict[str, Tensor], flow: Flow, drawn: tuple[str, ...]) -> list[str]:
    """What stands beside the trained network's numbers; nothing without an untrained one."""
    if "untrained" not in each:
        return []
    both = [each[name].nanmean(-1) for name in ("parts", "untrained")]  # (S, R)
    said = [
        f"{title_of(rule)} " + ", ".join(
            f"{site} {' / '.join(number(float(one[s, r])) for one in both)}"
            for s, site in enumerate(flow.stages)
            if site not in drawn and all(one[s, r].isfinite() for one in both))
        for r, rule in enumerate(flow.rules)
    ]  # fmt: skip
    return [f"1 - cos of two parts' maps, trained / untrained: {'; '.join(said)}."]


def _by_construction(apart: Tensor, flow: Flow, drawn: tuple[str, ...]) -> list[str]:
    means = {(site, rule): float(apart[flow.stages.index(site), r].nanmean())
             for site in drawn for r, rule in enumerate(flow.rules)}  # fmt: skip
    said = [f"{title_of(rule)} {mean:.2f} at {site}"
            for (site, rule), mean in means.items() if mean == mean]  # fmt: skip
    return [f"By construction, no finding: 1 - cos of {', '.join(said)}."] if said else []


def _rows(apart: dict[str, Tensor], flow: Flow, looked: Looked) -> list[dict[str, Any]]:
    scene = looked.record.scene
    return [
        {"case": scene.cases[n], "slice": scene.slices[n], "organ": organ, "rule": rule,
         "stage": stage, **{name: float(values[s, r, o, n]) for name, values in apart.items()}}
        for n in range(len(scene.cases)) for o, organ in enumerate(flow.organs)
        for r, rule in enumerate(flow.rules) for s, stage in enumerate(flow.stages)
        if apart["parts"][s, r, o, n].isfinite()
    ]  # fmt: skip


def _shown(each: dict[str, Tensor], flow: Flow) -> list[dict[str, Any]]:
    over = over_cases(each["parts"], list(map(str, range(each["parts"].shape[-1]))), within=(0, 1))
    return [
        {"rule": title_of(rule), "stage": stage, "two parts": float(over.mean[s, r]),
         "low": float(over.low[s, r]), "high": float(over.high[s, r]),
         **{name: float(values[s, r].nanmean())
            for name, values in {"two organs": each["organs"],
                                 "two parts, untrained": each.get("untrained")}.items()
            if values is not None}}
        for r, rule in enumerate(flow.rules) for s, stage in enumerate(flow.stages)
    ]  # fmt: skip


def _example(
    looked: Looked, halves: tuple[Flow, Flow], masks: Tensor, drawn: tuple[str, ...]
) -> Example | None:
    """The largest organ of all slices that is found, and the maps of its parts."""
    flow, size = looked.record.flow, masks.flatten(2).sum(-1)
    found = [o for o, name in enumerate(flow.organs) if name not in looked.left_out]
    if not found:
        return None
    at = int(size[found].argmax())
    o, n = found[at // size.shape[1]], at % size.shape[1]
    inner = [stage for stage in flow.stages if stage not in drawn] or flow.stages
    stage = inner[-1]
    return Example(
        image=looked.record.scene.image[n, 0],
        masks=tuple(_part(half, masks, o, n) for half in (0, 1)),
        maps={rule: (halves[0].maps[stage][r, o, n], halves[1].maps[stage][r, o, n])
              for r, rule in enumerate(flow.rules)},
        words=f"{flow.organs[o].replace('_', ' ')}, {looked.record.scene.name(n)}, {stage}",
    )  # fmt: skip


def _part(half: int, masks: Tensor, o: int, n: int) -> Tensor:
    return parts(masks[o : o + 1, n : n + 1])[half][0, 0]
