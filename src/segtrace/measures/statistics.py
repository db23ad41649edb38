"""Statistics in which the case is the unit, and the untrained network is what to beat.

Slices of one case are not independent: intervals come from drawing whole cases with replacement
(percentile bootstrap).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.measures import guards
from segtrace.measures.energy import nan_where
from segtrace.measures.localisation import gain_terms

ECHO = 0.5
"""From this mass on, the untrained network's map already lies in its own region."""


def of_cases(terms: Tensor, cases: Sequence[str]) -> Tensor:
    """Sums over the slices of each case, NaN counting as nothing: (…, N) -> (…, cases)."""
    names = list(dict.fromkeys(cases))
    belongs = torch.tensor([[case == name for name in names] for case in cases])
    return terms.nan_to_num(nan=0.0).double() @ belongs.double().to(terms.device)


def interval(
    above: Tensor,
    below: Tensor,
    cases: Sequence[str],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Tensor:
    """Percentile interval of Σ above / Σ below over slices, drawing cases with replacement.

    With ``below`` 1 where ``above`` is defined this is the mean over slices; with the two terms of
    ``gain`` it is its ratio of sums.

    Args:
        above: (…, N) NaN where a slice has no value.
        below: (…, N) NaN there as well.
        cases: name of each slice's case.
        level: part of the draws between the ends.
        draws: how often all cases are drawn.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        (…, 2) lower and upper end; NaN where fewer than two cases have a value.
    """
    tops, bottoms = of_cases(above, cases), of_cases(below, cases)
    count = tops.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(count, (draws, count), generator=generator)
    times = torch.nn.functional.one_hot(drawn, count).sum(1).double().T.to(tops)  # (cases, draws)
    ratios = (tops @ times) / (bottoms @ times)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2]).to(ratios)
    found = torch.nanquantile(ratios, ends, -1).movedim(0, -1)
    seen = of_cases(below.isfinite().double(), cases) > 0
    return found.masked_fill((seen.sum(-1) < 2)[..., None], torch.nan)


def intervals(
    values: Mapping[str, Tensor],
    cases: Sequence[str],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Tensor]:
    """The interval over cases of every number that ``over_slices`` gives.

    Args:
        values: measure -> (S, R, O, N).
        cases: name of each slice's case.
        level: see :func:`interval`.
        draws: see :func:`interval`.
        seed: see :func:`interval`.

    Returns:
        measure -> (S, R, O, 2); NaN where fewer than two cases have a value.
    """
    found = {}
    for name, value in values.items():
        terms = gain_terms(values) if name == "gain" else (value, value.isfinite().double())
        above, below = terms[0], nan_where(~terms[0].isfinite(), terms[1])
        found[name] = interval(above, below, cases, level=level, draws=draws, seed=seed)
    return found


def echo(untrained: Mapping[str, Tensor]) -> Tensor:
    """Stages that localise before anything is learned: (S, R, O) bool.

    An element-wise map near the output lies in the region that defined the score, whatever the
    network does. There mass and gain are no evidence.

    Args:
        untrained: measure -> (S, R, O) of the network at epoch 0, with ``mass``.
    """
    return untrained["mass"] >= ECHO


def against_untrained(
    now: Mapping[str, Tensor], untrained: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What training has added: now - untrained, for every measure that both have.

    NaN where either is not defined. Counts (``n_valid``) are left out.
    """
    return {
        name: value - untrained[name]
        for name, value in now.items()
        if name in untrained and name != "n_valid"
    }


@dataclass(frozen=True)
class Band:
    """A number over several runs that differ in their seed.

    Attributes:
        mean: mean over the runs that have it.
        low: smallest.
        high: largest.
        runs: number of runs.
    """

    mean: Tensor
    low: Tensor
    high: Tensor
    runs: int

    @property
    def label(self) -> str:
        """``one run``, or ``3 runs``: what a figure must say."""
        return "one run" if self.runs == 1 else f"{self.runs} runs"


@guards.held()
def over_runs(runs: Sequence[Tensor]) -> Band:
    """Mean and range over runs; each a tensor of the same shape, NaN where not defined."""
    stacked = torch.stack(list(runs))
    undefined = stacked.isnan()
    none = undefined.all(0)
    return Band(
        mean=stacked.nanmean(0),
        low=stacked.masked_fill(undefined, torch.inf).amin(0).masked_fill(none, torch.nan),
        high=stacked.masked_fill(undefined, -torch.inf).amax(0).masked_fill(none, torch.nan),
        runs=len(stacked),
    )
