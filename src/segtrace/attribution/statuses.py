"""Statuses: what qualifies each map."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from segtrace.attribution.flow import Status
from segtrace.attribution.graph import walk

KAPPA_DEGENERATE = 0.05
"""Below it the averaged gradient is residue."""


def worst(holds: Mapping[Status, Tensor], shape: Sequence[int], device: torch.device) -> Tensor:
    """(*shape) int8: the largest of the statuses that hold, ``OK`` where none does.

    Args:
        holds: status -> bool tensor that broadcasts to the shape.
        shape: of the result.
        device: of the result.
    """
    found = torch.full(shape, Status.OK, dtype=torch.int8, device=device)
    for status in sorted(holds):
        found[holds[status].to(device).expand(shape)] = status
    return found


def unnormalised(acts: Mapping[str, Tensor], scored: Tensor) -> frozenset[str]:
    """The stages from which some path to the score meets no instance normalisation.

    An instance normalisation subtracts every channel's mean, so the gradient in front of it has
    mean zero. Where all paths pass one, averaging rules draw the residue of the image border.
    """
    seen = set(walk(scored.grad_fn, stop=_is_instance_norm))
    return frozenset(name for name, activation in acts.items() if activation.grad_fn in seen)


def mixes_slices(scored: Tensor) -> bool:
    """Whether the score of a slice depends on the others through statistics of the batch."""
    return any(_on_own_statistics(node) and _slices(node) > 1 for node in walk(scored.grad_fn))


def _is_instance_norm(node: Any) -> bool:
    if "GroupNorm" in node.name():
        return bool(node._saved_group == node._saved_C)
    return _on_own_statistics(node) and _slices(node) == 1


def _on_own_statistics(node: Any) -> bool:
    # torch runs instance normalisation as batch normalisation of one slice with N · K channels.
    return "BatchNorm" in node.name() and bool(getattr(node, "_saved_training", False))


def _slices(node: Any) -> int:
    return int(node._saved_input.shape[0])
