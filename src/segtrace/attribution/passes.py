"""What goes through a network at once, and which organ each slice is explained for in a pass."""

from collections.abc import Iterator

import torch
from torch import Tensor

from segtrace.axes import are_volumes

SLICES_ON_CPU = 4
"""Slices per forward pass on a CPU, whose caches larger batches outgrow (see ``make bench``)."""


def per_pass(x: Tensor, slices: int, batch: int | None = None) -> int:
    """How many slices, or volumes, of a batch go through a network at once.

    Args:
        x: (N, C, *image).
        slices: so many where nothing is asked for; of volumes it is one.
        batch: what was asked for.
    """
    return int(batch) if batch is not None else 1 if are_volumes(x) else slices


def slices_per_pass(x: Tensor, batch: int | None) -> int:
    """Of a trace, by default: some on a CPU, elsewhere all; volumes one by one."""
    return per_pass(x, min(len(x), SLICES_ON_CPU) if x.device.type == "cpu" else len(x), batch)


def together(present: Tensor) -> Iterator[Tensor]:
    """Which organ each slice is explained for in each backward pass.

    Slices do not influence each other, so one pass may serve another organ in every slice: as
    many passes are needed as the fullest slice has organs.

    Args:
        present: (O, N) bool.

    Yields:
        (N,) number of the organ, -1 for a slice that has had all of its organs.

    >>> [organ.tolist() for organ in together(torch.tensor([[True, False], [True, True]]))]
    [[0, 1], [1, -1]]
    """
    organs = [column.nonzero()[:, 0].tolist() for column in present.T]
    for turn in range(max(map(len, organs))):
        yield torch.tensor([own[turn] if turn < len(own) else -1 for own in organs])


def one_by_one(present: Tensor) -> Iterator[Tensor]:
    """The same with one organ a pass, for networks in which slices influence each other."""
    for organ, slices in enumerate(present):
        if slices.any():
            yield torch.where(slices, organ, -1)
