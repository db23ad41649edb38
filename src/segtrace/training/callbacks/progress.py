"""A line an epoch, with its loss and Dice and the time left; epochs counted as everywhere else."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from segtrace.progress import Progress, clear, count, say
from segtrace.training.epochs import finished_epochs


class EpochBar(ProgressBar):
    """Lightning's bar as lines: the pass under way is number 1 of E; its batches, in a terminal.

    Without a limit of passes there is no E, and no time left.
    """

    def __init__(self) -> None:
        super().__init__()
        self._began = self._loop = time.monotonic()
        self._before = 0

    def disable(self) -> None:
        """Only the first process says anything, see :func:`segtrace.progress.say`."""

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start the clock."""
        self._began, self._before = time.monotonic(), finished_epochs(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start that of the pass."""
        self._loop = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count its batches."""
        words = f"Epoch {_of(trainer.current_epoch + 1, trainer)}"
        self._count(words, batch_idx, trainer.num_training_batches)

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say the epoch's loss and Dice, and how long the others will take."""
        epoch, limit = finished_epochs(trainer), _limit(trainer)
        pace = (time.monotonic() - self._began) / (epoch - self._before)
        left = None if limit is None or epoch >= limit else pace * (limit - epoch)
        found = trainer.callback_metrics
        names = {"loss": "train/loss", "Dice": "val/dice/mean"}
        words = [f"{name} {found[tag]:.3f}" for name, tag in names.items() if tag in found]
        say(": ".join([f"Epoch {_of(epoch, trainer)}", *filter(None, [", ".join(words)])]), left)

    def on_validation_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say what is counted, where that is no part of a pass."""
        self._start(trainer, "Counting the Dice of the validation cases")

    def on_test_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say what is counted."""
        self._start(trainer, "Counting the Dice of the test cases")

    def on_predict_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say what is explained."""
        self._start(trainer, f"Explaining {sum(trainer.num_predict_batches):.0f} batches of slices")

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Count batches."""
        self._count("Explaining", batch_idx, sum(trainer.num_predict_batches))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave no line that counts along."""
        clear()

    def _start(self, trainer: pl.Trainer, words: str) -> None:
        self._loop = time.monotonic()
        if not trainer.sanity_checking and trainer.state.fn != "fit":
            say(words)

    def _count(self, words: str, batch: int, total: float) -> None:
        done, seconds = batch + 1, time.monotonic() - self._loop
        if total != float("inf"):
            count(words, Progress(done, round(total), seconds, seconds / done * (total - done)))


def _limit(trainer: pl.Trainer) -> int | None:
    epochs = trainer.max_epochs
    return epochs if epochs is not None and epochs >= 0 else None


def _of(epoch: int, trainer: pl.Trainer) -> str:
    limit = _limit(trainer)
    return str(epoch) if limit is None else f"{epoch} of {limit}"
