"""Verdicts: whether cutting bears out what a map says, and the numbers that rests on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segtrace.causal.faithfulness.deletion import WAYS
from segtrace.labelled import Dataset, names_along, rows, tensor
from segtrace.measures.over_cases import OverCases, by_case, over_cases
from segtrace.measures.significance import ALPHA, LEAST_CASES, weakest_p

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported here"
NOTHING = "nothing to find"
TOO_FEW = "too few cases"
MISSING = "a control is missing"

ENTRIES = ("where", "site", "rule")
ALL = "all"
"""Stands for all organs together."""
LEAST_LOSS = 0.01
"""Dice. Where neither map nor chance costs this much, the places do not matter to the network."""


@dataclass(frozen=True)
class Verdict:
    """What cutting says of one rule's maps at one stage. Dice lost is a mean over cases.

    Attributes:
        site: the stage or edge.
        rule: the rule.
        organ: the organ; ``all`` for the organs of all slices together.
        where: ``anywhere``, or ``outside`` the organ and its rim.
        verdict: ``supported``, ``not supported here``, ``a control is missing``,
            ``nothing to find``, ``too few cases``.
        by: way -> Dice lost by removing what it marks, see
            :data:`~segtrace.causal.faithfulness.removal.WAYS`; NaN where not known.
        beyond: control -> 95 % t interval over cases of what the map costs more; NaN where there is
            none, see :mod:`segtrace.measures.over_cases`.
        p: that nothing beats its weakest control so, corrected for all places, stages, rules and
            organs (:mod:`segtrace.measures.significance`); NaN where not tested.
        cases: number of cases with a value.
        slices: number of slices with a value; of ``all``, of organs in slices.
    """

    site: str
    rule: str
    organ: str
    where: str
    verdict: str
    by: Mapping[str, float]
    beyond: Mapping[str, tuple[float, float]]
    p: float
    cases: int
    slices: int

    def row(self) -> dict[str, Any]:
        """Plain values for a CSV."""
        names = {
            name: getattr(self, name) for name in ("site", "rule", "organ", "where", "verdict")
        }
        by = {f"by_{way}": lost for way, lost in self.by.items()}
        ends = {f"beyond_{way}_{end}": value for way, both in self.beyond.items()
                for end, value in zip(("low", "high"), both, strict=True)}  # fmt: skip
        return {**names, **by, **ends, "p": self.p, "cases": self.cases, "slices": self.slices}


def verdicts(found: Dataset) -> Iterator[Verdict]:
    """One verdict a place, site, rule and organ of a deletion, and one of all organs together.

    ``supported`` asks that the map beats every control, the untrained network's map and those that
    know the image alone included, each with an interval over cases above 0 and together with a
    p of 0.05 at most, corrected for all places, stages, rules and organs, those together among
    them. A control that is missing is not passed.
    """
    cases, organs = names_along(found, "case"), names_along(found, "organ")
    lost = found["lost"].transpose("organ", "where", "site", "rule", "way", "slice")
    entries = rows(lost.isel(organ=0, drop=True).to_dataset(name="lost"), ENTRIES, ENTRIES)
    each = list(tensor(lost).flatten(1, 3))  # of each organ: entries, ways, slices
    if len(organs) > 1:
        organs, each = [*organs, ALL], [*each, torch.cat(each, -1)]
    # Cells are drawn for every map; the untrained network may have none where this one does.
    each = [own.masked_fill(own[:, : len(WAYS) - 1].isnan().any(1, keepdim=True), torch.nan)
            for own in each]  # fmt: skip
    beyond = [own[:, :1] - own[:, 1:] for own in each]
    of = [cases * (own.shape[-1] // len(cases)) for own in each]  # together: organ after organ
    p = weakest_p(torch.cat([by_case(*pair) for pair in zip(beyond, of, strict=True)]))
    named = [{**entry, "organ": organ} for organ in organs for entry in entries]
    parts = [(*pair, whose) for own, more, whose in zip(each, beyond, of, strict=True)
             for pair in zip(own, more, strict=True)]  # fmt: skip
    for part, value, entry in zip(parts, p.tolist(), named, strict=True):
        yield _verdict(*part, value, entry)


def _verdict(
    lost: Tensor, more: Tensor, cases: Sequence[str], p: float, named: Mapping[str, str]
) -> Verdict:
    seen = ~lost[0].isnan()
    counted = {case for case, has in zip(cases, seen.tolist(), strict=True) if has}
    means, beyond = over_cases(lost, cases).mean, over_cases(more, cases, within=(-1.0, 1.0))
    ends = zip(beyond.low.tolist(), beyond.high.tolist(), strict=True)
    return Verdict(
        **named,
        verdict=_word(means, beyond, p, len(counted)),
        by=dict(zip(WAYS, means.tolist(), strict=True)),
        beyond=dict(zip(WAYS[1:], ends, strict=True)),
        p=p,
        cases=len(counted),
        slices=int(seen.sum()),
    )


def _word(means: Tensor, beyond: OverCases, p: float, cases: int) -> str:
    if cases < LEAST_CASES:
        return TOO_FEW
    if float(means.nan_to_num(nan=-torch.inf).max()) < LEAST_LOSS:
        return NOTHING
    if bool((beyond.cases < LEAST_CASES).any()):
        return MISSING
    return SUPPORTED if p <= ALPHA and bool(beyond.above().all()) else NOT_SUPPORTED
