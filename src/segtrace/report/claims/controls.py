"""Which maps are beyond every control that is printed beside them, over cases."""

from collections.abc import Sequence

from torch import Tensor

from segtrace.measures.significance import ALPHA, LEAST_CASES
from segtrace.progress import counted
from segtrace.report.claims.claim import Claim, corrected, listed


def control_claim(
    kind: str, lead: str, names: Sequence[str], p: Tensor, cases: int, about: str
) -> Claim:
    """The maps that passed, or that none did, or that so few cases, or organs, say nothing.

    Args:
        kind: of the claim.
        lead: what is said to be done by those that follow.
        names: of the maps.
        p: of as many, see :func:`segtrace.measures.significance.beyond_controls_p`; NaN where one
            was not tested.
        cases: how many there are.
        about: the slices and cases.
    """
    few = f"{counted(cases, 'case')}, and a claim takes {LEAST_CASES}" * (cases < LEAST_CASES)
    if few := few or "none was tested" * bool(p.isnan().all()):
        return Claim(kind, f"{lead} no map that can be named: {few}.", about=about)
    passing = [name for name, one in zip(names, p.tolist(), strict=True) if one <= ALPHA]
    numbers = {f"p of {name}": one for name, one in zip(names, p.tolist(), strict=True)
               if one == one}  # fmt: skip
    words = f"{lead} {listed(passing) if passing else 'no map'}, over {cases} cases."
    tests = (corrected(len(numbers)), "against every control beside it") if passing else ()
    return Claim(kind, words, numbers, tests, about)
