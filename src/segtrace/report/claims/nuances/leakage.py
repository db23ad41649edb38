"""Is it needed what a map shows on another organ? The leak's place cut out of its stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, stack

from segtrace.labelled import Dataset
from segtrace.measures.significance import ALPHA, LEAST_CASES, weakest_p
from segtrace.progress import counted
from segtrace.report.captions import plain, title_of
from segtrace.report.claims.claim import Claim, corrected, number, percent
from segtrace.report.claims.leaks import LEAST_DENSITY, LEAST_SHARE, LEAST_SLICES, detail

LOST = 0.01
"""Dice. What costs less when it is cut does not matter to the network."""
CONTROLS = ("shifted", "random")
"""As many cells elsewhere in the body: the same shape, and by chance."""


@dataclass(frozen=True, eq=False)
class Cut:
    """What the organ loses when the other organ's cells are cut out of the stage.

    Attributes:
        rule: whose map leaks.
        organ: the organ that is explained.
        onto: the organ on which evidence lies.
        stage: where.
        lost: way -> (C,) Dice lost by each case: ``map``, the other organ's cells, and controls.
        size: what :func:`segtrace.report.claims.leaks.numbers_of` gives of the leak.
        why_none: why it is no event; empty of an event.
    """

    rule: str
    organ: str
    onto: str
    stage: str
    lost: dict[str, Tensor]
    size: Mapping[str, float]
    why_none: Sequence[str] = ()

    @property
    def is_event(self) -> bool:
        """It passed its test."""
        return not self.why_none

    @property
    def cases(self) -> int:
        """Those that were cut: they have cells of the other organ outside the organ's rim."""
        return int(self.lost["map"].isfinite().sum())

    def mean(self, way: str) -> float:
        """Dice lost, mean over cases."""
        return float(self.lost[way].nanmean())


def why_none(one: Dataset) -> list[str]:
    """Which conditions of an event a leak does not meet, in words; none of an event.

    Args:
        one: its entry of :func:`segtrace.report.claims.leaks.held_against`.
    """
    density, share, centred, p, low, null = (
        float(one[name]) for name in ("density", "share", "centred", "p", "low", "null")
    )
    unmet = {
        f"less than {LEAST_DENSITY:.0f} times uniform": density < LEAST_DENSITY,
        f"less than {percent(LEAST_SHARE)} of the map": share < LEAST_SHARE,
        f"on fewer than {LEAST_SLICES} slices": int(one["slices"]) < LEAST_SLICES,
        f"{centred:.1f} times uniform on centred logits": centred < LEAST_DENSITY,
        f"a test takes {LEAST_CASES} cases": p != p,
        f"p {p:.2g} after correction": p > ALPHA,
        f"its interval reaches its largest null, {null:.1f}": low <= null,
    }
    return [words for words, so in unmet.items() if so]


def leak_cut_claims(cuts: Sequence[Cut]) -> list[Claim]:
    """Of every event: whether cutting where it lies costs more than cutting elsewhere, and 0.01.

    All events are one family of tests. Of what is no event, and of fewer than five cases, numbers
    alone.
    """
    events = [cut for cut in cuts if cut.is_event]
    p = dict(zip(map(id, events), weakest_p(stack([_beyond(cut) for cut in events])).tolist(),
                 strict=True)) if events else {}  # fmt: skip
    tests = (corrected(len(events)), "beyond every control")
    return [_said(cut, p.get(id(cut), float("nan")), tests) for cut in cuts]


def _beyond(cut: Cut) -> Tensor:
    """(bounds, C)."""
    own = cut.lost["map"]
    return stack([own - LOST, *(own - cut.lost[way] for way in CONTROLS)])


def _said(cut: Cut, p: float, tests: tuple[str, ...]) -> Claim:
    what = f"{title_of(cut.rule)}, {plain(cut.organ)} on {plain(cut.onto)} at {cut.stage}"
    if not cut.cases:
        return Claim("leak_cut", f"{what}: not cut, no case has {plain(cut.onto)} cells there "
                     f"outside the rim of the {plain(cut.organ)}.")  # fmt: skip
    beside = ", ".join(f"{way} {number(cut.mean(way))}" for way in CONTROLS)
    lost = (
        f"cutting the {plain(cut.onto)}'s cells there costs {number(cut.mean('map'))} Dice of the "
        f"{plain(cut.organ)} (as many cells: {beside}; {counted(cut.cases, 'case')})"
    )
    numbers = {way: cut.mean(way) for way in cut.lost} | ({"p": p} if p == p else {})
    if not cut.is_event:
        return Claim("leak_cut", f"{what}: {detail(cut.size)}; no event: "
                     f"{', '.join(cut.why_none)}. {lost[0].upper()}{lost[1:]}; no claim.",
                     numbers)  # fmt: skip
    if p != p:
        return Claim("leak_cut", f"{what}: {lost}; no claim, that takes {LEAST_CASES} cases.",
                     numbers)  # fmt: skip
    if p <= ALPHA:
        return Claim("leak_cut", f"{what} is needed: {lost}.", numbers, tests)
    return Claim("leak_cut", f"{what}: {lost}; not shown to be needed.", numbers)
