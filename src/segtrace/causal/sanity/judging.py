"""Does a map depend on the weights? Pass or fail of every rule and stage, at a stated error rate.

After the groups above a stage, and after all groups are drawn anew, a map is held against its null:
the 95th percentile of its similarity to the trained network's maps of other cases. Over cases the
similarity lies above that (the map **fails**), below it (it **passes**), or neither can be told.
Either error, a pass of a map that is as much like its old self as maps of other cases are, and a
fail of one that is not more so, happens in at most 5 % of networks, over all rules, stages, steps
and both ways to compare (:mod:`segtrace.measures.significance`). To pass takes all of a stage's
tests, to fail one of them.

A pass says that the map changes with the weights, not that it is right; a fail that it would look
the same whatever was learned.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from segtrace.causal.sanity.cascade import JUDGED, OTHER, OWN, TRAINED
from segtrace.labelled import Dataset, names_along, tensor
from segtrace.measures.over_cases import by_case
from segtrace.measures.significance import ALPHA, family_p

STEPS = ("above", "all")
"""What is drawn anew where a map is judged: the groups above its stage, and all."""
TESTS = tuple(product(JUDGED, STEPS))
PASSES, FAILS, OPEN, TOO_FEW = "passes", "fails", "not decided", "too few cases"


@dataclass(frozen=True)
class Sanity:
    """The verdict on one rule at one stage.

    Attributes:
        site: the stage.
        rule: the rule.
        verdict: ``passes``, ``fails``, ``not decided`` or ``too few cases``.
        compared: the similarity that comes closest to a fail, ``spearman`` or
            ``spearman_absolute`` …
        step: … after which step, ``above`` or ``all``.
        like: that similarity, mean over cases.
        bound: its null.
        above: |ρ| to the trained map once all groups above the stage are drawn anew, mean over
            cases; NaN where there is none above.
        all: the same once all are.
        null: its bound, mean over cases.
        elsewhere: |ρ| once all are, with the score over another organ's region.
        region: |ρ| of the trained network's own maps of both regions: how far the map depends on
            the region, with no weight changed.
        p_passes: that a map no less like its old self than its null passes so, corrected for all.
        p_fails: that one no more like it fails so.
        p_region: that ``all`` is no larger than ``elsewhere`` and looks so: above, it is the region
            that keeps the map alike; corrected for all.
        cases: number of cases.
    """

    site: str
    rule: str
    verdict: str
    compared: str
    step: str
    like: float
    bound: float
    above: float
    all: float
    null: float
    elsewhere: float
    region: float
    p_passes: float
    p_fails: float
    p_region: float
    cases: int

    def row(self) -> dict[str, Any]:
        """Plain values for a CSV."""
        return asdict(self)


def judge(found: Dataset) -> list[Sanity]:
    """A verdict a rule and stage of what :func:`segtrace.causal.sanity.cascade.cascade` found."""
    beyond = torch.stack([_beyond(found, *test) for test in TESTS])
    p = {"p_passes": _all_of(family_p(-beyond)), "p_fails": _one_of(family_p(beyond))}
    own, elsewhere = (_at(found, JUDGED[0], "all", region) for region in (OWN, OTHER))
    p["p_region"] = family_p(_by_case(found, own - elsewhere))
    means = {name: _by_case(found, values).nanmean(-1) for name, values in {
        "above": _at(found, JUDGED[0], "above"),
        "all": own,
        "null": tensor(found[f"null_{JUDGED[0]}"]),
        "elsewhere": elsewhere,
        "region": _at(found, JUDGED[0], TRAINED, OTHER),
    }.items()}  # fmt: skip
    closest = beyond.nanmean(-1).nan_to_num(nan=-torch.inf).argmax(0)
    cases = beyond.isfinite().any(0).sum(-1)
    return [
        Sanity(
            site=site,
            rule=rule,
            verdict=_word(float(p["p_passes"][s, r]), float(p["p_fails"][s, r])),
            **_closest(found, TESTS[int(closest[s, r])], s, r),
            **_numbers(means | p, s, r),
            cases=int(cases[s, r]),
        )
        for r, rule in enumerate(names_along(found, "rule"))
        for s, site in enumerate(names_along(found, "site"))
    ]


def _numbers(values: Mapping[str, Tensor], s: int, r: int) -> dict[str, Any]:
    return {name: float(own[s, r]) for name, own in values.items()}


def _closest(found: Dataset, test: tuple[str, str], s: int, r: int) -> dict[str, Any]:
    name, step = test
    like, bound = _at(found, name, step), tensor(found[f"null_{name}"])
    both = {"like": _by_case(found, like), "bound": _by_case(found, bound)}
    means = {what: float(values[s, r].nanmean()) for what, values in both.items()}
    return {"compared": name, "step": step, **means}


def _all_of(p: Tensor) -> Tensor:
    """The largest p over the tests of a map, of those that could be made."""
    return p.nan_to_num(nan=0.0).amax(0).masked_fill(p.isnan().all(0), torch.nan)


def _one_of(p: Tensor) -> Tensor:
    """The smallest, which stands for the others as p is corrected for all."""
    return p.nan_to_num(nan=1.0).amin(0).masked_fill(p.isnan().all(0), torch.nan)


def _word(p_passes: float, p_fails: float) -> str:
    if p_passes != p_passes:
        return TOO_FEW
    if p_fails <= ALPHA:
        return FAILS
    return PASSES if p_passes <= ALPHA else OPEN


def _beyond(found: Dataset, name: str, step: str) -> Tensor:
    """(S, R, C) how far the similarity lies above its null, a number a case."""
    return _by_case(found, _at(found, name, step) - tensor(found[f"null_{name}"]))


def _by_case(found: Dataset, values: Tensor) -> Tensor:
    """(S, R, O, N) -> (S, R, C): the mean over organs of each case's mean over slices."""
    each = by_case(values, names_along(found, "case"))
    return each.nanmean(2)


def _at(found: Dataset, name: str, step: str, region: str = OWN) -> Tensor:
    """(S, R, O, N) at a step: ``trained``, ``all``, or of each stage once all above are new."""
    of = tensor(found[name].sel(region=region).transpose("step", "site", "rule", "organ", "slice"))
    if step != "above":
        return of[0 if step == TRAINED else -1]
    steps, sites = names_along(found, "step"), names_along(found, "site")
    nothing = torch.full_like(of[0, 0], torch.nan)
    last = [steps.index(site) - 1 if site in steps else 0 for site in sites]
    return torch.stack([of[i, s] if i > 0 else nothing for s, i in enumerate(last)])
