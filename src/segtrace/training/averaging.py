"""The weights that a checkpoint will hold, where they are not the ones being trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from torch import nn
from torch.optim.swa_utils import AveragedModel

from segtrace.training.weights import in_place


@contextmanager
def kept_weights(trainer: pl.Trainer, pl_module: pl.LightningModule) -> Iterator[None]:
    """During the block the module has the weights that its checkpoint will hold.

    They differ from the trained ones under Lightning's ``WeightAveraging`` alone, which saves the
    averages. The trained weights come back bit by bit.
    """
    average = _average(trainer)
    if average is None:
        yield
        return
    with in_place(pl_module, average.state_dict()):
        yield


def _average(trainer: pl.Trainer) -> nn.Module | None:
    """The averages of a callback that saves them, under whichever of Lightning's two names.

    ``StochasticWeightAveraging`` keeps its averages in a module of another kind, and saves the
    trained weights until the training ends.
    """
    callbacks: list[Any] = getattr(trainer, "callbacks")  # noqa: B009 (set by a connector)
    for callback in callbacks:
        average = getattr(callback, "_average_model", None)
        if isinstance(average, AveragedModel):
            module: nn.Module = average.module
            return module
    return None
