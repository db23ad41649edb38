"""What an organ loses when stages and edges are cut, in sentences that name their intervals.

Cut vertices cost all there is by construction, and sites that carry the same tensor cost the same:
the first are left out, the second named once. All organs and sites, and their differences from the
other organs, are one family of tests.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from segtrace.causal.necessity import Necessity
from segtrace.labelled import DataArray, names_along, tensor
from segtrace.measures.over_cases import LEAST_CASES as LEAST_OF_INTERVAL
from segtrace.measures.over_cases import OverCases, by_case, in_words, over_cases
from segtrace.measures.significance import ALPHA, LEAST_CASES, family_p
from segtrace.progress import counted
from segtrace.report.captions import plain
from segtrace.report.claims.claim import USUAL_PLACE, Claim, corrected, listed, number

NEEDED = 0.05
"""Dice. A site whose cut costs more than this is needed; one that costs less, by its whole
interval, is not."""
LEAST_DICE = 0.1
"""What is found no better than this cannot be lost."""
MOST = 2
"""Sites named, the costliest."""
LEAST_TOLD = 0.005
"""Dice. Less would be printed as 0.00."""
ROUNDING = (1e-5, 1e-6)
"""Relative and absolute: the same tensor cut at two places is computed on in another order."""


def free_sites(necessity: Necessity) -> dict[str, str]:
    """Site -> its name with those of its twins, ``dec3 = up_4``; without cut vertices.

    Twins: every organ keeps the same Dice and score, but for rounding, in every slice whichever
    of them is cut.
    """
    data, found, seen = necessity.data, {}, list[tuple[Tensor, list[str]]]()
    vertices = data["cut_vertex"].values.tolist()
    for site, vertex in zip(names_along(data, "site"), vertices, strict=True):
        here = data.sel(site=site)
        own = torch.stack([tensor(here["dice"]), tensor(here["scores"])])
        if vertex:
            continue
        same = (names for other, names in seen
                if torch.allclose(own, other, *ROUNDING, equal_nan=True))  # fmt: skip
        names = next(same, None)
        if names is None:
            seen.append((own, [site]))
        else:
            names.append(site)
    for _, names in seen:
        found[names[0]] = " = ".join(names)
    return found


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
    def names(self) -> dict[str, str]:
        """See :func:`free_sites`."""
        return free_sites(self.necessity)

    @cached_property
    def organs(self) -> list[str]:
        """Those that were judged."""
        return names_along(self.necessity.data, "organ")

    @cached_property
    def _lost(self) -> Tensor:
        """(S, O, C) Dice lost of the free sites."""
        lost = self.necessity.dice_lost.sel(site=list(self.names))
        return by_case(tensor(lost.transpose("site", "organ", "slice")), self._cases)

    @cached_property
    def _cases(self) -> list[str]:
        return names_along(self.necessity.data, "case")

    @cached_property
    def _more(self) -> Tensor:
        """(S, O, C) the same beyond the mean of the other organs that the case has."""
        known = self._lost.isfinite()
        total, count = self._lost.nansum(1, keepdim=True), known.sum(1, keepdim=True)
        others = (total - self._lost) / (count - 1)
        return torch.where(known & (count > 1), self._lost - others, torch.nan)

    @cached_property
    def _p(self) -> Tensor:
        """(2, S, O) of the loss and of what it is beyond the other organs', corrected together."""
        return family_p(torch.stack([self._lost, self._more]) - NEEDED)

    @property
    def p(self) -> DataArray:
        """P that a cut costs more than :data:`NEEDED`, corrected for all; axes site and organ.

        NaN at cut vertices, at twins of a site before, and of fewer cases than a claim needs.
        """
        shown = self.necessity.lost["mean"].transpose("site", "organ")
        return shown.sel(site=list(self.names)).copy(data=self._p[0]).reindex(site=shown["site"])

    def _over(self, of: Tensor) -> OverCases:
        return over_cases(of, list(dict.fromkeys(self._cases)), within=(-1.0, 1.0))

    def of(self, organ: str) -> Claim:
        """What an organ loses most by, and where that differs from the other organs."""
        o, dice = self.organs.index(organ), float(self.necessity.whole_dice.sel(organ=organ))
        name, subject = plain(organ), f"The {plain(organ)}"
        if not dice >= LEAST_DICE:
            return Claim("route", f"{subject} is not found (Dice {dice:.2f}): cutting can take "
                         "nothing away and says nothing.")  # fmt: skip
        if organ in self.unseen:
            return Claim("route", f"Nothing is claimed of what the {name} needs: {USUAL_PLACE}.")
        if not self.names:
            return Claim("route", f"{subject}: every stage and edge is one that all paths run "
                         "through; cutting says nothing.")  # fmt: skip
        lost, more = self._over(self._lost[:, o]), self._over(self._more[:, o])
        order = lost.mean.nan_to_num(-1).argsort(descending=True, stable=True).tolist()
        cases, sites = int(lost.cases.max()), list(self.names)
        numbers = {f"Dice lost without {site}": float(lost.mean[s])
                   for s, site in enumerate(sites)}  # fmt: skip
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
        tests = (corrected(int(self._p.isfinite().sum())), f"interval above {NEEDED} Dice")
        if not needed:
            top = [s for s in order if float(lost.mean[order[0]] - lost.mean[s]) <= LEAST_TOLD]
            most = listed(self._most(organ, lost, top))
            return Claim("route", f"No single stage or edge is shown to cost the {name} more "
                         f"than {NEEDED} Dice: the largest mean loss, without {most}, does not "
                         f"pass the test; over {counted(cases, 'case')}.", numbers)  # fmt: skip
        words = f"{subject} loses most without "
        words += listed(self._most(organ, lost, needed))
        if unlike:
            beyond = listed([self._with(more, s) for s in unlike[:MOST]])
            words += f"; more than the other organs' mean without {beyond}"
        words += "".join(self._redundant(lost, needed))
        return Claim("route", f"{words}; over {counted(cases, 'case')}.", numbers, tests)

    def _redundant(self, lost: OverCases, needed: Sequence[int]) -> Iterator[str]:
        """Edges that cost nothing each, into a stage that is needed: measured, not inferred."""
        sites = list(self.names)
        for stage in dict.fromkeys(self.enters.values()):
            edges = [edge for edge in self.enters if self.enters[edge] == stage]
            if len(edges) < 2 or stage not in sites or sites.index(stage) not in needed:
                continue
            if not all(edge in sites for edge in edges):
                continue
            if all(bool(lost.high[sites.index(edge)] < NEEDED) for edge in edges):
                yield (f"; of {listed(edges)} none is needed alone, {stage} that they make is "
                       f"({number(float(lost.mean[sites.index(stage)]))})")  # fmt: skip

    def network(self) -> Claim | None:
        """What all organs that are found have in common, if they do."""
        found = [organ for organ in self.organs
                 if float(self.necessity.whole_dice.sel(organ=organ)) >= LEAST_DICE
                 and organ not in self.unseen]  # fmt: skip
        claims = [self.of(organ) for organ in found]
        tops = {max(claim.numbers, key=claim.numbers.__getitem__)
                for claim in claims if claim.holds}  # fmt: skip
        if len(claims) < 2 or len(tops) != 1 or not all(claim.holds for claim in claims):
            return None
        site = tops.pop().removeprefix("Dice lost without ")
        words = f"All {len(claims)} organs that are found lose most without {self.names[site]}."
        return Claim("route", words, {}, claims[0].tests)

    def _most(self, organ: str, lost: OverCases, order: Sequence[int]) -> list[str]:
        """The costliest sites; those whose cut leaves nothing are not ranked, and told together."""
        gone = self.necessity.all_lost.sel(site=list(self.names), organ=organ).values
        all_of_it = [list(self.names.values())[s] for s in order if gone[s]]
        told = [f"{listed(all_of_it)} (all of it)"] if all_of_it else []
        return told + [self._with(lost, s) for s in order if not gone[s]][: MOST - len(told)]

    def _with(self, over: OverCases, s: int) -> str:
        """E.g. ``skip_1 (0.40, 0.12 to 0.68)``."""
        cases, name = int(over.cases[s]), list(self.names.values())[s]
        if cases < LEAST_OF_INTERVAL:
            return f"{name} ({number(float(over.mean[s]))})"
        ends = in_words(float(over.low[s]), float(over.high[s]), cases)
        return f"{name} ({number(float(over.mean[s]))}, {ends})"
