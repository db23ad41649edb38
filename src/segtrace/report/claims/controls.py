"""Which maps are beyond every control that is printed beside them, over cases."""

from collections.abc import Sequence

import torch
from torch import Tensor

from segtrace.measures.significance import ALPHA, LEAST_CASES, weakest_p
from segtrace.progress import counted
from segtrace.report.claims.claim import Claim, corrected, listed


def p_beyond(beyond: Tensor) -> Tensor:
    """P of maps that must be above every control: (maps, controls, C) -> (maps,) float64.

    The largest of a map's p, each corrected for all maps; NaN of a map of which a control, or which
    itself, is known on too few cases. A control that is known of no map is none.

    Args:
        beyond: what the map has beyond the control, a number a case; NaN where it has none.
    """
    known = beyond.isfinite().any(2).any(0)
    if not known.any():
        return torch.full((len(beyond),), torch.nan, dtype=torch.float64)
    return weakest_p(beyond[:, known])


def control_claim(
    kind: str, lead: str, names: Sequence[str], p: Tensor, cases: int, about: str
) -> Claim:
    """The maps that passed, or that none did, or that so few cases say nothing.

    Args:
        kind: of the claim.
        lead: what is said to be done by those that follow.
        names: of the maps.
        p: of as many (:func:`p_beyond`), NaN where one was not tested.
        cases: how many there are.
        about: the slices and cases.
    """
    if cases < LEAST_CASES:
        few = f"{counted(cases, 'case')} and no claim: that takes {LEAST_CASES}"
        return Claim(kind, f"{lead} …: {few}.", about=about)
    passing = [name for name, one in zip(names, p.tolist(), strict=True) if one <= ALPHA]
    numbers = {f"p of {name}": one for name, one in zip(names, p.tolist(), strict=True)
               if one == one}  # fmt: skip
    words = f"{lead} {listed(passing) if passing else 'no map'}, over {cases} cases."
    tests = (corrected(len(numbers)), "against every control beside it") if passing else ()
    return Claim(kind, words, numbers, tests, about)
