"""Dice per case and organ, the way the benchmark asks: counted over whole volumes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from segtrace.activation import OrganLike, predicted_mask, true_mask
from segtrace.dice import dice
from segtrace.errors import unknown

VOXELS = ("intersection_voxels", "predicted_voxels", "true_voxels")
"""What is counted, in the order of the last axis."""


@dataclass(frozen=True)
class Counted:
    """What was counted over whole cases: of all processes, every slice once.

    Attributes:
        cases: their names.
        organs: theirs.
        voxels: (case, organ, 3) whole numbers: found rightly, predicted, true.
    """

    cases: tuple[str, ...]
    organs: tuple[str, ...]
    voxels: Tensor

    @property
    def dice(self) -> Tensor:
        """(case, organ) Dice in [0, 1], float64; NaN where the organ is absent from the truth."""
        return dice(*self.voxels.double().unbind(-1))

    def per_organ(self) -> dict[str, float]:
        """Mean over cases, organ by organ, and ``mean`` over organs."""
        return per_organ(self.dice, self.organs)

    def whole_cases(self) -> dict[str, dict[str, dict[str, float]]]:
        """Case -> organ -> ``dice`` and predicted ``voxels``: plain values, for a checkpoint."""
        values, voxels = self.dice.tolist(), self.voxels.double().tolist()
        return {
            case: {
                organ: {"dice": values[i][j], "voxels": voxels[i][j][1]}
                for j, organ in enumerate(self.organs)
            }
            for i, case in enumerate(self.cases)
        }

    def table(self) -> list[dict[str, object]]:
        """One row a case and organ: Dice and the three voxel counts, for a CSV."""
        values, voxels = self.dice.tolist(), self.voxels.tolist()
        return [
            {
                "case": case,
                "organ": organ,
                "dice": values[i][j],
                **dict(zip(VOXELS, voxels[i][j], strict=True)),
            }
            for i, case in enumerate(self.cases)
            for j, organ in enumerate(self.organs)
        ]


class CaseDice(Metric):
    """Hard Dice of every organ in every case, gathered slice by slice.

    Args:
        cases: names of all the cases that will come.
        organs: organ -> channel, without the background, see :mod:`segtrace.activation`.

    The state is three counts per slice and organ, so that it is exact whatever the batches are.
    Over processes the slices are put together, and one that several processes saw, because their
    shards were made equally long, counts once.
    """

    full_state_update = False
    slices: list[Tensor] | Tensor

    def __init__(self, cases: Sequence[str], organs: Mapping[str, OrganLike]) -> None:
        super().__init__()
        self.cases, self.organs = tuple(cases), dict(organs)
        self.add_state("slices", [], dist_reduce_fx="cat")

    def update(
        self,
        prediction: Tensor,
        truth: Tensor,
        cases: Sequence[str],
        slices: Sequence[int] | Tensor | None = None,
    ) -> None:
        """Count a batch.

        Args:
            prediction: label maps (N, H, W), or masks (N, C, H, W) as bool.
            truth: the same.
            cases: the case of every slice.
            slices: its index in the case, by which one that comes twice is known; without it each
                counts.

        Raises:
            InputError: a case that was not announced.
        """
        for case in cases:
            if case not in self.cases:
                raise unknown("case", case, self.cases, "this evaluation")
        known = [-1] * len(cases) if slices is None else torch.as_tensor(slices).tolist()
        rows = [[self.cases.index(case), i] for case, i in zip(cases, known, strict=True)]
        counts = [_voxels(predicted_mask(prediction, organ), true_mask(truth, organ))
                  for organ in self.organs.values()]  # fmt: skip
        self._list().append(torch.cat([torch.tensor(rows, device=self.device), *counts], 1))

    def compute(self) -> Tensor:
        """(case, organ) Dice in [0, 1]; NaN where the organ is absent from the truth."""
        return self.counted().dice

    def counted(self) -> Counted:
        """All counts. Every process of a distributed validation must call it."""
        self._list()
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            return self._counted()

    def per_organ(self) -> dict[str, float]:
        """See :meth:`Counted.per_organ`."""
        return self.counted().per_organ()

    def whole_cases(self) -> dict[str, dict[str, dict[str, float]]]:
        """See :meth:`Counted.whole_cases`."""
        return self.counted().whole_cases()

    def table(self) -> list[dict[str, object]]:
        """See :meth:`Counted.table`."""
        return self.counted().table()

    def _list(self) -> list[Tensor]:
        """The state of this process, never without a tensor: another may have one to send."""
        slices = self.slices
        if not isinstance(slices, list):
            return [slices]
        if not slices:
            empty = torch.zeros(0, 2 + 3 * len(self.organs), dtype=torch.long)
            slices.append(empty.to(self.device))
        return slices

    def _counted(self) -> Counted:
        rows = _first_of_each(torch.cat(self._list()))
        each = rows[:, 2:].unflatten(1, (len(self.organs), 3))
        voxels = each.new_zeros(len(self.cases), len(self.organs), 3)
        return Counted(self.cases, tuple(self.organs), voxels.index_add_(0, rows[:, 0], each))

    def _wrap_compute(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        # As it is: torchmetrics would make a scalar of a single number, one organ in one case.
        return compute


def _voxels(predicted: Tensor, true: Tensor) -> Tensor:
    """(N, 3) of masks (N, *image)."""
    return torch.stack([mask.flatten(1).sum(1) for mask in (predicted & true, predicted, true)], 1)


def _first_of_each(rows: Tensor) -> Tensor:
    """The rows (M, 2 + …) without those of a (case, slice) that came before; -1 is no slice."""
    case, index = rows[:, 0], rows[:, 1]
    place = torch.arange(len(rows), device=rows.device)
    # A slice without a number gets one that no other has.
    unlike = torch.where(index < 0, -1 - place, index)
    _, group = torch.stack([case, unlike], 1).unique(dim=0, return_inverse=True)
    first = place.new_full((len(rows),), len(rows)).scatter_reduce(0, group, place, "amin")
    return rows[first[group] == place]


def per_organ(values: Tensor, organs: Collection[str]) -> dict[str, float]:
    """Mean over cases, organ by organ, and ``mean`` over organs; absent organs are left out."""
    means = values.reshape(-1, len(organs)).nanmean(0)  # (organ,)
    return {name: float(means[i]) for i, name in enumerate(organs)} | {
        "mean": float(means.nanmean())
    }
