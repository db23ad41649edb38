"""Which stage a headline speaks of: what the page opens with, and holds the shown slice against."""

import numpy as np

from segtrace.labelled import names_along
from segtrace.measures.significance import LEAST_CASES
from segtrace.report.claims.headlines import Headlines

CLAIMED = 2
"""What :func:`named_stages` says of a stage that a claim names."""


def named_stages(found: Headlines) -> list[list[tuple[int, int]]]:
    """By rule and organ: the stage that the sentence names, and what it says of it.

    Where it names none, the strongest of those that a headline may name: not the head, not the
    stage before it, no echo. They redraw the prediction, or the region that was asked for.

    Returns:
        Positions among the stages, -1 where no stage may be named; with 2 where the sentence
        claims that maps lie on the organ from there on, 1 where they do there but not from there
        on, or were seen to but that is no claim, -1 where it says that they do not, 0 where it says
        nothing of a stage.
    """
    rules, organs, sites = (names_along(found.gain, axis) for axis in ("rule", "organ", "site"))
    beyond, passed, cases = (found.tested[name].values for name in ("beyond", "passed", "cases"))
    usable = found.gain.where(~found.echo & ~found.gain["site"].isin(found.left_out))
    strength = usable.mean("case").values

    def named(r: int, o: int) -> tuple[int, int]:
        furthest = found.furthest(rules[r], organs[o])
        if furthest is None:
            return _strongest(strength[:, r, o]), 0
        best = sites.index(furthest)
        if (first := found.first(rules[r], organs[o])) is not None:
            return sites.index(first), CLAIMED
        if cases[best, r, o] < LEAST_CASES:
            return best, int(beyond[best, r, o] > 0)
        return best, 1 if passed[best, r, o] else -1

    return [[named(r, o) for o in range(len(organs))] for r in range(len(rules))]


def _strongest(values: np.ndarray) -> int:
    return int(np.nanargmax(values)) if np.isfinite(values).any() else -1
