"""How often maps name the path that is needed more, over networks or cases, against chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.causal.faithfulness.paths import CONTROLS, LEAST_DIFFERENCE
from segtrace.errors import InputError
from segtrace.labelled import DataArray, Dataset
from segtrace.measures.over_cases import OverCases, over_cases
from segtrace.measures.significance import ALPHA, weakest_p


@dataclass(frozen=True)
class Tally:
    """How often one predictor named the costlier path.

    Attributes:
        predictor: its name.
        hits: pairs (organ, decoder stage, network) in which it did; half of those that it left
            open.
        pairs: of so many, whose cuts cost apart.
        rate: mean over units of each unit's own rate.
        low: lower end of the 95 % t interval over units; NaN where there is none.
        high: upper end.
        margin: rate less that of the best control, mean over units; NaN for a control.
        margin_low: lower end of its interval.
        margin_high: upper end.
        p: of the weakest of its tests against one half and against every control, by sign flips of
            whole networks, corrected for all predictors (:mod:`segtrace.measures.significance`);
            NaN for a control, and below five networks.
        units: how many.
        unit: ``networks``, or ``cases`` of one network.
    """

    predictor: str
    hits: float
    pairs: int
    rate: float
    low: float
    high: float
    margin: float
    margin_low: float
    margin_high: float
    p: float
    units: int
    unit: str

    @property
    def beats(self) -> bool:
        """Whether it names the costlier path more often than chance and than every control."""
        return self.p <= ALPHA


def tally(networks: Sequence[Dataset]) -> list[Tally]:
    """How often each predictor named the costlier path, over networks or over one network's cases.

    Pairs of one network share stages and organs, so a network is one number. With five of them,
    each predictor is tested against one half and against every control, counts as its weakest test,
    and is corrected for the number of predictors: of maps that know nothing, all predictors
    together are said to know something in at most 5 % of experiments. Of one network alone the
    interval is over its cases and nothing is tested: its cases agree on where its organs come in,
    so chance that favours a map once does so in all.

    Args:
        networks: what :func:`choices` gives for each; of the same predictors.

    Raises:
        InputError: no two cuts cost apart.
    """
    import xarray as xr

    names = networks[0]["predictor"].values.tolist()
    alone = len(networks) == 1
    each = _rates(networks[0]["named"], "case") if alone else _of_networks(networks)  # (P, units)
    each = each[:, ~each.isnan().any(0)]
    if not each.shape[1]:
        raise InputError(
            f"in no pair the two cuts cost more than {LEAST_DIFFERENCE} Dice apart, so no map can "
            "name the costlier; give networks that have learned more"
        )
    units = [str(n) for n in range(each.shape[1])]
    best = _best_control(names, each)
    ps = {} if alone else _tested(names, each)
    overall = over_cases(each, units, within=(0.0, 1.0))
    ahead = over_cases(each - best, units, within=(-1.0, 1.0))
    named = xr.concat([one["overall"] for one in networks], "network")
    hits = named.sum(("network", "organ", "stage")).values
    count = named.notnull().sum(("network", "organ", "stage")).values
    return [
        Tally(
            predictor=name,
            hits=float(hits[n]),
            pairs=int(count[n]),
            rate=float(overall.mean[n]),
            low=float(overall.low[n]),
            high=float(overall.high[n]),
            **_margin(ahead, n, name not in CONTROLS),
            p=ps.get(name, torch.nan),
            units=len(units),
            unit="cases" if alone else "networks",
        )
        for n, name in enumerate(names)
    ]


def _rates(named: DataArray, unit: str) -> Tensor:
    """(P, units) share of the pairs that are named."""
    values = named.mean(("organ", "stage")).transpose("predictor", unit).values
    return torch.from_numpy(values.copy())


def _of_networks(networks: Sequence[Dataset]) -> Tensor:
    rates = [one["overall"].mean(("organ", "stage")).values for one in networks]
    return torch.stack([torch.from_numpy(rate.copy()) for rate in rates], 1)


def _best_control(names: Sequence[str], each: Tensor) -> Tensor:
    """(units) rates of the control with the highest mean."""
    known = [n for n, name in enumerate(names) if name in CONTROLS]
    if not known:
        return torch.full(each.shape[1:], 0.5, dtype=torch.float64)
    return each[max(known, key=lambda n: float(each[n].nanmean().nan_to_num(0)))]


def _tested(names: Sequence[str], each: Tensor) -> dict[str, float]:
    """Predictor -> its p, over networks: beyond one half and beyond every control."""
    found = [n for n, name in enumerate(names) if name not in CONTROLS]
    bounds = [
        torch.full_like(each[0], 0.5),
        *(each[names.index(c)] for c in CONTROLS if c in names),
    ]
    beyond = torch.stack([torch.stack([each[n] - bound for bound in bounds]) for n in found])
    return dict(zip((names[n] for n in found), weakest_p(beyond).tolist(), strict=True))


def _margin(ahead: OverCases, n: int, known: bool) -> dict[str, float]:
    values = (ahead.mean, ahead.low, ahead.high)
    names = ("margin", "margin_low", "margin_high")
    return {
        name: float(value[n]) if known else torch.nan
        for name, value in zip(names, values, strict=True)
    }
