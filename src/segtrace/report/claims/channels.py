"""Where the channels that carry an organ are its own: not chance's, not another organ's."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from segtrace.measures.significance import ALPHA, LEAST_CASES, weakest_p
from segtrace.progress import counted
from segtrace.report.captions import plain
from segtrace.report.claims.claim import Claim, corrected, listed


def channel_claims(beyond: Mapping[str, Tensor], organs: Sequence[str], cases: int) -> list[Claim]:
    """One of every stage at which it holds of some organ; or that there is none.

    Args:
        beyond: stage -> (O, 3, C), see :func:`segtrace.causal.channels.beyond`.
        organs: names along O.
        cases: how many there are.
    """
    if cases < 2 * LEAST_CASES:
        words = (
            f"Channels were cut on {counted(cases, 'case')}, and nothing is claimed: that takes "
            f"{2 * LEAST_CASES}, half of them to choose the channels."
        )
        return [Claim("channels", words)]
    every = torch.cat([*beyond.values()])  # the family: all stages and organs
    p = weakest_p(every).reshape(len(beyond), len(organs))
    found = []
    for stage, own in zip(beyond, p, strict=True):
        named = [organ for organ, one in zip(organs, own.tolist(), strict=True) if one <= ALPHA]
        if named:
            whose = listed(list(map(plain, named)))
            words = (
                f"At {stage} the channels that other cases name for {whose} "
                "cost it more Dice than as many of the other organs', and than as many at random."
            )
            numbers = {
                f"p of {organ}": one for organ, one in zip(organs, own.tolist(), strict=True)
            }
            tests = (
                corrected(len(every)),
                "against the other organs' orders, what organs lose alike, and random orders",
            )
            found.append(Claim("channels", words, numbers, tests, f"{cases} cases"))
    none = "No organ has channels of its own at any stage, beyond the controls: no claim."
    return found or [Claim("channels", none)]
