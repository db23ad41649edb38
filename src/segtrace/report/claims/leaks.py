"""Leakage that is an event: found at a stage, beyond what chance and resolution explain.

"Liver leaks onto right kidney at dec4, gone at dec5" is an observation of this kind (Hasany et al.
2023, Fig. 1). It is found by the program, or not found; no pair is expected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from segtrace.errors import InputError
from segtrace.labelled import DataArray, names_along, rows, tensor
from segtrace.measures import guards
from segtrace.measures.leakage import Leakage
from segtrace.measures.over_cases import OverCases, in_words, method, over_cases

PAIR = ("organ", "onto")
ENTRY = ("rule", *PAIR)
LEAK = "the result of segtrace.measures.leakage.leakage"
LEAST_DENSITY = 2.0
"""An event puts at least twice on an organ what a uniform map would …"""

LEAST_SHARE = 0.05
"""… and at least this part of the whole map …"""

LEAST_SLICES = 3
"""… over at least so many slices that hold both organs."""


@dataclass(frozen=True)
class Event:
    """One organ's evidence lies on another organ, at neighbouring stages.

    Attributes:
        rule: the rule whose maps show it.
        organ: the organ that is explained.
        onto: the organ on whose pixels the evidence lies.
        stages: where it holds, in order.
        gone: the first later stage where it is back inside the null; None if there is none.
        last: the last stage that was looked at.
        peak: the one of ``stages`` with the highest density; the numbers below are of it.
        density: 1 is what a uniform map puts there.
        share: part of the map.
        slices: slices that hold both organs.
        over_cases: the density of each case of its own, over cases, with its interval; None where
            the cases are not known.
        coarse: density of the perfect map of that stage's grid.
        untrained: density of the untrained network's map; NaN if none was given or it has none.
        mirrored: density on the mirror image of the other organ.
        checked: what it was held against besides ``coarse``: ``centered``, ``untrained``.
    """

    rule: str
    organ: str
    onto: str
    stages: tuple[str, ...]
    gone: str | None
    last: str
    peak: str
    density: float
    share: float
    slices: int
    over_cases: OverCases | None
    coarse: float
    untrained: float
    mirrored: float
    checked: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Plain text, e.g. ``liver leaks onto right kidney at dec4, gone at dec5``."""
        where = self.stages[0] if len(self.stages) == 1 else f"{self.stages[0]}-{self.stages[-1]}"
        end = f"gone at {self.gone}" if self.gone else f"not gone by {self.last}"
        if self.stages[-1] == self.last:
            end = "the last stage"
        return f"{_words(self.organ)} leaks onto {_words(self.onto)} at {where}, {end}"

    @property
    def detail(self) -> str:
        """The numbers behind the sentence, in one line."""
        coarse, untrained, mirrored = (
            "not known" if number != number else f"{number:.1f}"
            for number in (self.coarse, self.untrained, self.mirrored)
        )
        return (
            f"{self.peak}: {self.density:.1f} times uniform{self._span}, {self.share:.0%} of the "
            f"map, {self.slices} slices; perfect coarse map {coarse}, untrained {untrained}, "
            f"mirror image {mirrored}; {self.rule}"
        )

    @property
    def _span(self) -> str:
        """The mean over cases, which is what the interval is of, and the interval."""
        if self.over_cases is None:
            return ""
        found, cases = self.over_cases, int(self.over_cases.cases)
        ends = in_words(float(found.low), float(found.high), cases, digits=1)
        name = f"{method(cases)} " if found.low == found.low else ""
        return f" (mean over cases {float(found.mean):.1f}, {name}{ends})"


def _words(name: str) -> str:
    return name.replace("_", " ")


@guards.held(
    found=guards.instance(Leakage, LEAK),
    centered=guards.optional(guards.instance(Leakage, LEAK)),
    untrained=guards.optional(guards.instance(Leakage, LEAK)),
    cases=guards.optional(guards.names),
)
def find_events(
    found: Leakage,
    centered: Leakage | None = None,
    untrained: Leakage | None = None,
    cases: Sequence[str] | None = None,
) -> list[Event]:
    """Every leak that is more than uniform, resolution, the untrained network and a common mode.

    At a stage it holds if the density is at least 2, the share at least 0.05 and the slices at
    least 3, on logits and on centred logits, and the density is beyond the null: that of the
    uniform map, of the perfect map of the stage's grid, and of the untrained network.

    Args:
        found: leakage of the flow of ``score="logit"``.
        centered: of ``score="centered"``; what disappears there is shared by all logits.
        untrained: of the network at epoch 0.
        cases: name of each slice's case, for the interval; without them there is none.

    Raises:
        InputError: leakages of different stages, rules or organs.
    """
    for other in (centered, untrained):
        _check(found, other)
    null, density = _null(found, untrained), found.summary["density"]
    holds = _candidates(found) & (density > null)
    if centered is not None:
        beyond = centered.summary["density"] > _null(centered, untrained)
        holds &= _candidates(centered) & beyond
    some = holds.any("site").to_dataset(name="holds")
    checked = {"centered": centered, "untrained": untrained}
    names = tuple(name for name, given in checked.items() if given is not None)
    return [
        _event(found, untrained, density <= null, cases, names, at, run)
        for at in rows(some, ENTRY, (*ENTRY, "holds"))
        if at.pop("holds") and at["organ"] != at["onto"]
        for run in _runs(holds.sel(at).values.tolist())
    ]


def _check(found: Leakage, other: Leakage | None) -> None:
    if other is None:
        return
    for what, axis in Leakage.form.names.items():
        mine, theirs = names_along(found.data, axis), names_along(other.data, axis)
        if mine != theirs:
            raise InputError(
                f"leakages can be held against each other for the same {what} only; these have "
                f"{', '.join(mine)} and {', '.join(theirs)}"
            )


def _candidates(leak: Leakage) -> DataArray:
    """Bool: large enough over enough slices."""
    found = leak.summary
    large = (found["density"] >= LEAST_DENSITY) & (found["share"] >= LEAST_SHARE)
    return large & (found["slices"] >= LEAST_SLICES)


def _null(leak: Leakage, untrained: Leakage | None) -> DataArray:
    """The density that uniform, coarse and untrained maps reach; NaN is no obstacle."""
    null = leak.summary["density_coarse"].fillna(0.0).clip(min=1.0)
    if untrained is None:
        return null
    before = untrained.summary["density"]
    return null.where(~(before > null), before)


def _runs(holds: Sequence[bool]) -> list[range]:
    """Stretches of consecutive True."""
    starts = [i for i, h in enumerate(holds) if h and not (i and holds[i - 1])]
    ends = [i + 1 for i, h in enumerate(holds) if h and not (i + 1 < len(holds) and holds[i + 1])]
    return [range(start, end) for start, end in zip(starts, ends, strict=True)]


def _event(
    found: Leakage,
    untrained: Leakage | None,
    inside: DataArray,
    cases: Sequence[str] | None,
    checked: tuple[str, ...],
    at: Mapping[str, str],
    run: range,
) -> Event:
    stages, density = names_along(found.data, "site"), found.summary["density"].sel(at).values
    later = zip(stages, inside.sel(at).values, strict=True)
    peak = {**at, "site": stages[max(run, key=lambda s: float(density[s]))]}
    here = found.summary.sel(peak)
    return Event(
        **at,
        stages=tuple(stages[s] for s in run),
        gone=next((stage for stage, gone in list(later)[run.stop :] if gone), None),
        last=stages[-1],
        peak=peak["site"],
        density=here["density"].item(),
        share=here["share"].item(),
        slices=here["slices"].item(),
        over_cases=None if cases is None else _over_cases(found, peak, cases),
        coarse=here["density_coarse"].item(),
        untrained=torch.nan if untrained is None else untrained.summary["density"].sel(peak).item(),
        mirrored=here["density_mirrored"].item(),
        checked=checked,
    )


def _over_cases(leak: Leakage, at: Mapping[str, str], cases: Sequence[str]) -> OverCases:
    here = leak.data.sel(at)
    share = here["share"].where(leak.usable.sel(at))
    return over_cases(tensor(share), cases, tensor(here["area"]), within=(0.0, torch.inf))


def too_few_slices(leak: Leakage) -> list[str]:
    """Pairs of which nothing can be said: ``liver, spleen: too few slices (2)``."""
    together = leak.data[["counted"]].any("site").sum("slice")
    return [
        f"{_words(pair['organ'])}, {_words(pair['onto'])}: too few slices ({pair['counted']})"
        for pair in rows(together, PAIR, (*PAIR, "counted"))
        if pair["organ"] != pair["onto"] and pair["counted"] < LEAST_SLICES
    ]


def strongest(
    leak: Leakage, stage: str, rule: str, count: int = 3, without: Sequence[str] = ()
) -> list[str]:
    """The largest densities of one matrix on other organs, as text; events or not.

    Args:
        leak: the leakage.
        stage: whose matrix.
        rule: of which rule.
        count: so many at most.
        without: organs whose maps are left out.
    """
    here = leak.summary.sel(site=stage, rule=rule)
    entries = [
        entry
        for entry in rows(here, PAIR, (*PAIR, "density", "share", "slices"))
        if entry["slices"] >= LEAST_SLICES
        and entry["organ"] != entry["onto"]
        and entry["organ"] not in without
    ]
    return [
        f"{_words(one['organ'])} on {_words(one['onto'])}: {one['density']:.1f} times uniform, "
        f"{one['share']:.0%} of the map, {one['slices']} slices"
        for one in sorted(entries, key=lambda one: one["density"])[: -count - 1 : -1]
    ]
