"""Which maps depend on the weights: what cascading randomisation says of every rule and stage.

At the head the map is the logits, in the region or everywhere: whatever it shows there, it shows by
construction, and no finding is made of it. Nor of maps that stay alike because they are 0 off the
region whatever the weights.
"""

from collections.abc import Mapping, Sequence

from segtrace.causal.sanity.cascade import JUDGED
from segtrace.causal.sanity.judging import FAILS, GIVEN, OPEN, PASSES, TOO_FEW, Sanity
from segtrace.measures.significance import ALPHA, LEAST_CASES
from segtrace.progress import counted
from segtrace.report.captions import plain, title_of
from segtrace.report.claims.claim import Claim, corrected, listed, number
from segtrace.report.scene import FINAL

COMPARED = {JUDGED[0]: "map", JUDGED[1]: "|map|"}
"""How the similarities are named."""
ECHO = 0.5
"""Of the similarity that is left this part at most survives another region where it is an echo."""


def sanity_claims(
    found: Sequence[Sanity], about: str, left_out: Mapping[str, str], tests: int
) -> list[Claim]:
    """What is found of every rule, or that nothing is.

    Args:
        found: the verdicts.
        about: the slices and cases.
        left_out: organ -> why nothing is claimed of it.
        tests: how many were made.
    """
    without = "; ".join(f"{plain(organ)}: {why}" for organ, why in left_out.items())
    said = [Claim("sanity", f"Left out of the verdicts: {without}.")] if left_out else []
    rules = dict.fromkeys(one.rule for one in found)
    return [*said, *(_of([one for one in found if one.rule == rule], about, tests)
                     for rule in rules)]  # fmt: skip


def _of(own: Sequence[Sanity], about: str, tests: int) -> Claim:
    name = title_of(own[0].rule)
    if all(one.verdict == TOO_FEW for one in own):
        cases = max(one.cases for one in own)
        return Claim(
            "sanity",
            f"{name}: {counted(cases, 'case')} with an organ that is found, no claim: that takes "
            f"{LEAST_CASES}; give data=…, of which a slice of every case is taken.",
            about=about,
        )
    judged = [one for one in own if one.site != FINAL]
    parts = [
        f"{words} at {listed([_numbers(one) for one in there])}"
        for verdict, words in (
            (FAILS, "fails, more like the trained map than the bound,"),
            (PASSES, "passes, less like it than the bound,"),
            (GIVEN, "by construction, no finding"),
            (OPEN, "not decided"),
        )
        if (there := [one for one in judged if one.verdict == verdict])
    ]
    words = f"{name}: {'; '.join(parts) or 'no stage before the head can be judged'}."
    numbers = {f"{what} at {one.site}": value for one in own
               for what, value in (("similarity", one.like), ("other cases", one.null),
                                   ("other region", one.elsewhere), ("p passes", one.p_passes),
                                   ("p fails", one.p_fails)) if value == value}  # fmt: skip
    holds = any(one.verdict in (PASSES, FAILS) for one in judged)
    return Claim(
        "sanity",
        f"{words}{_given(judged)}{_echo(judged)}{_head(own)}",
        numbers,
        (corrected(tests, where="below (a pass) or above (a fail) the bound"),) if holds else (),
        about,
    )


def _given(judged: Sequence[Sanity]) -> str:
    """Where |map| is left out."""
    if not (there := [one.site for one in judged if one.given]):
        return ""
    return (
        f" At {listed(there)} the map is 0 off the region whatever the weights, by construction: "
        "|map|, much the region's mask, is not judged."
    )


def _echo(judged: Sequence[Sanity]) -> str:
    """Where what is left is the region's doing."""
    there = [one for one in judged
             if one.p_region <= ALPHA and one.elsewhere <= ECHO * one.all]  # fmt: skip
    if not there:
        return ""
    at = listed([f"{one.site} ({COMPARED[one.compared]}) from {number(one.all)} to "
                 f"{number(one.elsewhere)}" for one in there])  # fmt: skip
    return (
        " What likeness is left is the region's doing (echo): with all weights new, and the score "
        f"over another organ's region, it falls at {at}."
    )


def _head(own: Sequence[Sanity]) -> str:
    """What the head shows by construction."""
    heads = [one for one in own if one.site == FINAL and one.all == one.all]
    return "".join(
        f" At the head ({number(one.all)}) the map is made of the logits and the region by "
        "construction: no finding."
        for one in heads
    )


def _numbers(one: Sanity) -> str:
    """E.g. ``dec5 (|map| 0.54 / 0.50)``."""
    return f"{one.site} ({COMPARED[one.compared]} {number(one.like)} / {number(one.null)})"
