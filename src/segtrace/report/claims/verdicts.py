"""At which stages cutting what a rule's maps mark costs more Dice than every control.

A verdict has its p from all organs, those together among them, stages, rules and places at once
(:mod:`segtrace.causal.faithfulness.verdict`). Cells in the organ win easily, so that what holds
outside the organ and its rim is told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from segtrace.causal.faithfulness.verdict import (
    ALL,
    MISSING,
    NOT_SUPPORTED,
    NOTHING,
    SUPPORTED,
    TOO_FEW,
    Verdict,
)
from segtrace.measures.significance import LEAST_CASES
from segtrace.progress import counted
from segtrace.report.captions import plain, title_of
from segtrace.report.claims.claim import Claim, corrected, listed, number
from segtrace.report.scene import FINAL

UNSHOWN = {NOT_SUPPORTED: "not shown", NOTHING: NOTHING, TOO_FEW: TOO_FEW, MISSING: MISSING}
"""Verdicts that are none in favour, and what they are called."""
PLACES = {"anywhere": "", "outside": "outside the organ "}
"""Where the cells may lie, and how that begins."""


@dataclass(frozen=True)
class Verdicts:
    """The sentences of all verdicts.

    Attributes:
        found: of all organs, rules, stages and places.
        about: the slices and cases.
        stages: all of the network's, of which some were judged; empty: those that were.
    """

    found: Sequence[Verdict]
    about: str
    stages: Sequence[str] = ()

    @property
    def whose(self) -> str:
        """All organs together, or the only one."""
        return ALL if any(v.organ == ALL for v in self.found) else self.found[0].organ

    @property
    def rules(self) -> list[str]:
        """Those that were judged."""
        return list(dict.fromkeys(v.rule for v in self.found))

    @property
    def redrawn(self) -> list[str]:
        """The head and the decoder stage before it: there the map is the prediction redrawn."""
        known = self.stages or dict.fromkeys(v.site for v in self.found)
        sites = [site for site in known if site != FINAL]
        return [FINAL, *[site for site in sites[1:][-1:] if not site.startswith("enc")]]

    def claims(self) -> list[Claim]:
        """Of every rule what holds of all organs together, and then where they differ."""
        several = self.whose == ALL
        return [claim for rule in self.rules
                for claim in (self.of(rule), *[self.by_organ(rule)] * several)]  # fmt: skip

    def of(self, rule: str) -> Claim:
        """What cutting says of one rule's maps, of all organs together."""
        own = [v for v in self.found if (v.rule, v.organ) == (rule, self.whose)]
        told = "; ".join(self._at(own, place) for place in dict.fromkeys(v.where for v in own))
        name, cases = title_of(rule), max(v.cases for v in own)
        if cases < LEAST_CASES:
            known = [v for v in own if v.cases]
            if not known:
                return self._said(f"{name}: no map marks a cell that can be cut.", own)
            most = max(known, key=_ahead)
            return self._said(f"{name}: seen on {counted(cases, 'case')}, no claim: furthest above "
                              f"its best control at {_numbers(most)}.", own)  # fmt: skip
        key = "in brackets Dice lost by what it marks / by its best control"
        return self._said(f"{name}: cutting what it marks costs more Dice than every control "
                          f"{told} ({key}).", own)  # fmt: skip

    def by_organ(self, rule: str) -> Claim:
        """Where it holds of single organs, those that have the same stages named together."""
        own = [v for v in self.found if v.rule == rule and v.organ != ALL]
        at: dict[str, list[str]] = {}
        for organ in dict.fromkeys(v.organ for v in own):
            sites = [v.site for v in own if v.organ == organ and v.where == "anywhere"
                     and v.verdict == SUPPORTED and v.site not in self.redrawn]  # fmt: skip
            at.setdefault(listed(sites) if sites else "no stage", []).append(plain(organ))
        words = "; ".join(f"{listed(organs)} at {sites}" for sites, organs in at.items())
        left = [site for site in dict.fromkeys(v.site for v in own) if site in self.redrawn]
        words += f"; left out: {listed(left)}, the prediction redrawn" if left else ""
        return self._said(f"{title_of(rule)}, single organs, cells anywhere: {words}.", own)

    def _at(self, own: Sequence[Verdict], place: str) -> str:
        """Where the verdict is which."""
        here = [v for v in own if v.where == place and v.site not in self.redrawn]
        shown = [_numbers(v) for v in here if v.verdict == SUPPORTED]
        words = f"{PLACES.get(place, place)}at {listed(shown) if shown else 'no stage'}"
        again = [_numbers(v) for v in own if v.where == place and v.site in self.redrawn
                 and v.verdict == SUPPORTED]  # fmt: skip
        if again:
            words += f" (and at {listed(again)}, where the map is the prediction redrawn)"
        for verdict, said in UNSHOWN.items():
            there = [v for v in here if v.verdict == verdict]
            if there and verdict == NOT_SUPPORTED and not shown:
                words += f", closest at {_numbers(max(there, key=_ahead))}"
            elif there:
                words += f", {said} at {listed([v.site for v in there])}"
        return words

    def _said(self, words: str, own: Sequence[Verdict]) -> Claim:
        tested = sum(v.p == v.p for v in self.found)
        tests = (corrected(tested), "95 % t interval above every control")
        numbers = {f"{what} at {v.site}, {v.where}, {v.organ}": value for v in own
                   for what, value in (("Dice lost", v.by["map"]), ("best control", _best(v)),
                                       ("p", v.p)) if value == value}  # fmt: skip
        passed = any(v.verdict == SUPPORTED for v in own)
        return Claim("verdict", words, numbers, tests if passed else (), self.about)


def _ahead(one: Verdict) -> float:
    return one.by["map"] - _best(one)


def _best(one: Verdict) -> float:
    return max((lost for way, lost in one.by.items() if way != "map" and lost == lost),
               default=float("nan"))  # fmt: skip


def _numbers(one: Verdict) -> str:
    """E.g. ``dec3 (0.60 / 0.45)``."""
    return f"{one.site} ({number(one.by['map'])} / {number(_best(one))})"
