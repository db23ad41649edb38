"""Sums over the channels of a stage, in the order in which memory is fastest."""

from collections.abc import Iterator

import torch
from torch import Tensor

PIECE = 2**18
"""Numbers that are gone through at once."""


def weighted_sum(weights: Tensor, activation: Tensor) -> Tensor:
    """Σ_k w_k ⊙ A^k, the sum of Eq. 1: (N, K, *cells) -> (N, *cells).

    Args:
        weights: (N, K, *cells), or (N, K, 1, …, 1): one a channel.
        activation: (N, K, *cells).
    """
    if weights[0, 0].numel() == 1:  # as one matrix product a slice: twice as fast
        product = torch.bmm(weights.flatten(2).mT, activation.flatten(2))  # (N, 1, cells)
        return product[:, 0].unflatten(1, activation.shape[2:])
    both = pieces(activation.ndim - 2, weights, activation)
    return torch.cat([(w * a).sum(1) for w, a in both], 1)


def pieces(axes: int, *fields: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Fields (…, *cells) along their first axis of cells, in pieces that a processor's cache holds.

    What is made of a large tensor as a whole is written to memory that the system first has to
    give, and clear: of volumes that takes four times as long as the sums themselves.

    Args:
        axes: of cells, the last ones.
        fields: as many cells along the first of them.
    """
    row = max(field.numel() // max(1, field.shape[-axes]) for field in fields)
    size = max(1, PIECE // max(1, row))
    return zip(*(field.split(size, -axes) for field in fields), strict=True)
