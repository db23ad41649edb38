"""The Dice of a module that was validated: beside the weights that it saw, and no others."""

import warnings
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from segtrace.errors import shown
from segtrace.training.module import SegmentationModule
from segtrace.training.weights import fingerprint


class Validated:
    """Remembers which weights a validation saw.

    ``SegmentationModule`` knows that itself; of another module the attribute ``organ_dice`` is
    read, organ -> Dice of its last validation, and held against the weights here. Where it is
    ``None`` nothing is known; of anything else that holds no numbers a warning tells.
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
        return _numbers(type(pl_module).__name__, getattr(pl_module, "organ_dice", None))


def _numbers(module: str, told: Any) -> Mapping[str, float]:
    """Those of the numbers that are some."""
    if told is None:
        return {}
    if not isinstance(told, Mapping):
        _warn(f"{module}.organ_dice is {shown(told)}")
        return {}
    found = {}
    for organ, value in told.items():
        try:
            found[organ] = float(torch.nan if value is None else value)
        except (TypeError, ValueError, RuntimeError):
            _warn(f"{module}.organ_dice[{organ!r}] is {shown(value)}")
    return found


def _warn(what: str) -> None:
    warnings.warn(
        f"{what}, so its Dice is not known; make organ_dice a mapping organ -> number, or None",
        stacklevel=2,
    )
