"""Which maps name the path, skip or up, that is needed more, over networks.

Networks are the unit: the cases of one agree on where its organs come in, so that chance that
favours a map once does so in all. All maps are one family of tests.
"""

from collections.abc import Sequence

from segtrace.causal.faithfulness.paths import CONSTANT, CONTROLS
from segtrace.causal.faithfulness.tally import Tally
from segtrace.measures.over_cases import in_words
from segtrace.measures.significance import LEAST_CASES
from segtrace.progress import counted
from segtrace.report.captions import title_of
from segtrace.report.claims.claim import Claim, corrected, listed

NUMBERS = ("hits", "pairs", "rate", "low", "high", "p")


def path_claim(found: Sequence[Tally]) -> Claim:
    """The finding, or that there is none, with the numbers it rests on.

    Args:
        found: what :func:`segtrace.causal.faithfulness.tally.tally` gives.
    """
    maps = sorted((t for t in found if t.predictor not in CONTROLS), key=lambda t: -t.rate)
    best = max((t for t in found if t.predictor in CONTROLS),
               key=lambda t: (t.rate, t.predictor == CONSTANT), default=None)  # fmt: skip
    beside = "" if best is None else f"; {title_of(best.predictor)} alone {_counted(best)}"
    of_all = ", ".join(f"{title_of(one.predictor)} {_counted(one)}" for one in maps)
    said = (
        f"Which of skip and up into a decoder stage is needed more is named by {of_all}{beside}; "
        "by chance in one half."
    )
    words, tests = _verdict(maps, best)
    numbers = {f"{name} of {title_of(one.predictor)}": float(getattr(one, name))
               for one in found for name in NUMBERS}  # fmt: skip
    known = {name: value for name, value in numbers.items() if value == value}
    return Claim("path", f"{said} {words}", known, tests, whose(maps[0]))


def _verdict(maps: Sequence[Tally], best: Tally | None) -> tuple[str, tuple[str, ...]]:
    """What passed its test, and the test."""
    one = maps[0]
    if one.unit == "cases" or one.units < LEAST_CASES:
        return f"Counts of {whose(one)}, and no claim: that takes {LEAST_CASES} networks.", ()
    if best is not None and best.rate == 1:
        return (f"{title_of(best.predictor).capitalize()} is right in every pair, so that none can "
                "be told from an answer that needs no map."), ()  # fmt: skip
    beating = [title_of(own.predictor) for own in maps if own.beats]
    rest = [title_of(own.predictor) for own in maps if not own.beats]
    if not beating:
        return f"Over {one.units} networks none does so more often than every control.", ()
    words = f"Over {one.units} networks {listed(beating)} {'does' if len(beating) == 1 else 'do'}"
    words += " so more often than chance and every control"
    words += f", {listed(rest)} not." if rest else "."
    return words, (corrected(len(maps), "networks"), "against one half and every control")


def whose(one: Tally) -> str:
    """E.g. ``5 networks``, or ``one network, 12 cases``."""
    if one.unit == "cases":
        return f"one network, {counted(one.units, 'case')}"
    return counted(one.units, "network")


def _counted(one: Tally) -> str:
    where = f"in {one.hits:g} of {one.pairs} pairs"
    if one.low != one.low:
        return where
    unit = one.unit if one.units != 1 else one.unit.removesuffix("s")
    between = in_words(one.low, one.high, one.units)
    return f"{where} (mean of the rates of {one.units} {unit}: {one.rate:.2f}, {between})"
