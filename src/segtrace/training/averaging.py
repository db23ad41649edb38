"""The weights that a checkpoint will hold, where they are not the ones being trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


@contextmanager
def kept_weights(trainer: pl.Trainer, pl_module: pl.LightningModule) -> Iterator[None]:
    """During the block the module has the weights that its checkpoint will hold.

    They differ from the trained ones under Lightning's ``WeightAveraging`` alone, which saves the
    averages. The trained weights come back bit by bit.
    """
    callbacks: list[pl.Callback] = getattr(trainer, "callbacks")  # noqa: B009 (set by a connector)
    averages = [c._average_model for c in callbacks if isinstance(c, WeightAveraging)]
    if not averages or averages[0] is None:
        yield
        return
    trained = {name: tensor.clone() for name, tensor in pl_module.state_dict().items()}
    _overwrite(pl_module, averages[0].module.state_dict())
    try:
        yield
    finally:
        _overwrite(pl_module, trained)


@torch.no_grad()
def _overwrite(pl_module: pl.LightningModule, weights: dict[str, Tensor]) -> None:
    for name, tensor in pl_module.state_dict().items():
        tensor.copy_(weights[name])
