"""Does the ranking of sites by a map or a share predict the Dice lost when they are cut?

By completeness an integrated score ranks the loss of *score* well: that is no evidence. What is
tested is the loss of *Dice* under another kind of cut (``resample``), and always on cases that the
predictor has not seen: the predictor of a case is its mean over all other cases.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from segtrace.attribution.flow import A_FLOW, Flow
from segtrace.causal import guards
from segtrace.causal.faithfulness.agreement import Agreement, Table
from segtrace.causal.faithfulness.verdict import (
    ALL,
    LEAST_LOSS,
    NOT_SUPPORTED,
    NOTHING,
    SUPPORTED,
    TOO_FEW,
)
from segtrace.causal.necessity import Necessity
from segtrace.errors import InputError
from segtrace.labelled import names_along
from segtrace.measures.significance import ALPHA, LEAST_CASES, weakest_p

LEAST_SITES = 5
"""Below this no order of sites is unlikely enough: of 4, the best of 24 has p = 0.04."""


@dataclass(frozen=True)
class Ranking:
    """How well one predictor ranks the sites by the Dice that an organ loses.

    Attributes:
        predictor: its name.
        organ: the organ; ``all`` for all organs' rankings together, of which ρ is the mean.
        verdict: as :class:`segtrace.causal.faithfulness.verdict.Verdict`; ``supported`` asks for
            ``p`` of 0.05 at most, times the number of predictors and organs (Bonferroni): orders of
            the sites are what chance would exchange; and for a ρ above that of every control,
            ``p_beyond`` 0.05 at most and each interval over cases of the difference above 0.
        rho: Spearman's, mean over cases.
        low: lower end of ρ's 95 % t interval over cases; NaN where there is none, see
            :mod:`segtrace.measures.over_cases`.
        high: upper end.
        tau: Kendall's τ-b, mean over cases.
        p: by permutation of the sites, one-sided.
        best_control: largest ρ among the controls; NaN without.
        beyond_low: lower end of the 95 % t interval over cases of ρ minus that of the control that
            it is least above; NaN without.
        beyond_high: its upper end.
        p_beyond: that nothing is above its weakest control so, by sign flips of what each site adds
            to ρ, corrected for all predictors and organs (:mod:`segtrace.measures.significance`);
            NaN for a control, and without one. Sites are the unit: the cases of a network agree on
            them, so that luck with one site favours a predictor in all cases.
        control: it is one of those that a predictor must beat.
        sites: number of sites that were ranked.
        cases: number of cases.
    """

    predictor: str
    organ: str
    verdict: str
    rho: float
    low: float
    high: float
    tau: float
    p: float
    best_control: float
    beyond_low: float
    beyond_high: float
    p_beyond: float
    control: bool
    sites: int
    cases: int

    def row(self) -> dict[str, Any]:
        """Plain values for a CSV."""
        return asdict(self)


GRADIENT_NORM = "gradient norm"
CELLS = "number of cells"


@guards.held(flow=A_FLOW)
def sizes_of(flow: Flow) -> dict[str, Tensor]:
    """How much gradient, and how much of a map, there is at every site: predictors and a control.

    Args:
        flow: of the sites that are cut, over the organs' true regions; a trace takes them as they
            are: ``segtrace.trace(net, sites, images, targets.organs(channels, "gt", truth))``.

    Returns:
        ``gradient norm``, Σ|∂S/∂A|; ``number of cells``, which orders sums by itself; and the names
        of the rules, Σ|map| over the cells, a sum as the gradient norm is one -> (S, O, N) float64,
        NaN where the organ is absent from the slice, 0 where S does not depend on the site.
    """
    absent = (flow.region_px == 0).cpu()
    cells = torch.tensor([maps[0, 0, 0].numel() for maps in flow.maps.values()]).double()
    found = {GRADIENT_NORM: flow.gradient_l1,
             CELLS: cells[:, None, None].expand_as(flow.gradient_l1)}  # fmt: skip
    for r, rule in enumerate(flow.rules):
        sizes = [m[r].double().abs().flatten(2).sum(2) for m in flow.maps.values()]
        found[rule] = torch.stack(sizes)
    return {name: v.double().cpu().masked_fill(absent, torch.nan) for name, v in found.items()}


@guards.held(found=guards.instance(Necessity, "the result of necessity"))
def rankings(
    found: Necessity,
    predictors: Mapping[str, Tensor],
    controls: Mapping[str, Tensor],
) -> list[Ranking]:
    """Rank the sites of a necessity table by predictors and controls.

    Sites that are cut vertices are left out. A predictor of places (a share, a map's mass) says
    where evidence passes, not how much Dice hangs on it; expect ``not supported here``.

    Args:
        found: made with ``cut="resample"``; its sites are ranked.
        predictors: name -> (S, O, N), or (S,) where it is the same for all; NaN where undefined.
        controls: the same for what a predictor must beat: depth, the predictor of the untrained
            network, the gradient norm of :func:`sizes_of`.

    Raises:
        InputError: another kind of cut; a predictor of another shape.
    """
    if (cut := found.data.attrs["cut"]) != "resample":
        raise InputError(
            f"these sites were cut by {cut!r}; rank losses of cut='resample', which no "
            "predictor is built on"
        )
    organs = names_along(found.data, "organ")
    tables = {organ: Table.of(found, [organ]) for organ in organs}
    if len(organs) > 1:
        tables[ALL] = Table.of(found, organs)
    named = {**controls, **predictors}
    marks = {organ: {name: table.agreement(name, values) for name, values in named.items()}
             for organ, table in tables.items()}  # fmt: skip
    asked = [(organ, name) for organ in tables for name in predictors]
    p = dict.fromkeys(asked, torch.nan)
    if asked and controls:
        ahead = [tables[organ].ahead(marks[organ], name, controls) for organ, name in asked]
        p = dict(zip(asked, weakest_p(torch.stack(ahead)).tolist(), strict=True))
    return [
        _ranking(tables[organ], marks[organ], controls, p, (organ, name))
        for organ in tables
        for name in named
    ]


def _ranking(
    table: Table,
    marks: Mapping[str, Agreement],
    controls: Collection[str],
    p: Mapping[tuple[str, str], float],
    asked: tuple[str, str],
) -> Ranking:
    organ, name = asked
    mark, others = marks[name], [marks[control] for control in controls if control != name]
    over = [table.over(mark.each - other.each, within=(-2.0, 2.0)) for other in others]
    known = [one for one in over if one.cases > 0]
    closest = min(known, key=lambda one: float(one.mean), default=None)
    beaten = len(known) == len(others) and all(bool(one.above()) for one in known)
    best = max((other.rho for other in others if other.rho == other.rho), default=torch.nan)
    ahead = beaten and (not others or p.get(asked, torch.nan) <= ALPHA)
    passed = ahead and mark.p * len(p) <= ALPHA
    return Ranking(
        predictor=name,
        organ=organ,
        verdict=_word(table, mark, passed),
        best_control=best if asked in p else torch.nan,
        beyond_low=torch.nan if closest is None else float(closest.low),
        beyond_high=torch.nan if closest is None else float(closest.high),
        p_beyond=p.get(asked, torch.nan),
        control=name in controls,
        sites=len(table.lost),
        **{key: getattr(mark, key) for key in ("rho", "low", "high", "tau", "p", "cases")},
    )


def _word(table: Table, mark: Agreement, passed: bool) -> str:
    if mark.cases < LEAST_CASES or len(table.lost) < LEAST_SITES:
        return TOO_FEW
    if float(table.lost.mean(1).max()) < LEAST_LOSS:
        return NOTHING
    return SUPPORTED if passed else NOT_SUPPORTED
