"""The untrained network, which is what to beat, and several runs beside one another.

Intervals over cases: :mod:`segtrace.measures.over_cases`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.measures import guards

ECHO = 0.5
"""From this mass on, the untrained network's map already lies in its own region."""


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
