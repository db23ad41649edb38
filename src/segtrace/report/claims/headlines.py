"""From which stage on do an organ's maps lie on it, beyond what the untrained network shows?

One sentence an organ and rule, and one for the network where all organs have the same. A stage
counts if, case by case, gain is above the untrained network's and above that of an even map by
:data:`MARGIN`; all rules, organs and stages of a page are one family of tests.

Two untrained networks differ by more than that, too, and nothing in one run tells a difference that
was learned from one that was drawn. So nothing is claimed of an organ that the network does not
find, Dice below :data:`FOUND`, or whose prediction fits other cases as well as its own: a network
that learned nothing, or nothing but where organs usually lie, then makes no claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segtrace.labelled import DataArray, Dataset, names_along, tensor
from segtrace.measures.over_cases import LEAST_CASES as LEAST_OF_INTERVAL
from segtrace.measures.over_cases import in_words, over_cases
from segtrace.measures.significance import ALPHA, LEAST_CASES, family_p
from segtrace.progress import counted
from segtrace.report.captions import plain
from segtrace.report.claims.claim import (
    FOUND,
    USUAL_PLACE,
    Claim,
    all_of,
    corrected,
    listed,
    number,
)
from segtrace.report.scene import FINAL

MARGIN = 0.15
"""Gain. Less is no difference worth a sentence."""


@dataclass(frozen=True, eq=False)
class Headlines:
    """The sentences of a page at one epoch.

    Attributes:
        gain: of the cases, axes site, rule, organ and case; NaN where there is none.
        untrained: the same of epoch 0; ``None`` where that is not known.
        echo: bool, site, rule, organ: the untrained network's map lies there already.
        dice: of each organ, mean over cases; NaN without a truth.
        about: the slices and cases, e.g. ``12 slices of 12 cases``.
        unseen: organs whose prediction fits other cases as well as its own.
    """

    gain: DataArray
    untrained: DataArray | None
    echo: DataArray
    dice: DataArray
    about: str
    unseen: Sequence[str] = ()

    @property
    def left_out(self) -> list[str]:
        """The head and the stage before it: there the map is the prediction redrawn."""
        stages = names_along(self.gain, "site")
        last = [stage for stage in stages if stage != FINAL][-1:]
        return last + [stage for stage in stages if stage == FINAL]

    @cached_property
    def tested(self) -> Dataset:
        """Axes site, rule, organ; NaN where nothing can be tested.

        ``gain`` and ``untrained``, means over cases; ``beyond``, by how much the first exceeds the
        larger of the second and 0, an even map's; ``low`` and ``high`` of its 95 % t interval;
        ``cases``; ``p``, corrected for all; ``passed``.
        """
        # An untrained map that is dead marks nothing: it counts as an even one. Cases that lack
        # the organ count in neither mean.
        before = self.gain * np.nan if self.untrained is None else self.untrained.fillna(0.0)
        before = before.where(self.gain.notnull())
        found = (self.dice >= FOUND) & ~self.dice["organ"].isin(list(self.unseen))
        usable = ~self.echo & ~self.gain["site"].isin(self.left_out) & found
        null = before.clip(min=0.0)
        beyond = (self.gain - null).where(usable)
        cases = names_along(self.gain, "case")
        over = over_cases(tensor(beyond), cases)
        axes = beyond.dims[:-1]
        p = family_p(tensor(beyond) - MARGIN)
        columns = {"low": over.low, "high": over.high, "cases": over.cases, "p": p,
                 "passed": (p <= ALPHA) & over.above(MARGIN), "beyond": over.mean}  # fmt: skip
        means = {"gain": self.gain.mean("case"), "untrained": before.mean("case")}
        return (
            beyond.to_dataset(name="each")
            .drop_dims("case")
            .assign({**means, **{name: (axes, values) for name, values in columns.items()}})
        )

    def of(self, rule: str, organ: str) -> Claim:
        """What holds of one organ's maps."""
        known, best = self._known(rule, organ), self._furthest(rule, organ)
        name = plain(organ)
        if not float(self.dice.sel(organ=organ)) >= FOUND:
            return self._said(f"nothing is claimed of maps of an organ whose Dice is below {FOUND}"
                              ", or that has no truth.")  # fmt: skip
        if organ in self.unseen:
            return self._said(f"nothing is claimed of maps of the {name}: {USUAL_PLACE}.")
        if self.untrained is None:
            return self._said("nothing to compare with: no untrained network with the same "
                              "regions stands beside it, so nothing is claimed.")  # fmt: skip
        if best is None:
            return self._said("no stage gives evidence that may be read.")
        numbers, cases = self._numbers(best), int(best["cases"])
        if cases < LEAST_CASES:
            return self._said(f"seen on {counted(cases, 'case')}, no claim: furthest above the "
                              f"untrained network's at {_at(best)}.", numbers)  # fmt: skip
        first = _first(known["passed"].values.tolist())
        if first is None:
            before = self.left_out[0] if self.left_out else "the last"
            rest = ", but those of a stage after it are not shown to" * bool(best["passed"])
            return self._said(f"no stage before {before} is shown to be one from which on all maps "
                              f"lie on the {name}, beyond the untrained network's; furthest beyond "
                              f"is {_at(best)}{rest}.", numbers)  # fmt: skip
        start = known.isel(site=first)
        at = start["site"].item()
        where = f"at {at} alone" if first == known.sizes["site"] - 1 else f"from {at} on"
        return self._said(f"its maps lie on it {where}, beyond the untrained network's: "
                          f"{_at(start)}.", self._numbers(start), self._tests)  # fmt: skip

    def network(self, rule: str) -> Claim:
        """What holds of all organs alike, which slices it speaks of, and what is left out."""
        found = [
            organ
            for organ in names_along(self.gain, "organ")
            if float(self.dice.sel(organ=organ)) >= FOUND and organ not in self.unseen
        ]
        firsts = {self.first(rule, organ) for organ in found}
        words, tests = "", self._tests[:0]
        if len(found) > 1 and len(firsts) == 1 and self._enough(rule, found):
            words = ("Of no organ that is found there is a stage from which on all maps are shown "
                     "to lie on it, beyond the untrained network's. ")  # fmt: skip
            if place := firsts.pop():
                words = (f"From {place} on, maps of {all_of(len(found), 'organs')} that are found "
                         "lie on their organ, beyond the untrained network's. ")  # fmt: skip
                tests = self._tests
        about = f"Over {self.about}{self._left_out_words(rule)}."
        return Claim("headline", words + about, {}, tests, self.about)

    def _left_out_words(self, rule: str) -> str:
        here = self.echo.sel(rule=rule)
        echoed = [stage for stage in names_along(here, "site")
                  if stage not in self.left_out and bool(here.sel(site=stage).any())]  # fmt: skip
        # Without the head among them, the last need not be the network's last.
        why = "the prediction redrawn" if FINAL in self.left_out else "the last one shown"
        words = [f"{listed(self.left_out)}, {why}"] * bool(self.left_out)
        if echoed:
            words.append("of single organs, stages whose untrained map lies on it already (among "
                         f"{listed(echoed)})")  # fmt: skip
        return f"; left out: {', and '.join(words)}" if words else ""

    def first(self, rule: str, organ: str) -> str | None:
        """The stage from which on all that may be read pass; ``None`` where there is none."""
        known = self._known(rule, organ)
        at = _first(known["passed"].values.tolist())
        return None if at is None else str(known["site"].values[at])

    def furthest(self, rule: str, organ: str) -> str | None:
        """The stage that lies furthest beyond; ``None`` where none can be tested."""
        best = self._furthest(rule, organ)
        return None if best is None else str(best["site"].item())

    def _known(self, rule: str, organ: str) -> Dataset:
        """What was found at the stages that can be tested."""
        here = self.tested.sel(rule=rule, organ=organ)
        return here.isel(site=np.isfinite(here["beyond"].values))

    def _furthest(self, rule: str, organ: str) -> Dataset | None:
        """Among the stages with most cases: what one case shows is not put before what all show."""
        known = self._known(rule, organ)
        if not known.sizes["site"]:
            return None
        most = known.isel(site=(known["cases"] == known["cases"].max()).values)
        return most.isel(site=int(most["beyond"].values.argmax()))

    def _enough(self, rule: str, found: list[str]) -> bool:
        most = self.tested["cases"].sel(rule=rule, organ=found).max("site")
        return self.untrained is not None and bool((most >= LEAST_CASES).all())

    @property
    def _tests(self) -> tuple[str, ...]:
        count = int(self.tested["p"].notnull().sum())
        return (f"{corrected(count)}, margin {MARGIN}", "95 % t interval above the margin")

    def _numbers(self, at: Dataset) -> dict[str, float]:
        stage = at["site"].item()
        return {f"{name} at {stage}": float(at[name])
                for name in ("gain", "untrained", "low", "high", "cases", "p")}  # fmt: skip

    def _said(
        self, words: str, numbers: dict[str, float] | None = None, tests: tuple[str, ...] = ()
    ) -> Claim:
        return Claim("headline", words[0].upper() + words[1:], numbers or {}, tests, self.about)


def _first(passed: Sequence[bool]) -> int | None:
    """Where the last stretch of True begins that reaches the end."""
    at = len(passed)
    while at and passed[at - 1]:
        at -= 1
    return at if at < len(passed) else None


def _at(one: Dataset) -> str:
    """E.g. ``dec3 (gain 0.62, untrained 0.11; 0.40 to 0.62 above …)``, and above what."""
    cases = int(one["cases"])
    low, high = float(one["low"]), float(one["high"])
    span = f"; {in_words(low, high, cases)}" if cases >= LEAST_OF_INTERVAL else ""
    if low == low:  # an interval, which fewer cases do not have
        span += f" above the larger of that and 0, over {cases} cases"
    return (f"{one['site'].item()} (gain {number(float(one['gain']))}, untrained "
            f"{number(float(one['untrained']))}{span})")  # fmt: skip
