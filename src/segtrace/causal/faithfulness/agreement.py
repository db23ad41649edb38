"""How one ranking of sites agrees with the Dice that they cost, case by case."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segtrace.causal.necessity import Necessity
from segtrace.errors import InputError
from segtrace.labelled import names_along, tensor
from segtrace.measures.energy import nan_where
from segtrace.measures.over_cases import OverCases, by_case, over_cases

ORDERS = 40_320
"""All orders of up to 8 sites are tried (8! = 40320); of more sites, so many by chance."""


def by_row(correlation: Callable[[Any, Any], Any], one: Tensor, other: Tensor) -> Tensor:
    """A rank correlation of every row.

    Args:
        correlation: of scipy, ``spearmanr`` or ``kendalltau``.
        one: (C, n), a row a case, an entry a site.
        other: likewise.

    Returns:
        (C,) float64 in [-1, 1]; NaN where a row of one of them is constant.
    """
    found = [
        float(correlation(a, b).statistic) if _varies(a) and _varies(b) else torch.nan
        for a, b in zip(one, other, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64)


def _varies(row: Tensor) -> bool:
    return bool((row != row[0]).any())


def parts_of_rho(one: Tensor, other: Tensor) -> Tensor:
    """What each entry adds to Spearman's ρ of its row: the product of both standardised ranks.

    Args:
        one: (C, n), a row a case, an entry a site.
        other: likewise.

    Returns:
        (C, n) float64, of which every row's mean is ρ; NaN where a row of one of them is constant.
    """
    from scipy.stats import rankdata

    ranks = [torch.from_numpy(rankdata(values, axis=-1)) for values in (one, other)]
    apart = [own - own.mean(-1, keepdim=True) for own in ranks]
    spread = [own.square().mean(-1, keepdim=True).sqrt() for own in apart]
    return (apart[0] * apart[1]) / nan_where(spread[0] * spread[1] == 0, spread[0] * spread[1])


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
class Agreement:
    """Of one predictor with the losses, mean over cases; see ``Ranking`` for the numbers."""

    parts: Tensor  # (S', C) whose means over sites are the columns' ρ; NaN where not defined
    rho: float
    low: float
    high: float
    tau: float
    p: float
    cases: int

    @property
    def each(self) -> Tensor:
        """(C,) ρ of every column."""
        return self.parts.mean(0)


@dataclass(frozen=True)
class Table:
    """Some organs' losses at the sites that may be ranked. S' sites, C columns: organ and case."""

    kept: Tensor  # (S,) bool
    shape: tuple[int, ...]  # (S, O, N)
    cases: tuple[str, ...]  # of each slice
    columns: tuple[tuple[int, str], ...]  # (organ, case) along C, of those that hold the organ
    lost: Tensor  # (S', C)

    @classmethod
    def of(cls, found: Necessity, organs: Sequence[str]) -> "Table":
        """Of the organs together, without cut vertices."""
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

    def agreement(self, name: str, values: Tensor) -> Agreement:
        """A predictor against the losses, each case by the other cases' predictor."""
        from scipy.stats import kendalltau

        predictor = self._predictor(name, values)  # (S', C)
        defined = ~predictor.isnan().any(0)
        one, other = predictor[:, defined].T, self.lost[:, defined].T  # (C', S')
        cases = [case for (_, case), has in zip(self.columns, defined.tolist(), strict=True) if has]
        parts = torch.full((len(self.lost), len(self.columns)), torch.nan).double()
        if not cases or len(self.lost) < 2:
            nan = float("nan")
            return Agreement(parts, nan, nan, nan, nan, nan, len(set(cases)))
        taus = by_row(kendalltau, one, other)
        parts[:, defined] = parts_of_rho(one, other).T
        rho, tau = (over_cases(own, cases, within=(-1.0, 1.0))
                    for own in (parts[:, defined].mean(0), taus))  # fmt: skip
        return Agreement(
            parts=parts,
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

    def over(
        self, each: Tensor, within: tuple[float, float] = (-torch.inf, torch.inf)
    ) -> OverCases:
        """Of numbers of every column, over cases; those of one case are one number first."""
        return over_cases(each, [case for _, case in self.columns], within=within)

    def ahead(self, marks: Mapping[str, Agreement], name: str, controls: Iterable[str]) -> Tensor:
        """(controls, S') what each site adds to a predictor's ρ beyond every control's."""
        cases = [case for _, case in self.columns]
        more = [marks[name].parts - marks[control].parts for control in controls]
        return by_case(torch.stack(more), cases).nanmean(-1)
