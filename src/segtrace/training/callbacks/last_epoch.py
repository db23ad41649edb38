"""What the last finished pass left behind, kept until the next one is finished too."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from segtrace.training.weights import copied, in_place


class LastEpoch:
    """A copy of the weights of the last finished pass, and of what was found out about them.

    Only when a training has ended is it known which pass was its last, and then its weights may be
    gone: a pass was broken off, or a callback has put others in their place.

    Attributes:
        epoch: the finished passes; ``None`` where nothing is kept.
    """

    def __init__(self) -> None:
        self.epoch: int | None = None
        self._weights: dict[str, Tensor] = {}
        self._baselines: Any = None

    def keep(self, epoch: int, pl_module: pl.LightningModule) -> None:
        """Copy the weights that are in place now."""
        self.epoch = epoch
        self._weights = copied(pl_module, into=self._weights)
        self._baselines = getattr(pl_module, "baselines", None)

    def clear(self) -> None:
        """No longer needed."""
        self.epoch, self._weights, self._baselines = None, {}, None

    @contextmanager
    def back(self, pl_module: pl.LightningModule) -> Iterator[None]:
        """During the block the module is as that pass left it."""
        now: Any = getattr(pl_module, "baselines", None)
        with in_place(pl_module, self._weights):
            if self._baselines is None:
                yield
                return
            pl_module.baselines = self._baselines
            try:
                yield
            finally:
                pl_module.baselines = now
