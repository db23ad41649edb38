"""What an organ loses when stages and edges are cut, in sentences that name their intervals.

Cut vertices cost all there is by construction, and sites of one path are the same cut: the first
are left out, of the second the last is named. An organ cannot lose more Dice than it has, so organs
are held against each other by the share of their Dice that they lose. All organs and sites, and
their differences from the other organs, are one family of tests. The costliest site by the mean
need not be that of all such cases: that a cut costs *most* is said where, case by case, it costs
more than every other, a family of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan

from torch import Tensor, cat, full, stack, where

from segtrace.causal.necessity import Necessity
from segtrace.labelled import DataArray, names_along, tensor
from segtrace.measures.over_cases import LEAST_CASES as LEAST_OF_INTERVAL
from segtrace.measures.over_cases import OverCases, by_case, in_words, over_cases
from segtrace.measures.significance import ALPHA, LEAST_CASES, family_p, weakest_p
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

NEEDED = 0.05
"""Dice. A site whose cut costs more than this is needed; one that costs less, by its whole
interval, is not. And of its own Dice the share that an organ must lose beyond the others."""
LEAST_DICE = 0.1
"""What an organ of a lower Dice has cannot be lost."""
MOST = 2
"""Sites named, the costliest."""
LEAST_TOLD = 0.005
"""Dice. Less would be printed as 0.00."""


def free_sites(necessity: Necessity) -> dict[str, list[str]]:
    """Site -> the others that it is one path with; without cut vertices.

    Of a path the last site is named, :attr:`segtrace.causal.vertices.Wiring.path_ends`: to cut any
    of them cuts the same path.
    """
    data = necessity.data
    free = data.isel(site=~data["cut_vertex"].values)
    ends = dict(zip(names_along(free, "site"), names_along(free, "path_end"), strict=True))
    return {site: [other for other, end in ends.items() if end == site != other]
            for site in ends if ends[site] == site}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Routes:
    """The sentences of a network's cuts.

    Attributes:
        necessity: of all stages and edges.
        enters: edge -> the decoder stage that it enters; empty where that is not known.
        unseen: organs whose prediction fits other cases as well as its own.
    """

    necessity: Necessity
    enters: Mapping[str, str]
    unseen: Sequence[str] = ()

    @cached_property
    def paths(self) -> dict[str, list[str]]:
        """See :func:`free_sites`."""
        return free_sites(self.necessity)

    @cached_property
    def names(self) -> list[str]:
        """The sites that are told of."""
        return list(self.paths)

    @property
    def told_for(self) -> str:
        """Which sites are told of in the place of others; empty where none is."""
        groups = [f"{last} (for {listed(others)})" for last, others in self.paths.items() if others]
        if not groups:
            return ""
        return f"Of sites that are one path the last is named: {listed(groups)}."

    @cached_property
    def organs(self) -> list[str]:
        """Those that were judged."""
        return names_along(self.necessity.data, "organ")

    @cached_property
    def _lost(self) -> Tensor:
        """(S, O, C) Dice lost of the free sites."""
        lost = self.necessity.dice_lost.sel(site=self.names)
        return by_case(tensor(lost.transpose("site", "organ", "slice")), self._cases)

    @cached_property
    def _share(self) -> Tensor:
        """(S, O, C) the same as a share of an organ's Dice; NaN of one that is not found."""
        whole = by_case(tensor(self.necessity.data["whole_dice"]), self._cases)
        found = tensor(self.necessity.whole_dice) >= FOUND
        share = self._lost / where((whole > 0) & found[:, None], whole, nan)
        return share.clamp(-1, 1)

    @cached_property
    def _cases(self) -> list[str]:
        return names_along(self.necessity.data, "case")

    @cached_property
    def _more(self) -> Tensor:
        """(S, O, C) the share beyond the mean share of the other organs that are found."""
        known = self._share.isfinite()
        total, count = self._share.nansum(1, keepdim=True), known.sum(1, keepdim=True)
        others = (total - self._share) / (count - 1)
        return where(known & (count > 1), self._share - others, nan)

    @cached_property
    def _p(self) -> Tensor:
        """(2, S, O) of the loss and of the share beyond the other organs', corrected together."""
        return family_p(stack([self._lost, self._more]) - NEEDED)

    @cached_property
    def _beyond(self) -> Tensor:
        """(S, O, S - 1, C) what a cut costs beyond each of the others."""
        each = (self._lost[:, None] - self._lost).transpose(1, 2)  # site, organ, other, case
        return stack([cat([own[:, :s], own[:, s + 1 :]], 1) for s, own in enumerate(each)])

    @cached_property
    def _p_most(self) -> Tensor:
        """(S, O) that a cut costs more than every other, corrected for all; NaN of a single one."""
        if len(self.names) < 2:
            return full(self._lost.shape[:2], nan)
        return weakest_p(self._beyond.flatten(0, 1)).view(self._lost.shape[:2])

    def costliest(self, organ: str) -> str | None:
        """The site whose cut is shown to cost an organ most; ``None`` where that is not shown."""
        o, gone = self.organs.index(organ), self._gone(organ)
        if gone:  # nothing can cost more
            return gone[0] if len(gone) == 1 else None
        s = int(self._over(self._lost[:, o]).mean.nan_to_num(-1).argmax())
        shown = self._p_most[s, o] <= ALPHA and self._over(self._beyond[s, o]).above().all()
        return self.names[s] if shown else None

    def _gone(self, organ: str) -> list[str]:
        """The sites without which nothing of an organ is left."""
        lost = self.necessity.all_lost.sel(site=self.names, organ=organ)
        return names_along(lost[lost], "site")

    @property
    def p(self) -> DataArray:
        """P that a cut costs more than :data:`NEEDED`, corrected for all; axes site and organ.

        NaN at cut vertices, at sites that a later one is told for, and of fewer cases than a
        claim needs.
        """
        shown = self.necessity.lost["mean"].transpose("site", "organ")
        return shown.sel(site=self.names).copy(data=self._p[0]).reindex(site=shown["site"])

    def _over(self, of: Tensor) -> OverCases:
        return over_cases(of, list(dict.fromkeys(self._cases)), within=(-1.0, 1.0))

    def of(self, organ: str) -> Claim:
        """What an organ loses most by, if that is shown, and where others lose less of theirs."""
        o, dice = self.organs.index(organ), float(self.necessity.whole_dice.sel(organ=organ))
        name, subject = plain(organ), f"The {plain(organ)}"
        if not dice >= LEAST_DICE:
            return Claim("route", f"{subject} has next to no Dice ({dice:.2f}): cutting can take "
                         "nothing away and says nothing.")  # fmt: skip
        if organ in self.unseen:
            return Claim("route", f"Nothing is claimed of what the {name} needs: {USUAL_PLACE}.")
        if not self.names:
            return Claim("route", f"{subject}: every stage and edge is one that all paths run "
                         "through; cutting says nothing.")  # fmt: skip
        lost, more = self._over(self._lost[:, o]), self._over(self._more[:, o])
        order = lost.mean.nan_to_num(-1).argsort(descending=True, stable=True).tolist()
        cases = int(lost.cases.max())
        numbers = {f"Dice lost without {site}": float(lost.mean[s])
                   for s, site in enumerate(self.names)}  # fmt: skip
        if not float(lost.mean.nan_to_num(-1).max()) >= LEAST_TOLD:
            return Claim("route", f"No cut of a stage or edge costs the {name} Dice (below "
                         f"{LEAST_TOLD}); over {counted(cases, 'case')}.", numbers)  # fmt: skip
        if cases < LEAST_CASES:
            most = listed(self._most(organ, lost, order))
            return Claim("route", f"Seen on {counted(cases, 'case')}, no claim: the {name} loses "
                         f"most without {most}.", numbers)  # fmt: skip
        needed = [s for s in order if self._p[0, s, o] <= ALPHA and bool(lost.above(NEEDED)[s])]
        unlike = [s for s in more.mean.nan_to_num(-1).argsort(descending=True).tolist()
                  if self._p[1, s, o] <= ALPHA and bool(more.above(NEEDED)[s])]  # fmt: skip
        tests = [corrected(int(self._p.isfinite().sum())), f"interval above {NEEDED} Dice"]
        if not needed:
            top = [s for s in order if float(lost.mean[order[0]] - lost.mean[s]) <= LEAST_TOLD]
            most = listed(self._most(organ, lost, top))
            return Claim("route", f"No single stage or edge is shown to cost the {name} more "
                         f"than {NEEDED} Dice: the largest mean loss, without {most}, does not "
                         f"pass the test; over {counted(cases, 'case')}.", numbers)  # fmt: skip
        first, *further = self._most(organ, lost, needed)
        all_of_it = {self.names[s] for s in needed} & {*self._gone(organ)}
        if all_of_it or self.costliest(organ):
            also = f", also without {listed(further)}" if further else ""
            words = f"{subject} loses most without {first}{also}"
            tests += [self._most_test] * (not all_of_it)
        else:
            words = (f"{subject} loses Dice without {listed([first, *further])}, and no cut is "
                     "shown to cost it most")  # fmt: skip
        if unlike:
            beyond = listed([self._with(more, s, "by ") for s in unlike[:MOST]])
            words += (
                f"; a larger share of its Dice than other found organs of theirs without {beyond}"
            )
            tests.append(f"that of a larger share {NEEDED} above the others'")
        words += "".join(self._redundant(lost, needed))
        return Claim("route", f"{words}; over {counted(cases, 'case')}.", numbers, tuple(tests))

    @property
    def _most_test(self) -> str:
        count = int(self._p_most.isfinite().sum())
        return corrected(count, where="what costs most: above every other cut")

    def _redundant(self, lost: OverCases, needed: Sequence[int]) -> Iterator[str]:
        """Edges that cost nothing each, into a stage that is needed: measured, not inferred."""
        sites = self.names
        told = {one: last for last, others in self.paths.items() for one in (last, *others)}
        for stage in dict.fromkeys(self.enters.values()):
            edges = [edge for edge in self.enters if self.enters[edge] == stage]
            made = told.get(stage)
            if len(edges) < 2 or made is None or sites.index(made) not in needed:
                continue
            if not all(edge in sites for edge in edges):
                continue
            if all(bool(lost.high[sites.index(edge)] < NEEDED) for edge in edges):
                yield (f"; of {listed(edges)} none is needed alone, {made} that comes of them is "
                       f"({number(float(lost.mean[sites.index(made)]))})")  # fmt: skip

    def claims(self) -> list[Claim]:
        """What all organs have in common, then each; last those that have nothing to lose."""
        each = {organ: self.of(organ) for organ in self.organs}
        dice = {organ: self.necessity.whole_dice.sel(organ=organ).item() for organ in each}
        lost = {organ: value for organ, value in dice.items() if not value >= LEAST_DICE}
        found = [self.network(), *(one for organ, one in each.items() if organ not in lost)]
        told = [one for one in found if one is not None]
        if len(lost) < 2:
            return [*told, *(each[organ] for organ in lost)]
        names = listed([f"{plain(organ)} (Dice {value:.2f})" for organ, value in lost.items()])
        return [*told, Claim("route", "Next to no Dice, so that cutting can take nothing away and "
                             f"says nothing: {names}.")]  # fmt: skip

    def network(self) -> Claim | None:
        """What all organs that are found have in common, if they do."""
        found = [organ for organ in self.organs
                 if float(self.necessity.whole_dice.sel(organ=organ)) >= FOUND
                 and organ not in self.unseen]  # fmt: skip
        claims = [self.of(organ) for organ in found]
        tops = {self.costliest(organ) for organ in found}
        if len(claims) < 2 or len(tops) != 1 or not all(claim.holds for claim in claims):
            return None
        site = tops.pop()
        if site is None:
            return None
        words = f"{all_of(len(claims), 'organs')} that are found lose most without {site}."
        return Claim("route", words[0].upper() + words[1:], {}, claims[0].tests)

    def _most(self, organ: str, lost: OverCases, order: Sequence[int]) -> list[str]:
        """The costliest sites; those whose cut leaves nothing are not ranked, and told together."""
        gone = self._gone(organ)
        all_of_it = [self.names[s] for s in order if self.names[s] in gone]
        told = [f"{listed(all_of_it)} (all of it)"] if all_of_it else []
        left = [self._with(lost, s) for s in order if self.names[s] not in gone]
        return told + left[: MOST - len(told)]

    def _with(self, over: OverCases, s: int, by: str = "") -> str:
        """E.g. ``skip_1 (0.40, 0.12 to 0.68)``."""
        cases, name = int(over.cases[s]), self.names[s]
        if cases < LEAST_OF_INTERVAL:
            return f"{name} ({by}{number(float(over.mean[s]))})"
        ends = in_words(float(over.low[s]), float(over.high[s]), cases)
        return f"{name} ({by}{number(float(over.mean[s]))}, {ends})"
