"""Does a map depend on the weights? Pass or fail of every rule and stage, at a stated error rate.

After the groups above a stage, and after all groups are drawn anew, a map is held against a bound:
the 95th percentile of its similarity to the trained network's maps of other cases. In the mean over
cases the similarity lies above that (the map **fails**), below it (it **passes**), or neither can
be told. Where it lies at the bound in truth, either verdict is given in at most 5 % of networks,
over all rules, stages, steps and both ways to compare (:mod:`segtrace.measures.significance`). To
pass takes all of a stage's tests, to fail one of them.

So a pass says that the map is less like its old self than the most alike of other cases' maps are,
and no more: one that is as alike as their *average* passes, and so it should. It does not say that
the two are unlike (read the bound), nor that the map is right.

Where a map is 0 off the region whatever the weights (a gradient that keeps its place, next to the
output), its |map| is as good as the region's own mask, which other cases do not share: it would
fail whatever was learned. So |map| is not judged there, and a signed map that is no less alike gets
no fail but the word **by construction**: of one sign, it is the same mask.
"""

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from segtrace.causal.sanity.cascade import JUDGED, OTHER, OWN, TRAINED
from segtrace.labelled import Dataset, names_along, tensor
from segtrace.measures.energy import nan_where
from segtrace.measures.over_cases import by_case
from segtrace.measures.significance import ALPHA, family_p

STEPS = ("above", "all")
"""What is drawn anew where a map is judged: the groups above its stage, and all."""
TESTS = tuple(product(JUDGED, STEPS))
PASSES, FAILS, OPEN, TOO_FEW = "passes", "fails", "not decided", "too few cases"
GIVEN = "by construction"
"""What stays alike since it is 0 off the region, whatever the weights."""
SUPPORT = 0.5
"""The least correlation of where a map is not 0, before and after, that is called the same."""


@dataclass(frozen=True)
class Sanity:
    """The verdict on one rule at one stage.

    Attributes:
        site: the stage.
        rule: the rule.
        verdict: ``passes``, ``fails``, ``by construction``, ``not decided`` or ``too few cases``.
        given: whether the map is 0 off the region whatever the weights, so that |map| is not
            judged.
        compared: the similarity that decides, which comes closest to a fail: ``spearman`` or
            ``spearman_absolute``. All that follow are of it …
        step: … and it does so after this step, ``above`` or ``all``.
        above: similarity to the trained map once all groups above the stage are drawn anew, mean
            over cases; NaN where there is none above.
        all: the same once all are.
        null: the bound, mean over cases.
        elsewhere: once all are, with the score over another organ's region.
        region: of the trained network's own maps of both regions: how far the map depends on the
            region, with no weight changed.
        p_passes: that a map whose similarity lies at the bound passes so, corrected for all.
        p_fails: that it fails so.
        p_region: that ``all`` is no larger than ``elsewhere`` and looks so: above, it is the region
            that keeps the map alike; corrected for all.
        cases: number of cases.
    """

    site: str
    rule: str
    verdict: str
    given: bool
    compared: str
    step: str
    above: float
    all: float
    null: float
    elsewhere: float
    region: float
    p_passes: float
    p_fails: float
    p_region: float
    cases: int

    @property
    def like(self) -> float:
        """The similarity that decides, to be held against ``null``."""
        return self.above if self.step == "above" else self.all

    def row(self) -> dict[str, Any]:
        """Plain values for a CSV."""
        return asdict(self)


def judge(found: Dataset) -> list[Sanity]:
    """A verdict a rule and stage of what :func:`segtrace.causal.sanity.cascade.cascade` found."""
    given = _given(found)
    beyond = torch.stack([_beyond(found, *test) for test in TESTS])  # (tests, S, R, C)
    absolute = torch.tensor([name == JUDGED[1] for name, _ in TESTS])
    beyond = nan_where(absolute[:, None, None, None] & given[..., None], beyond)
    closest = beyond.nanmean(-1).nan_to_num(nan=-torch.inf).argmax(0)  # (S, R)
    numbers = {name: _of_closest(closest, each) for name, each in _similarities(found).items()}
    numbers |= {"p_passes": _all_of(family_p(-beyond)), "p_fails": _one_of(family_p(beyond))}
    cases = beyond.isfinite().any(0).sum(-1)

    def one(s: int, r: int, site: str, rule: str) -> Sanity:
        own = {name: float(each[s, r]) for name, each in numbers.items()}
        by, step = TESTS[int(closest[s, r])]
        off = bool(given[s, r])
        word = _word(own["p_passes"], own["p_fails"], off)
        return Sanity(site, rule, word, off, by, step, **own, cases=int(cases[s, r]))

    return [
        one(s, r, site, rule)
        for r, rule in enumerate(names_along(found, "rule"))
        for s, site in enumerate(names_along(found, "site"))
    ]


def _similarities(found: Dataset) -> dict[str, Tensor]:
    """Means over cases of each of :data:`JUDGED`, and p of echo, (2, S, R)."""
    own, elsewhere = (torch.stack([_at(found, name, "all", region) for name in JUDGED])
                      for region in (OWN, OTHER))  # fmt: skip
    each = {
        "above": torch.stack([_at(found, name, "above") for name in JUDGED]),
        "all": own,
        "null": torch.stack([tensor(found[f"null_{name}"]) for name in JUDGED]),
        "elsewhere": elsewhere,
        "region": torch.stack([_at(found, name, TRAINED, OTHER) for name in JUDGED]),
    }
    means = {name: _by_case(found, values).nanmean(-1) for name, values in each.items()}
    return means | {"p_region": family_p(_by_case(found, own - elsewhere))}


def _of_closest(closest: Tensor, each: Tensor) -> Tensor:
    """(2, S, R) -> (S, R): of the similarity of the test that decides."""
    return each.gather(0, (closest // len(STEPS))[None])[0]


def _given(found: Dataset) -> Tensor:
    """(S, R) where a map is not 0 in the same cells with all weights new, by the region's doing."""
    own, elsewhere = (_by_case(found, _at(found, "support", "all", region)).nanmean(-1)
                      for region in (OWN, OTHER))  # fmt: skip
    return (own >= SUPPORT) & ~(elsewhere >= SUPPORT)


def _all_of(p: Tensor) -> Tensor:
    """The largest p over the tests of a map, of those that could be made."""
    return p.nan_to_num(nan=0.0).amax(0).masked_fill(p.isnan().all(0), torch.nan)


def _one_of(p: Tensor) -> Tensor:
    """The smallest, which stands for the others as p is corrected for all."""
    return p.nan_to_num(nan=1.0).amin(0).masked_fill(p.isnan().all(0), torch.nan)


def _word(p_passes: float, p_fails: float, given: bool) -> str:
    if p_passes != p_passes:
        return TOO_FEW
    if p_fails <= ALPHA:
        return GIVEN if given else FAILS
    return PASSES if p_passes <= ALPHA else OPEN


def _beyond(found: Dataset, name: str, step: str) -> Tensor:
    """(S, R, C) how far the similarity lies above its null, a number a case."""
    return _by_case(found, _at(found, name, step) - tensor(found[f"null_{name}"]))


def _by_case(found: Dataset, values: Tensor) -> Tensor:
    """(…, O, N) -> (…, C): the mean over organs of each case's mean over slices."""
    return by_case(values, names_along(found, "case")).nanmean(-2)


def _at(found: Dataset, name: str, step: str, region: str = OWN) -> Tensor:
    """(S, R, O, N) at a step: ``trained``, ``all``, or of each stage once all above are new."""
    of = tensor(found[name].sel(region=region).transpose("step", "site", "rule", "organ", "slice"))
    if step != "above":
        return of[0 if step == TRAINED else -1]
    steps, sites = names_along(found, "step"), names_along(found, "site")
    nothing = torch.full_like(of[0, 0], torch.nan)
    last = [steps.index(site) - 1 if site in steps else 0 for site in sites]
    return torch.stack([of[i, s] if i > 0 else nothing for s, i in enumerate(last)])
