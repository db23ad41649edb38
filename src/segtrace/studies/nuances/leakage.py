"""Evidence for one organ on another: where it rises and falls, and whether it is needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.causal.faithfulness.deletion import deletion
from segtrace.errors import InputError
from segtrace.labelled import Dataset, rows, tensor
from segtrace.measures.over_cases import by_case
from segtrace.measures.places import body_of
from segtrace.measures.resize import pooled
from segtrace.measures.significance import LEAST_CASES
from segtrace.network.sites import chosen
from segtrace.network.stages import resolve
from segtrace.network.undisturbed import unwrapped
from segtrace.progress import counted, step
from segtrace.report.captions import plain, title_of
from segtrace.report.claims.claim import Claim
from segtrace.report.claims.leaks import (
    ELSEWHERE,
    LEAST_SLICES,
    OF_THE_MAP,
    PAIR,
    detail,
    held_against,
    numbers_of,
    picture_path,
)
from segtrace.report.claims.nuances.leakage import CONTROLS, Cut, leak_cut_claims, why_none
from segtrace.report.figures.nuances.leakage import leakage_figure
from segtrace.report.page.sections import Table
from segtrace.report.scene import FINAL
from segtrace.studies.cut_networks import check_kept
from segtrace.studies.nuances.nuance import Found, Looked, Nuance, left_out_words
from segtrace.tracking.cuts import CUT
from segtrace.tracking.leaks import LeakMeter, Leaks, left_out

DRAWN, CUT_AT_MOST = 4, 5
"""Pairs in the figure, and leaks whose place is cut."""
SIZE = {"mean": "mean over cases", "low": "low", "high": "high", "cases": "cases",
        "untrained": "untrained", "mirror image": "mirror image",
        "other cases": ELSEWHERE, "p": "p"}  # fmt: skip
"""Columns of the page's table, out of the numbers of a leak."""
ALL_CELLS = 0.999
"""Part of a stage's cells that may be removed: all that lie on the organ."""


@dataclass(frozen=True)
class Leakage(Nuance):
    """The organ x organ matrix of every stage, and a cut of the places that leaks lie on.

    The paper's third nuance: the liver's map at dec4 lights the left kidney, and at dec5 no more.

    Attributes:
        cut: what stands in the place of the cells.

    Raises:
        InputError: an unknown cut, or one by what no checkpoint holds.
    """

    name: ClassVar[str] = "nuance_leakage"
    cut: str = CUT

    def __post_init__(self) -> None:
        check_kept(self.cut)

    def found(self, looked: Looked, within: Path) -> Found:
        """Events, or the largest densities; and whether what lies there is needed."""
        leaks, flow = self._leaks(looked), looked.record.flow
        tests = leaks.tests
        if tests is None:  # no untrained network: numbers alone
            tests = held_against(leaks.found, leaks.centred, None, looked.record.scene.cases,
                                 leaks.not_found)  # fmt: skip
        events = leaks.all_events
        told = [{"rule": e.rule, "organ": e.organ, "onto": e.onto, "site": e.peak} for e in events]
        largest = _largest(tests, leaks.not_found)
        asked = (told or largest)[:CUT_AT_MOST]
        why = () if leaks.tests is not None else ("not held against every control",)
        cuts = self._cut(looked, asked, tests, why)
        rule = asked[0]["rule"] if asked else flow.rules[0]
        pairs = _unique([{axis: one[axis] for axis in PAIR} for one in asked
                         if one["rule"] == rule])[:DRAWN]  # fmt: skip
        first: list[Claim] = [*events[:CUT_AT_MOST]] or [_none(leaks, looked)]
        return Found(
            self.name,
            "Evidence for one organ on another: where, and is it needed?",
            [*first, *leak_cut_claims(cuts)],
            [*left_out(CUT_AT_MOST, len(events)), *_peaks(leaks.tests, rule, pairs, cuts),
             *left_out_words(looked)],
            leakage_figure(tests, rule, pairs, looked.network.probes.marks),
            leaks.rows(),
            Table.of("Dice that the organ loses when the cells of the other one, outside its own "
                     "rim, are cut out of the stage, beside as many cells elsewhere; mean over "
                     "the cases that have such cells (cut cases). Before it the size of the leak: "
                     "times uniform of all slices, mean over the cases with both organs and its "
                     "95 % t interval, two of its nulls, where it lies in other cases, p corrected "
                     f"for all entries. Shares are {OF_THE_MAP}. Every density: {self.name}.csv.",
                     _shown(cuts)),
            within,
            {picture_path(e.rule, e.peak, flow.stages): leaks.picture(e.rule, e.peak)
             for e in events[:CUT_AT_MOST]},
        )  # fmt: skip

    def _leaks(self, looked: Looked) -> Leaks:
        meter, record = LeakMeter(), looked.record
        if not meter.is_told(record):
            raise InputError("organs overlap on these slices: a pixel is charged to one organ only")
        before = None if looked.untrained is None else meter.of(looked.untrained)
        return Leaks(record, meter.of(record), meter.of_centred(looked.network), before)

    def _cut(
        self,
        looked: Looked,
        asked: Sequence[Mapping[str, str]],
        tests: Dataset,
        untested: Sequence[str],
    ) -> list[Cut]:
        """The places of the leaks, cut; ``untested`` is why none can be an event."""
        found = []
        for number, leak in enumerate(asked, 1):
            words = (f"{looked.trained.name}: leak {number} of {len(asked)}, cutting the "
                     f"{plain(leak['onto'])} out of {leak['site']}")  # fmt: skip
            with step(words) as progress:
                lost = self._lost(looked, leak, progress)
            one = tests.sel(leak)
            found.append(Cut(leak["rule"], leak["organ"], leak["onto"], leak["site"], lost,
                             numbers_of(one), untested or why_none(one)))  # fmt: skip
        return found

    def _lost(self, looked: Looked, leak: Mapping[str, str], progress: Any) -> dict[str, Tensor]:
        """Way -> (C,) Dice lost: the deletion of a map that is the other organ's region."""
        net, stages, probes, channels, settings, _ = looked.network
        flow = of_region(
            looked.record.flow, leak, looked.record.masks((leak["organ"], leak["onto"]))
        )
        body = body_of(looked.record.scene.image)
        found = deletion(
            net,
            flow,
            chosen(resolve(unwrapped(net), stages), [leak["site"]]),
            probes.images,
            looked.truth,
            {leak["organ"]: channels[leak["organ"]]},
            None if self.cut in ("zero", "resample") else looked.baselines,
            cases=probes.cases,
            where=("outside",),
            fractions=(ALL_CELLS,),
            cut=self.cut,
            seed=looked.seed,
            body=body if body.any() else None,
            activation=settings.activation,
            progress=progress,
        )
        lost = found["lost"].isel(where=0, site=0, rule=0, organ=0)
        return {way: by_case(tensor(lost.sel(way=way)), probes.cases) for way in ("map", *CONTROLS)}


def of_region(flow: Flow, leak: Mapping[str, str], masks: Tensor) -> Flow:
    """A flow whose only map is a region: 1 in the cells of the other organ, of one organ and stage.

    Args:
        flow: on the same slices.
        leak: ``organ``, ``onto`` and ``site``.
        masks: (2, N, H, W) bool, where the organ and the other one lie.
    """
    maps = flow.maps[leak["site"]]
    cells = (pooled(masks[1].float(), tuple(maps.shape[-2:])) >= 0.5).to(maps)[None, None]
    o = flow.organs.index(leak["organ"])
    there = masks.flatten(2).any(-1).all(0)
    status = torch.where(there, int(Status.OK), int(Status.ABSENT)).to(torch.int8)
    return replace(flow, maps={leak["site"]: cells}, status=status[None, None, None],
                   kappa=flow.kappa[:1, o : o + 1], gradient_l1=flow.gradient_l1[:1, o : o + 1],
                   scores=flow.scores[o : o + 1], region_px=flow.region_px[o : o + 1],
                   rules=(leak["onto"],), organs=(leak["organ"],), methods={})  # fmt: skip


def _largest(tests: Dataset, without: Sequence[str]) -> list[dict[str, str]]:
    """The pairs furthest above their null, events or not, each where it is; the largest first."""
    along = ("rule", "organ", "onto", "site")
    table = rows(tests, along, (*along, "density", "null", "slices"))
    left = [row for row in table if row["organ"] != row["onto"] and row["site"] != FINAL
            and row["organ"] not in without and row["slices"] >= LEAST_SLICES
            and row["density"] > row["null"]]  # fmt: skip
    left.sort(key=lambda row: row["null"] - row["density"])
    first = {(row["rule"], row["organ"], row["onto"]): row for row in reversed(left)}
    ordered = sorted(first.values(), key=lambda row: row["null"] - row["density"])
    return [{axis: row[axis] for axis in along} for row in ordered]


def _peaks(
    tests: Dataset | None, rule: str, pairs: Sequence[dict[str, str]], cuts: Sequence[Cut]
) -> list[str]:
    """Why the highest points of the curves are no events, of those that no other sentence tells."""
    if tests is None:  # that is said once
        return []
    told, said = {(cut.rule, cut.organ, cut.onto, cut.stage) for cut in cuts}, []
    for pair in pairs:
        here = tests.sel({**pair, "rule": rule})
        here = here.isel(site=(here["site"] != FINAL).values)
        one = here.isel(site=int(here["density"].fillna(0.0).values.argmax()))
        organ, onto, stage = (pair["organ"], pair["onto"], one["site"].item())
        if (rule, organ, onto, stage) not in told and not bool(one["holds"]):
            said.append(f"{title_of(rule)}, {plain(organ)} on {plain(onto)} at {stage}, its "
                        f"highest: {detail(numbers_of(one))}; no event: "
                        f"{', '.join(why_none(one))}.")  # fmt: skip
    return said


def _unique(pairs: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return list({tuple(pair.values()): pair for pair in pairs}.values())


def _none(leaks: Leaks, looked: Looked) -> Claim:
    cases = len(set(looked.record.scene.cases))
    if leaks.tests is None:
        why = "no untrained network to hold them against"
    else:
        few = f"{counted(cases, 'case')}, and a claim takes {LEAST_CASES}"
        why = few if cases < LEAST_CASES else f"none passes its test on {counted(cases, 'case')}"
    return Claim("leak", f"No leakage event: {why}. What follows are the largest, and no claim.")


def _shown(cuts: Sequence[Cut]) -> list[dict[str, Any]]:
    return [
        {"rule": title_of(cut.rule), "organ": plain(cut.organ), "onto": plain(cut.onto),
         "stage": cut.stage, "times uniform": cut.size["times uniform"],
         **{name: cut.size.get(key, torch.nan) for name, key in SIZE.items()},
         "event": "yes" if cut.is_event else f"no: {', '.join(cut.why_none)}",
         "Dice lost": cut.mean("map"), **{way: cut.mean(way) for way in CONTROLS},
         "cut cases": cut.cases}
        for cut in cuts
    ]  # fmt: skip
