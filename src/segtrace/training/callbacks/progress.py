"""Lightning's bar, with epochs counted as everywhere else here."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar


class EpochBar(TQDMProgressBar):
    """Lightning's bar: the pass under way is number 1 of E, and no internal version is shown.

    Without a limit of passes there is no E to show.
    """

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Name the pass by the epoch that it will complete."""
        super().on_train_epoch_start(trainer)
        epochs = trainer.max_epochs
        limit = f"/{epochs}" if epochs is not None and epochs >= 0 else ""
        epoch = f"{trainer.current_epoch + 1:>{max(0, len(limit) - 1)}}"
        self.train_progress_bar.set_description(f"Epoch {epoch}{limit}")

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Loss and Dice."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
