"""Weights over the logits, kept as the few channels that have any."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """Weights (N, C, *image) of a target; channels that are not named have none.

    An organ weighs one channel of nine or fourteen: as whole tensors, the weights of all organs
    would take as much memory as a network's activations.

    Attributes:
        planes: channel -> (N, *image).
    """

    planes: Mapping[int, Tensor]

    @classmethod
    def of(cls, dense: Tensor) -> "Weights":
        """The channels of (N, C, *image) that are not zero everywhere."""
        used = (dense != 0).transpose(0, 1).flatten(1).any(1)
        return cls({channel: dense[:, channel] for channel in used.nonzero()[:, 0].tolist()})

    def __getitem__(self, slices: slice | Tensor) -> "Weights":
        """Those of some slices."""
        return Weights({channel: plane[slices] for channel, plane in self.planes.items()})

    def __call__(self, logits: Tensor) -> Tensor:
        """The same, whatever the logits are: weights that are settled are a target."""
        return self.dense(logits)

    def dense(self, logits: Tensor) -> Tensor:
        """All of them, in the shape of the logits."""
        weights = torch.zeros_like(logits)
        for channel, plane in self.planes.items():
            weights[:, channel] = plane
        return weights

    def score(self, scored: Tensor) -> Tensor:
        """(N,) Σ weights · φ(logits), of (N, C, *image)."""
        total = scored.new_zeros(len(scored))
        for channel, plane in self.planes.items():
            total = total + (plane * scored[:, channel]).flatten(1).sum(1)
        return total

    def pixels(self, scored: Tensor) -> Tensor:
        """(N,) number of pixels at which some channel has a weight."""
        if not self.planes:
            return torch.zeros(len(scored), dtype=torch.long, device=scored.device)
        weighed = reduce(torch.logical_or, (plane != 0 for plane in self.planes.values()))
        return weighed.flatten(1).sum(1)
