"""Which maps rank the edges as cutting does, better than what needs no map.

Edges are the unit: their order is what chance would exchange for one ranking, the signs of what
each adds for being above a control; both are corrected for all predictors and organs
(:mod:`segtrace.causal.faithfulness.ranking`).
"""

from collections.abc import Sequence

from segtrace.causal.faithfulness.ranking import Ranking
from segtrace.causal.faithfulness.verdict import NOTHING, SUPPORTED, TOO_FEW
from segtrace.measures.over_cases import in_words
from segtrace.measures.significance import ALPHA
from segtrace.progress import counted
from segtrace.report.captions import title_of
from segtrace.report.claims.claim import Claim, corrected, listed

NUMBERS = ("rho", "low", "high", "p", "p_beyond")


def ranking_claim(found: Sequence[Ranking], organ: str, about: str) -> Claim:
    """The finding on one organ's rankings, or on those of all together.

    Args:
        found: of all organs.
        organ: of which the sentence speaks.
        about: the slices and cases.
    """
    own = [one for one in found if one.organ == organ]
    controls = [one for one in own if one.control]
    tried = sorted((one for one in own if not one.control), key=lambda one: -_known(one.rho))
    best = max(controls, key=lambda one: _known(one.rho), default=None)
    beside = "" if best is None else f"; best of the controls: {_words(best)}"
    numbers = {f"{name} of {one.predictor}": float(getattr(one, name))
               for one in own for name in NUMBERS}  # fmt: skip
    known = {name: value for name, value in numbers.items() if value == value}
    words, holds = _verdict(tried)
    tested = sum(one.p_beyond == one.p_beyond for one in found)
    tests = (corrected(tested, "edges"), f"orders of the edges, p of {ALPHA} at most for all of "
             "them", "95 % t interval above every control")  # fmt: skip
    return Claim("ranking", f"{words}{beside}.", known, tests if holds else (), about)


def _verdict(tried: Sequence[Ranking]) -> tuple[str, bool]:
    first, edges = tried[0], counted(tried[0].sites, "edge")
    if first.verdict == TOO_FEW:
        return (f"Seen on {counted(first.cases, 'case')} and {edges}, no claim: what cutting them "
                f"costs is ranked best by {_words(first)}"), False  # fmt: skip
    if first.verdict == NOTHING:
        return f"Cutting any of {edges} costs next to nothing: there is no order to find", False
    shown = [_words(one) for one in tried if one.verdict == SUPPORTED]
    if shown:
        return (
            f"The {edges} are ranked as cutting does, beyond every control, by {listed(shown)}",
            True,
        )
    return (f"No map or share ranks the {edges} as cutting does beyond every control; closest is "
            f"{_words(first)}"), False  # fmt: skip


def _words(one: Ranking) -> str:
    """E.g. ``map size, Grad-PAM (ρ 0.74, 0.61 to 0.88)``."""
    ends = in_words(one.low, one.high, one.cases)
    return f"{title_of(one.predictor)} (ρ {one.rho:.2f}, {ends})"


def _known(rho: float) -> float:
    return rho if rho == rho else -2.0
