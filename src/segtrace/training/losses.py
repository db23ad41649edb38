"""The mean loss of the steps of an epoch, read once: reading every step would hold a GPU up."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Losses:
    """The losses of the steps so far."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._steps = 0

    def add(self, outputs: Any) -> None:
        """Count what a training step returned, where that is or holds a loss."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor) and loss.numel() == 1:
            own = loss.detach().double()
            self._sum = own if self._sum is None else self._sum + own
            self._steps += 1

    def mean(self) -> float | None:
        """Over the steps; ``None`` before the first."""
        return None if self._sum is None else float(self._sum) / self._steps
