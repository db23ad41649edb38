"""From which epoch on stages localise an organ, over runs that differ in their seed.

Epochs of one run are no replication, runs are: of fewer than five it is said what was seen. A stage
counts if its gain ends above the untrained network's, all rules, organs and stages being one family
of tests; if the interval over runs lies above :data:`~segtrace.measures.emergence.RISE`; and if
most runs can say when it rose. Of an organ that is not found nothing is
claimed, nor of stages that localise before anything is learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from segtrace.measures.emergence import RISE, Emergence
from segtrace.measures.over_cases import OverCases, over_cases
from segtrace.measures.significance import ALPHA, LEAST_CASES, family_p
from segtrace.report.captions import plain, title_of
from segtrace.report.claims.claim import FOUND, Claim, corrected, listed, number

Place = tuple[str, str, str]
"""(rule, organ, stage)"""


def when(runs: Sequence[Emergence]) -> str:
    """The range of the epochs at which one stage began to localise, as text.

    >>> when([Emergence("emerged", 4), Emergence("none"), Emergence("emerged", 9)])
    'epoch 4 to 9 in 2 of 3 runs'
    """
    emerged = sorted(run.epoch for run in runs if run.epoch is not None)
    if len(runs) == 1:
        return f"{runs[0].answer if runs[0].epoch is None else f'epoch {runs[0].epoch}'} (one run)"
    if not emerged:
        return f"in none of {len(runs)} runs"
    span = f"{emerged[0]}" if emerged[0] == emerged[-1] else f"{emerged[0]} to {emerged[-1]}"
    return f"epoch {span} in {len(emerged)} of {len(runs)} runs"


@dataclass(frozen=True, eq=False)
class Emergences:
    """The sentences of several runs.

    Attributes:
        found: place -> when the stage began to localise, in every run.
        rises: (places, runs) by how much its gain ends above the untrained network's.
        dice: organ -> Dice at the end, mean over runs.
        left_out: places that are no evidence: echoes, and the stage before the head.
    """

    found: Mapping[Place, Sequence[Emergence]]
    rises: Tensor
    dice: Mapping[str, float]
    left_out: frozenset[Place] = frozenset()

    @property
    def runs(self) -> int:
        """How many."""
        return self.rises.shape[-1]

    @cached_property
    def over(self) -> OverCases:
        """The rise of every place over runs, with its 95 % t interval."""
        return over_cases(self._usable, [str(run) for run in range(self.runs)])

    @cached_property
    def p(self) -> Tensor:
        """Of every place, corrected for all; NaN where nothing is tested."""
        return family_p(self._usable)

    @cached_property
    def passed(self) -> dict[Place, bool]:
        """Whether the rise of a place is a claim."""
        tests = ((self.p <= ALPHA) & self.over.above(RISE)).tolist()
        return {place: passed and 2 * self._emerged(place) > self.runs
                for place, passed in zip(self.found, tests, strict=True)}  # fmt: skip

    @cached_property
    def _usable(self) -> Tensor:
        left = [place in self.left_out or not self.dice.get(place[1], 0.0) >= FOUND
                for place in self.found]  # fmt: skip
        return self.rises.masked_fill(self.rises.new_tensor(left).bool()[:, None], float("nan"))

    def _emerged(self, place: Place) -> int:
        return sum(run.epoch is not None for run in self.found[place])

    def claims(self) -> list[Claim]:
        """One a rule and organ."""
        return [self.of(*pair) for pair in dict.fromkeys(place[:2] for place in self.found)]

    def of(self, rule: str, organ: str) -> Claim:
        """From which epoch on stages localise one organ."""
        own = [place for place in self.found if place[:2] == (rule, organ)]
        subject = f"{plain(organ).capitalize()}, {title_of(rule)}"
        if not self.dice.get(organ, 0.0) >= FOUND:
            return self._said(f"{subject}: nothing is claimed of maps of an organ that is not "
                              f"found (Dice below {FOUND}).")  # fmt: skip
        if self.runs < LEAST_CASES:
            seen = [place for place in own if self._emerged(place) and place not in self.left_out]
            runs = "one run" if self.runs == 1 else f"{self.runs} runs"
            words = "; ".join(f"{place[2]}: {when(self.found[place])}" for place in seen)
            return self._said(f"{subject}: seen in {runs}, no claim: {words or 'no stage rises'}.")
        shown = [place for place in own if self.passed[place]]
        if not shown:
            return self._said(f"{subject}: over {self.runs} runs no stage is shown to begin to "
                              "localise it.")  # fmt: skip
        words = listed([self._words(place) for place in shown])
        return self._said(f"{subject}: over {self.runs} runs begins to localise at {words}.", shown)

    def _words(self, place: Place) -> str:
        """E.g. ``dec3 (epoch 2 to 4 in 5 of 5 runs; gain up by 0.45, 0.30 to 0.60)``."""
        at = list(self.found).index(place)
        mean, low, high = (float(of[at]) for of in (self.over.mean, self.over.low, self.over.high))
        span = f", {number(low)} to {number(high)}" if low == low else ""
        return f"{place[2]} ({when(self.found[place])}; gain up by {number(mean)}{span})"

    def _said(self, words: str, shown: Sequence[Place] = ()) -> Claim:
        numbers = {f"{name} at {place[2]}": float(of[list(self.found).index(place)])
                   for place in shown
                   for name, of in (("rise", self.over.mean), ("low", self.over.low),
                                    ("high", self.over.high), ("p", self.p))}  # fmt: skip
        count = int(self.p.isfinite().sum())
        tests = (corrected(count, "runs"), f"95 % t interval above {RISE} gain")
        return Claim("emergence", words, numbers, tests if shown else (), f"{self.runs} runs")
