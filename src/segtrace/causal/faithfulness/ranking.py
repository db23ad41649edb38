"""Does the ranking of sites by a map or a share predict the Dice lost when they are cut?

By completeness an integrated score ranks the loss of *score* well: that is no evidence. What is
tested is the loss of *Dice* under another kind of cut (``resample``), and always on cases that the
predictor has not seen: the predictor of a case is its mean over all other cases.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from segtrace.attribution.flow import A_FLOW, Flow
from segtrace.causal import guards
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
from segtrace.labelled import names_along, tensor
from segtrace.measures.over_cases import LEAST_CASES, by_case, over_cases

LEAST_SITES = 5
"""Below this no order of sites is unlikely enough: of 4, the best of 24 has p = 0.04."""
CHANCE = 0.05
ORDERS = 40_320
"""All orders of up to 8 sites are tried (8! = 40320); of more sites, so many by chance."""


@dataclass(frozen=True)
class Ranking:
    """How well one predictor ranks the sites by the Dice that an organ loses.

    Attributes:
        predictor: its name.
        organ: the organ; ``all`` for all organs' rankings together, of which ρ is the mean.
        verdict: as :class:`segtrace.causal.faithfulness.verdict.Verdict`; ``supported`` asks for
            p <= 0.05 divided by the number of predictors (Bonferroni), and a ρ above that of every
            control on the same cases, by an interval of the difference above 0.
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
    rows, organs = [], names_along(found.data, "organ")
    for organ in (*organs, *[ALL] * (len(organs) > 1)):
        table = _Table.of(found, organs if organ == ALL else [organ])
        marks = {name: table.agreement(name, values) for name, values in controls.items()}
        best = max((mark.rho for mark in marks.values() if mark.rho == mark.rho), default=torch.nan)
        for name, values in predictors.items():
            marks[name] = table.agreement(name, values)
        for name, mark in marks.items():
            against = best if name in predictors else torch.nan
            beaten, low, high = table.beyond(mark, [marks[c] for c in controls if c != name])
            rows.append(
                Ranking(
                    predictor=name,
                    organ=organ,
                    verdict=table.word(mark, beaten, len(predictors)),
                    best_control=float(against),
                    beyond_low=low,
                    beyond_high=high,
                    sites=len(table.lost),
                    cases=mark.cases,
                    **{key: getattr(mark, key) for key in ("rho", "low", "high", "tau", "p")},
                )
            )
    return rows


def by_row(correlation: Callable[[Any, Any], Any], one: Tensor, other: Tensor) -> Tensor:
    """(C,): a correlation of scipy's of every row of two (C, n); NaN where one is constant."""
    found = [
        float(correlation(a, b).statistic) if _varies(a) and _varies(b) else torch.nan
        for a, b in zip(one, other, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64)


def _varies(row: Tensor) -> bool:
    return bool((row != row[0]).any())


def permutation_p(one: Tensor, other: Tensor, seed: int = 0) -> float:
    """P of a mean ρ at least as large if the things of one ranking were exchanged at random.

    One-sided: a ranking that is upside down predicts nothing. In every row the same order of things
    is tried, the true one among them.

    Args:
        one: (C, n) predictors, a row a case.
        other: (C, n) what is predicted.
        seed: of the draws, where not all orders are tried.

    Returns:
        Share of the orders; NaN where ρ is undefined in every row.
    """
    from scipy.stats import permutation_test, rankdata, zscore

    rows = [n for n in range(len(one)) if _varies(one[n]) and _varies(other[n])]
    if not rows:
        return float("nan")
    a, b = (zscore(rankdata(values[rows], axis=-1), axis=-1) for values in (one, other))

    def mean_rho(order: Any, axis: int) -> Any:
        beside = b.reshape(len(b), *[1] * (order.ndim - 1), -1)
        return (a[:, order.astype(int)] * beside).mean(axis).mean(0)

    return float(
        permutation_test(
            (range(a.shape[1]),),
            mean_rho,
            permutation_type="pairings",
            vectorized=True,
            batch=5_040,
            n_resamples=ORDERS,
            alternative="greater",
            rng=seed,
        ).pvalue
    )


@dataclass(frozen=True)
class _Agreement:
    each: Tensor  # (C,) of every column; NaN where not defined
    rho: float
    low: float
    high: float
    tau: float
    p: float
    cases: int


@dataclass(frozen=True)
class _Table:
    """Some organs' losses at the sites that may be ranked. S' sites, C columns: organ and case."""

    kept: Tensor  # (S,) bool
    shape: tuple[int, ...]  # (S, O, N)
    cases: tuple[str, ...]  # of each slice
    columns: tuple[tuple[int, str], ...]  # (organ, case) along C, of those that hold the organ
    lost: Tensor  # (S', C)

    @classmethod
    def of(cls, found: Necessity, organs: Sequence[str]) -> "_Table":
        columns, lost, known = [], [], names_along(found.data, "organ")
        kept, cases = ~found.data["cut_vertex"], names_along(found.data, "case")
        dice_lost = found.dice_lost
        for organ in organs:
            means = by_case(tensor(dice_lost[kept].sel(organ=organ)), cases)
            names = dict.fromkeys(cases)
            held = ~means.isnan().any(0)
            columns += [(known.index(organ), n)
                        for n, has in zip(names, held.tolist(), strict=True) if has]  # fmt: skip
            lost.append(means[:, held])
        shape = tuple(dice_lost.shape)
        return cls(tensor(kept), shape, tuple(cases), tuple(columns), torch.cat(lost, 1))

    def agreement(self, name: str, values: Tensor) -> _Agreement:
        """A predictor against the losses, each case by the other cases' predictor."""
        from scipy.stats import kendalltau, spearmanr

        predictor = self._predictor(name, values)  # (S', C)
        defined = ~predictor.isnan().any(0)
        one, other = predictor[:, defined].T, self.lost[:, defined].T  # (C', S')
        cases = [case for (_, case), has in zip(self.columns, defined.tolist(), strict=True) if has]
        if not cases or len(self.lost) < 2:
            nan = float("nan")
            each = torch.full((len(self.columns),), nan).double()
            return _Agreement(each, nan, nan, nan, nan, nan, len(set(cases)))
        rhos, taus = by_row(spearmanr, one, other), by_row(kendalltau, one, other)
        rho, tau = (over_cases(each, cases, within=(-1.0, 1.0)) for each in (rhos, taus))
        each = torch.full((len(self.columns),), torch.nan).double()
        each[defined] = rhos
        return _Agreement(
            each=each,
            rho=float(rho.mean),
            low=float(rho.low),
            high=float(rho.high),
            tau=float(tau.mean),
            p=permutation_p(one, other),
            cases=len(set(cases)),
        )

    def _predictor(self, name: str, values: Tensor) -> Tensor:
        if values.ndim == 1 and len(values) == self.shape[0]:
            return values[self.kept, None].double().expand(-1, len(self.columns))
        if values.shape != self.shape:
            raise InputError(
                f"predictor {name!r} has shape {tuple(values.shape)}; the table asks for "
                f"(sites, organs, slices) = {self.shape}, or ({self.shape[0]},)"
            )
        found = []
        for organ, case in self.columns:
            others = torch.tensor([other != case for other in self.cases])
            found.append(values[self.kept, organ][:, others].double().nanmean(1))
        return torch.stack(found, 1) if found else self.lost

    def beyond(self, mark: _Agreement, controls: Sequence[_Agreement]) -> tuple[bool, float, float]:
        """Whether ρ is above every control's on the same columns, and by how much at least."""
        cases = [case for _, case in self.columns]
        found = [over_cases(mark.each - other.each, cases, within=(-2.0, 2.0))
                 for other in controls]  # fmt: skip
        known = [one for one in found if one.cases > 0]
        if not known:
            return not controls, torch.nan, torch.nan
        closest = min(known, key=lambda one: float(one.mean))
        beaten = len(known) == len(found) and all(bool(one.above()) for one in known)
        return beaten, float(closest.low), float(closest.high)

    def word(self, mark: _Agreement, beaten: bool, predictors: int) -> str:
        """The verdict, corrected for so many predictors."""
        if mark.cases < LEAST_CASES or len(self.lost) < LEAST_SITES:
            return TOO_FEW
        if float(self.lost.mean(1).max()) < LEAST_LOSS:
            return NOTHING
        return SUPPORTED if mark.p <= CHANCE / predictors and beaten else NOT_SUPPORTED
