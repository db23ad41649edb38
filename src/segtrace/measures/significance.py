"""Many tests over the same cases at once, and how often nothing passes one of them.

A test asks whether a number that every case has is above 0 in the mean over cases. Under the null
its sign is as likely one way as the other, whole cases together; so the signs of whole cases are
flipped, all ways or 4096, and a test passes whose statistic is reached by the *largest* of all
tests in at most 5 % of the flips (Westfall and Young's single step, family-wise as Holm's, but
exact at 5 cases, and it asks no more where tests are alike). Statistic: Σx / √Σx², which rises with
Student's t. A test that lies below its null is put on its edge before it is flipped (recentred, as
Romano and Wolf do): what clearly costs nothing must not hide what does.

What is tested is what most cases do. "As likely one way as the other" is more than a mean of 0:
where rare cases lose what the others gain, few cases hold none of them and all agree, which no test
of few cases can tell from an effect. So :data:`RATE` gives two kinds of rate: of nulls whose cases
lie as far below as above or some far above, and of nulls with a tail below.
"""

import torch
from torch import Tensor

ALPHA = 0.05
"""The chance that a family of tests of nothing passes one or more."""
LEAST_CASES = 5
"""Below this no flips suffice, and nothing is claimed."""
FLIPS = 4096

RATE = (
    "Where there is nothing to find, at most 5 % of pages or texts make a claim, below 5 cases "
    "none (simulated: cases as far below their null as above it, or some far above). A claim is "
    "of most cases, not of the mean: where that is 0, a test passes in up to 22 % if a few cases "
    "lie far below (log-normal), and in 60, 44 and 28 % at 5, 8 and 12 cases if one in ten loses "
    "what nine gain."
)
"""What must stand beside claims."""


def family_p(beyond: Tensor, least: int = LEAST_CASES) -> Tensor:
    """One-sided p of every test, corrected for all of them: (…, C) -> (…) float64.

    Args:
        beyond: what each case has beyond the bound of the null; NaN where it has none.
        least: tests with fewer cases are none: NaN, and not counted.
    """
    flat = beyond.double().reshape(-1, beyond.shape[-1])
    known = flat.isfinite()
    flat = flat.masked_fill(~known, torch.nan)
    tests = known.sum(-1) >= least
    found = flat.new_full((len(flat),), torch.nan)
    if tests.any():
        values = flat[tests]
        below = values.nanmean(-1, keepdim=True).clamp(max=0.0)
        flipped = (_signs(flat.shape[-1]) @ _unit(values - below).T).amax(-1)
        own = _unit(values).sum(-1)
        found[tests] = (flipped[:, None] >= own - 1e-9).double().mean(0)
    return found.view(beyond.shape[:-1])


def _unit(values: Tensor) -> Tensor:
    """(tests, C) of length 1; 0 where a test has no value, and where rounding alone is left."""
    known = values.nan_to_num(nan=0.0)
    size = known.square().sum(-1, keepdim=True).sqrt()
    return torch.where(size > 1e-12, known / size, 0.0)


def weakest_p(beyond: Tensor, least: int = LEAST_CASES) -> Tensor:
    """P of entries that must be above several bounds each: (E, bounds, C) -> (E,) float64.

    The largest of an entry's p, each corrected for all entries (:func:`family_p`); NaN where a
    bound is not known of enough cases.
    """
    each = torch.stack([family_p(beyond[:, b], least) for b in range(beyond.shape[1])], 1)
    return torch.where(each.isnan().any(1), torch.nan, each.amax(1))


def beyond_controls_p(beyond: Tensor) -> Tensor:
    """P of maps that must be above every control: (maps, controls, C) -> (maps,) float64.

    As :func:`weakest_p`, but a control that no map can be held against on enough cases is none.

    Args:
        beyond: what a map has beyond a control, a number a case; NaN where one of them has none.
    """
    known = (beyond.isfinite().sum(2) >= LEAST_CASES).any(0)
    if not known.any():
        return torch.full((len(beyond),), torch.nan, dtype=torch.float64)
    return weakest_p(beyond[:, known])


def _signs(cases: int) -> Tensor:
    """(flips, C) of 1 and -1, the first row without a flip."""
    if 2**cases <= FLIPS:
        bits = torch.arange(2**cases)[:, None] >> torch.arange(cases)
    else:
        generator = torch.Generator().manual_seed(cases)
        bits = torch.randint(2, (FLIPS, cases), generator=generator)
        bits[0] = 0
    return 1.0 - 2.0 * (bits & 1).double()
