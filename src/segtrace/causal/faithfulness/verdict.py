"""Verdicts: whether cutting bears out what a map says, and the numbers that rests on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from segtrace.causal.faithfulness.deletion import WAYS
from segtrace.labelled import Dataset, names_along, rows, tensor
from segtrace.measures.over_cases import LEAST_CASES, OverCases, over_cases

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported here"
NOTHING = "nothing to find"
TOO_FEW = "too few cases"

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
        verdict: ``supported``, ``not supported here``, ``nothing to find``, ``too few cases``.
        by_map: Dice lost by removing what the map marks.
        by_shifted: by removing its shifted pattern.
        by_random: by removing as many random cells.
        by_untrained: by removing what the untrained network's map marks; NaN where not known.
        beyond_shifted: 95 % t interval over cases of ``by_map`` - ``by_shifted``; NaN where there
            is none, see :mod:`segtrace.measures.over_cases`.
        beyond_random: of ``by_map`` - ``by_random``.
        beyond_untrained: of ``by_map`` - ``by_untrained``.
        cases: number of cases with a value.
        slices: number of slices with a value; of ``all``, of organs in slices.
    """

    site: str
    rule: str
    organ: str
    where: str
    verdict: str
    by_map: float
    by_shifted: float
    by_random: float
    by_untrained: float
    beyond_shifted: tuple[float, float]
    beyond_random: tuple[float, float]
    beyond_untrained: tuple[float, float]
    cases: int
    slices: int

    def row(self) -> dict[str, Any]:
        """Plain values for a CSV."""
        row = asdict(self)
        for name in (f"beyond_{control}" for control in WAYS[1:]):
            row[f"{name}_low"], row[f"{name}_high"] = row.pop(name)
        return row


def verdicts(found: Dataset) -> Iterator[Verdict]:
    """One verdict a place, site, rule and organ of a deletion, and one of all organs together.

    ``supported`` asks that the map beats its shifted pattern, random cells and, where it is known,
    the untrained network's map, each with an interval over cases above 0 (where all cases agree to
    the last digit there is no interval, and their number counts). Many verdicts are given
    at a time: of those on maps that know nothing, about one in forty will beat one control by
    chance.
    """
    cases = names_along(found, "case")
    entries = ("where", "site", "rule")
    for at in rows(found, entries, entries):
        lost = found["lost"].sel(at)  # organ, way, slice
        for organ in names_along(lost, "organ"):
            yield _verdict(tensor(lost.sel(organ=organ)), cases, at | {"organ": organ})
        if len(lost) > 1:
            pooled = tensor(lost).movedim(1, 0).flatten(1)  # (4, O · N)
            yield _verdict(pooled, cases * len(lost), at | {"organ": ALL})


def _verdict(lost: Tensor, cases: Sequence[str], named: Mapping[str, str]) -> Verdict:
    # Chance is drawn for every map; the untrained network may have none where this one does.
    lost = lost.masked_fill(lost[:3].isnan().any(0), torch.nan)
    seen = ~lost[0].isnan()
    counted = {case for case, has in zip(cases, seen.tolist(), strict=True) if has}
    means = over_cases(lost, cases).mean
    beyond = [over_cases(lost[0] - lost[way], cases, within=(-1.0, 1.0))
              for way in range(1, len(WAYS))]  # fmt: skip
    return Verdict(
        **named,
        verdict=_word(means, beyond, len(counted)),
        by_map=float(means[0]),
        by_shifted=float(means[1]),
        by_random=float(means[2]),
        by_untrained=float(means[3]),
        beyond_shifted=_ends(beyond[0]),
        beyond_random=_ends(beyond[1]),
        beyond_untrained=_ends(beyond[2]),
        cases=len(counted),
        slices=int(seen.sum()),
    )


def _ends(beyond: OverCases) -> tuple[float, float]:
    return float(beyond.low), float(beyond.high)


def _word(means: Tensor, beyond: list[OverCases], cases: int) -> str:
    if cases < LEAST_CASES:
        return TOO_FEW
    if float(means.nan_to_num(nan=-torch.inf).max()) < LEAST_LOSS:
        return NOTHING
    known = [control for control in beyond if control.cases > 0]
    return SUPPORTED if all(control.above() for control in known) else NOT_SUPPORTED
