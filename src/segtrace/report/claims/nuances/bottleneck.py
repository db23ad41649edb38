"""Does the network need the stage at which a map is drawn? Of every organ, over cases.

Both answers are one family of tests: less than 0.05 Dice is lost when the stage is cut, or more.
"""

from collections.abc import Sequence

from torch import Tensor, stack

from segtrace.measures.significance import ALPHA, LEAST_CASES, family_p
from segtrace.progress import counted
from segtrace.report.captions import plain
from segtrace.report.claims.claim import Claim, corrected, listed, number

NOTHING = 0.05
"""Dice. A cut that costs less is told as costing next to nothing."""


def bottleneck_claims(
    lost: Tensor, drawn: Tensor, organs: Sequence[str], stage: str, rule: str, instead: str
) -> list[Claim]:
    """Of which organs a map is drawn where the cut costs next to nothing, and which need the stage.

    Args:
        lost: (O, C) Dice lost by cutting the stage; NaN where a case lacks the organ.
        drawn: (O, 2) in how many slices there is a map with evidence, of how many with the organ.
        organs: names along O.
        stage: the bottleneck.
        rule: what draws the maps, in words.
        instead: what stands in the stage's place when it is cut, in words.
    """
    p = family_p(stack([NOTHING - lost, lost - NOTHING]))  # (2, O)
    cases = int(lost.isfinite().any(0).sum())
    if cases < LEAST_CASES or not len(organs):
        return [Claim("bottleneck", f"Seen on {counted(cases, 'case')} with an organ that is found,"
                      f" no claim: that takes {LEAST_CASES}.")]  # fmt: skip
    tests = (corrected(int(p.isfinite().sum())),)
    idle, needed = ([o for o in range(len(organs)) if float(own[o]) <= ALPHA] for own in p)
    numbers = {organ: float(own.nanmean()) for organ, own in zip(organs, lost, strict=True)}

    def words(which: Sequence[int]) -> str:
        return listed([f"{plain(organs[o])} ({number(numbers[organs[o]])})" for o in which])

    cut, said = f"cutting {stage} ({instead} in its place)", []
    if idle:
        maps, slices = drawn[idle].sum(0).tolist()
        said.append(Claim(
            "bottleneck",
            f"A map where the cut costs next to nothing: {rule} draws one at {stage} in {maps} of "
            f"{slices} slices with these organs, and {cut} costs less than {NOTHING} Dice of "
            f"{words(idle)}.",
            numbers, tests,
        ))  # fmt: skip
    if needed:
        said.append(Claim("bottleneck", f"{stage} is needed: {cut} costs more than {NOTHING} "
                          f"Dice of {words(needed)}.", numbers, tests))  # fmt: skip
    if open_ := [o for o in range(len(organs)) if o not in (*idle, *needed)]:
        said.append(Claim("bottleneck", f"Whether {cut} costs {NOTHING} Dice is not decided "
                          f"for {words(open_)}."))  # fmt: skip
    return said
