"""What an erased organ costs another beyond what erasing as much elsewhere does."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from segtrace.explainers.wan2020.removal import WAYS, Removed
from segtrace.measures.over_cases import by_case, in_words, over_cases
from segtrace.measures.significance import ALPHA, LEAST_CASES, weakest_p
from segtrace.progress import counted
from segtrace.report.captions import plain
from segtrace.report.claims.claim import FOUND, Claim, corrected, listed, number

LEAST_LOST = 0.05
"""Dice beyond each control; what costs less is not told."""


def lost_apart(found: Removed, cases: Sequence[str]) -> Tensor:
    """(O erased, W, O, C) of the Dice of organs that lie apart from what is erased, else NaN."""
    beside = found.near[:, None]
    left = found.left[:, :, : len(found.organs)].masked_fill(beside, torch.nan)
    return lost_by_case(replace(found, whole=found.whole[: len(found.organs)], left=left), cases)


def lost_by_case(found: Removed, cases: Sequence[str]) -> Tensor:
    """(O erased, W, O + P, C) mean over the slices of a case that every way was tried on."""
    tried = found.left.isfinite().all(1, keepdim=True)
    return by_case(torch.where(tried, found.lost, torch.nan), cases)


def claims(found: Removed, cases: Sequence[str], without: Collection[str] = ()) -> list[Claim]:
    """Which organs cost another one Dice when they are erased.

    An organ's own erasure is no test: it is gone. Each other pair must cost more than the moved
    mask does, and more than the scattered pixels, in sign flips over cases, corrected for all
    pairs; and at least :data:`LEAST_LOST` more in the mean. Slices on which the two lie near each
    other do not count: there an erased organ leaves another edge, which costs as much in a network
    that smooths and looks at brightness alone.

    Args:
        found: what is left.
        cases: of each slice.
        without: organs of which nothing is claimed, since the network does not see them.
    """
    organs = found.organs
    pairs = [
        (j, i)
        for i, organ in enumerate(organs)
        if organ not in without and _dice(found, i, cases) >= FOUND
        for j in range(len(organs))
        if i != j
    ]
    if not pairs:
        return []
    each = lost_apart(found, cases)
    lost = torch.stack([each[j, :, i] for j, i in pairs])  # (pairs, W, C)
    beyond = lost[:, :1] - lost[:, 1:]
    p = weakest_p(beyond).tolist()
    tests = (f"{corrected(len(p))}, beside each of two controls",)
    return [
        _claim(organs[j], organs[i], lost[at], beyond[at], p[at], tests)
        for at, (j, i) in enumerate(pairs)
        if p[at] <= ALPHA and bool((beyond[at].nanmean(-1) >= LEAST_LOST).all())
    ]


def _dice(found: Removed, i: int, cases: Sequence[str]) -> float:
    return float(by_case(found.whole[i], cases).nanmean())


def _claim(
    erased: str, organ: str, lost: Tensor, beyond: Tensor, p: float, tests: tuple[str, ...]
) -> Claim:
    own = over_cases(lost[0], [str(c) for c in range(lost.shape[-1])], within=(-1.0, 1.0))
    low, high, known = float(own.low), float(own.high), int(own.cases)
    controls = lost[1:].nanmean(-1).tolist()
    words = (
        f"Erasing the {plain(erased)} costs the {plain(organ)} {number(float(own.mean))} Dice "
        f"({in_words(low, high, known)}; {counted(known, 'case')} apart from it); its mask "
        f"moved elsewhere in the body costs {number(controls[0])}, as many scattered "
        f"pixels {number(controls[1])}."
    )
    numbers = {
        "dice lost": float(own.mean),
        **dict(zip(WAYS[1:], controls, strict=True)),
        "least beyond": float(beyond.nanmean(-1).min()),
        "p": p,
    }
    return Claim("sir", words, numbers, tests)


def nothing_found(found: Removed, cases: Sequence[str]) -> str:
    """Why nothing is claimed, where nothing is."""
    count = len(dict.fromkeys(cases))
    if count < LEAST_CASES:
        few = f"{counted(count, 'case')}, and {LEAST_CASES} are needed"
        return f"No claim on which organ needs another: {few}."
    missed = [plain(o) for i, o in enumerate(found.organs) if not _dice(found, i, cases) >= FOUND]
    apart = lost_apart(found, cases).isfinite().sum(-1)[:, 0] >= LEAST_CASES
    touching = (found.near.any(-1) & ~apart).fill_diagonal_(False)
    edges = bool(touching.any()) * (
        f" Not asked of {counted(int(touching.sum()), 'pair')} of organs that touch, or nearly do, "
        "on too many slices: an erased one leaves an edge there."
    )
    unseen = f" Not asked of {listed(missed)}, whose Dice is below {FOUND}." if missed else ""
    return (
        "No organ is found to cost another more than both controls when it is erased (sign flips "
        f"over cases, {LEAST_LOST} Dice or more): no claim.{unseen}{edges}"
    )
