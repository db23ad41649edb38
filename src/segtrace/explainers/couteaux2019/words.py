"""What is said of the features of an organ: sensitive, or no claim."""

from collections.abc import Sequence

from segtrace.explainers.couteaux2019.controls import SHUFFLED
from segtrace.explainers.couteaux2019.verdicts import NO_CLAIM, SENSITIVE, Verdict
from segtrace.measures.over_cases import in_words
from segtrace.measures.significance import LEAST_CASES
from segtrace.progress import counted
from segtrace.report.captions import plain, titled

NO_CONTROLS = "There was no time for the controls: no claim."
CALLED = {"mean": ("brighter", "darker"), "sd": ("more varied", "more even")}
NAMED = {"mean": "mean value", "sd": "spread of values", "shift": "place"}


def of_organ(organ: str, verdicts: Sequence[Verdict], steps: int) -> list[str]:
    """Sentences; each of a finding names its numbers and what they exceed."""
    mine = [one for one in verdicts if one.organ == organ]
    cases = max(one.cases for one in mine)
    if cases < LEAST_CASES:
        return [f"{titled(organ)}: {cases} {'case' if cases == 1 else 'cases'}, no claim."]
    found = [_sensitive(one) for one in mine if one.word == SENSITIVE]
    left = [_changed(one) for one in mine if one.word == NO_CLAIM]
    if left:
        why = f" ({mine[0].why_not})" if mine[0].why_not else ""
        found.append(
            f"{titled(organ)}, no claim{why}. Changes of its region over "
            f"{counted(steps, 'step')}, mean over cases: {'; '.join(left)}."
        )
    return found


def _sensitive(one: Verdict) -> str:
    way = CALLED[one.feature][one.step < 0]
    beside = f"the untrained network's {one.step_untrained:+.3g}, "
    untrained = "" if one.step_untrained != one.step_untrained else beside
    return (
        f"{titled(one.organ)}, sensitive: a step along its gradient makes its region of step 0 "
        f"{way}, by {one.step:+.3g} {one.unit} over {one.cases} cases; steps along {untrained}"
        f"those of {SHUFFLED} networks of shuffled weights by {one.step_shuffled:.3g} at most. The "
        f"whole ascent changes its region by {one.change:+.3g} "
        f"({in_words(one.low, one.high, one.cases)}) {one.unit}."
    )


def _changed(one: Verdict) -> str:
    inside = f"{one.change:+.2g} ({in_words(one.low, one.high, one.cases)})"
    return f"{NAMED.get(one.feature, plain(one.feature))} {inside} {one.unit}".rstrip()


def reading() -> list[str]:
    """What must be known to read it."""
    return [
        "That the score rises, and the organ's predicted region grows, is by construction.",
        "Sensitive is said of brightness alone, which must change more than with as many steps "
        f"along directions by chance, the untrained network's gradient and those of {SHUFFLED} "
        "networks of shuffled weights; of networks that hold nothing one in 20 is called so at "
        "most, all organs together (measured).",
        "A feature that changes little is not called robust: it changes as little in networks that "
        f"hold nothing. Below {LEAST_CASES} cases, and of an organ that the network does not find, "
        "no claim is made.",
    ]
