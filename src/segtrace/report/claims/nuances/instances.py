"""Are the maps of two parts of one organ the same? By stage and rule, against Seg-Grad-CAM."""

from collections.abc import Sequence

from torch import Tensor, stack

from segtrace.measures.significance import ALPHA, LEAST_CASES, family_p
from segtrace.progress import counted
from segtrace.report.captions import title_of
from segtrace.report.claims.claim import Claim, corrected, listed, number

SAME = 0.1
"""1 - cos below which two maps are called the same."""
AVERAGED = "seg_grad_cam"
"""The rule whose weights have no place."""


def instances_claims(
    apart: Tensor, sites: Sequence[str], rules: Sequence[str], drawn: Sequence[str]
) -> list[Claim]:
    """What holds over cases: where the averaged gradient draws one map, and who tells parts apart.

    Args:
        apart: (S, R, C) 1 - cos of the maps of two parts of an organ, mean over organs of a case.
        sites: names along S.
        rules: names along R, among them ``seg_grad_cam``.
        drawn: stages that are left out, since what holds there holds by construction.
    """
    left = [s for s, site in enumerate(sites) if site not in drawn]
    one = rules.index(AVERAGED)
    others = [r for r in range(len(rules)) if r != one]
    tests = [SAME - apart[left, one], *(apart[left, r] - apart[left, one] for r in others)]
    p = family_p(stack(tests))  # (1 + others, S)
    cases = int(apart.isfinite().any(1).any(0).sum())
    mean, name = apart.nanmean(-1), title_of(AVERAGED)
    if cases < LEAST_CASES or not left:
        return [Claim("instances", f"Seen on {counted(cases, 'case')}, no claim: that takes "
                      f"{LEAST_CASES}.")]  # fmt: skip
    count, said = int(p.isfinite().sum()), []
    at = [(sites[s], number(float(mean[s, one]))) for s, own in zip(left, p[0], strict=True)
          if own <= ALPHA]  # fmt: skip
    words = f"draws nearly the same map for both parts of an organ (1 - cos below {SAME})"
    said.append(_claim(f"{name} {words}", at, count))
    for r, own in zip(others, p[1:], strict=True):
        at = [(sites[s], f"{number(float(mean[s, r]))} / {number(float(mean[s, one]))}")
              for s, value in zip(left, own, strict=True) if value <= ALPHA]  # fmt: skip
        said.append(_claim(f"{title_of(rules[r])} tells both parts of an organ apart more than "
                           f"{name} (1 - cos of either)", at, count))  # fmt: skip
    return said


def learned_claim(
    apart: Tensor,
    untrained: Tensor,
    sites: Sequence[str],
    rules: Sequence[str],
    drawn: Sequence[str],
) -> Claim:
    """Where training changed how far two parts are told apart: either way, over cases.

    Args:
        apart: as in :func:`instances_claims`.
        untrained: the same of the untrained network.
        sites: names along S.
        rules: names along R.
        drawn: stages that are left out.
    """
    left = [s for s, site in enumerate(sites) if site not in drawn]
    more = apart[left] - untrained[left]
    p = family_p(stack([more, -more]))  # (2, S, R)
    means = [one.nanmean(-1) for one in (apart, untrained)]
    if not (count := int(p.isfinite().sum())):
        return Claim("instances", "Trained against untrained was not tested: that takes "
                     f"{LEAST_CASES} cases and a stage inside.")  # fmt: skip
    said = []
    for words, own in zip(("more", "less"), p, strict=True):
        there = [
            f"{title_of(rules[r])} at {sites[s]} "
            f"({' / '.join(number(float(one[s, r])) for one in means)})"
            for r in range(len(rules)) for s, value in zip(left, own[:, r], strict=True)
            if value <= ALPHA
        ]  # fmt: skip
        said += [f"{words} by {listed(there)}"] if there else []
    if not said:
        return Claim("instances", "No rule and stage is found at which the trained network's maps "
                     "tell two parts apart more, or less, than the untrained one's.")  # fmt: skip
    return Claim("instances", "Than by the untrained network's maps (1 - cos, trained / untrained)"
                 f", two parts are told apart {'; '.join(said)}.",
                 tests=(corrected(count),))  # fmt: skip


def _claim(words: str, at: Sequence[tuple[str, str]], count: int) -> Claim:
    if not at:
        return Claim("instances", f"No stage is found at which {words}.")
    where = listed([f"{site} ({values})" for site, values in at])
    return Claim("instances", f"{words} at {where}.", tests=(corrected(count),))
