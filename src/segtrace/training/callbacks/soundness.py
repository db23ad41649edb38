"""Stop a training that has lost its weights, before they take the place of good ones."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from segtrace.errors import InputError
from segtrace.network.lost import unsound
from segtrace.training.epochs import finished_epochs

REMEDY = (
    "begin anew in another folder with a lower model.optimizer.lr, with "
    "trainer.gradient_clip_val=1, or, where precision is reduced, with trainer.precision=32-true"
)


class Soundness(pl.Callback):
    """Look at loss and weights after every epoch, before anything is explained or kept.

    A loss that was NaN or infinite on every batch, or a weight that is, cannot recover: whatever
    follows would be a training of nothing. Checkpoints and maps of the epochs before stay.

    Raises:
        InputError: at the end of such an epoch, with its number and what to do.
    """

    def __init__(self) -> None:
        self._any_finite: Tensor | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start looking anew."""
        self._any_finite = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Note whether the loss is finite, where it is: reading it would hold a GPU up."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            finite = loss.detach().isfinite().all()
            before = self._any_finite
            self._any_finite = finite if before is None else before | finite

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse to go on."""
        epoch = finished_epochs(trainer)
        if self._any_finite is not None and not bool(self._any_finite):
            raise InputError(f"the loss was not finite on any batch of epoch {epoch}; {REMEDY}")
        if lost := list(unsound(pl_module)):
            raise InputError(
                f"{len(lost)} weights are not finite after epoch {epoch} ({lost[0]}, …); {REMEDY}"
            )
