"""The Dice of a module that was validated: beside the weights that it saw, and no others."""

from collections.abc import Mapping

import pytorch_lightning as pl
from torch import nn

from segtrace.training.module import SegmentationModule
from segtrace.training.weights import fingerprint


class Validated:
    """Remembers which weights a validation saw.

    ``SegmentationModule`` knows that itself; of another module the attribute ``organ_dice`` is
    read, organ -> Dice of its last validation, and held against the weights here.
    """

    def __init__(self) -> None:
        self._weights = ""

    def forget(self) -> None:
        """Nothing was validated, or only a few batches to see that it works."""
        self._weights = ""

    def see(self, pl_module: pl.LightningModule, net: nn.Module) -> None:
        """Validation begins, with these weights."""
        own = isinstance(pl_module, SegmentationModule)
        self._weights = "" if own or not hasattr(pl_module, "organ_dice") else fingerprint(net)

    def dice(self, pl_module: pl.LightningModule, net: nn.Module) -> Mapping[str, float]:
        """Organ -> Dice of the weights in place; empty where those were not validated."""
        if isinstance(pl_module, SegmentationModule):
            return pl_module.organ_dice
        if not self._weights or fingerprint(net) != self._weights:
            return {}
        found: Mapping[str, float] = pl_module.organ_dice  # type: ignore[assignment]
        return found
