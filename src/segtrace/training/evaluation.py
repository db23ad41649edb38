"""Dice per case and organ, the way the benchmark asks: counted over whole volumes."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from segtrace.errors import unknown


def dice(intersection: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """2|P ∩ T| / (|P| + |T|), elementwise; NaN where the truth is empty.

    An organ that is absent from the truth says nothing about how well it is found; a false organ
    shows in the tables as predicted voxels.

    >>> dice(torch.tensor([3.0, 0.0]), torch.tensor([4.0, 9.0]), torch.tensor([4.0, 0.0]))
    tensor([0.7500,    nan])
    """
    return torch.where(true > 0, 2 * intersection / (predicted + true), torch.nan)


class CaseDice(Metric):
    """Hard Dice of every organ in every case, gathered slice by slice.

    Args:
        cases: names of all the cases that will come.
        organs: organ -> channel, without the background.

    The state is three counts per case and organ, so that it is exact whatever the batches are,
    and adds up over devices.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, cases: Sequence[str], organs: Mapping[str, int]) -> None:
        super().__init__()
        self.cases = list(cases)
        self.organs = dict(organs)
        empty = torch.zeros(len(self.cases), len(self.organs), 3, dtype=torch.float64)
        self.add_state("counts", empty, dist_reduce_fx="sum")

    def update(self, prediction: Tensor, truth: Tensor, cases: Sequence[str]) -> None:
        """Count a batch: label maps (N, H, W), and the case of every slice.

        Raises:
            InputError: a case that was not announced.
        """
        for case in cases:
            if case not in self.cases:
                raise unknown("case", case, self.cases, "this evaluation")
        rows = torch.tensor([self.cases.index(case) for case in cases], device=self.device)
        for column, channel in enumerate(self.organs.values()):
            p, t = prediction == channel, truth == channel
            found = torch.stack([p & t, p, t], -1).flatten(1, -2).sum(1)  # (N, 3)
            self.counts[:, column].index_add_(0, rows, found.to(self.counts.dtype))

    def compute(self) -> Tensor:
        """(case, organ) Dice in [0, 1]; NaN where the organ is absent from the truth."""
        return dice(*self.counts.unbind(-1))

    def whole_cases(self) -> dict[str, dict[str, dict[str, float]]]:
        """Case -> organ -> ``dice`` and predicted ``voxels``: plain values, for a checkpoint.

        Every process of a distributed validation must call it.
        """
        with self.sync_context():
            counts = self.counts.clone()
        values = dice(*counts.unbind(-1)).tolist()
        return {
            case: {
                organ: {"dice": values[i][j], "voxels": float(counts[i, j, 1])}
                for j, organ in enumerate(self.organs)
            }
            for i, case in enumerate(self.cases)
        }

    def table(self) -> list[dict[str, object]]:
        """One row a case and organ: Dice and the three voxel counts, for a CSV."""
        values = self.compute()
        return [
            {
                "case": case,
                "organ": organ,
                "dice": float(values[i, j]),
                "intersection_voxels": int(self.counts[i, j, 0]),
                "predicted_voxels": int(self.counts[i, j, 1]),
                "true_voxels": int(self.counts[i, j, 2]),
            }
            for i, case in enumerate(self.cases)
            for j, organ in enumerate(self.organs)
        ]


def per_organ(values: Tensor, organs: Mapping[str, int]) -> dict[str, float]:
    """Mean over cases, organ by organ, and ``mean`` over organs; absent organs are left out."""
    means = values.nanmean(0)  # (organ,)
    return {name: float(means[i]) for i, name in enumerate(organs)} | {
        "mean": float(means.nanmean())
    }
