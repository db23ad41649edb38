"""A line an epoch, with its loss and Dice and the time left; epochs counted as everywhere else."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from segtrace.progress import Progress, clear, count, say
from segtrace.training.epochs import finished_epochs, planned_epochs


class EpochBar(ProgressBar):
    """Lightning's bar as lines: the pass under way is number 1 of E; its batches, in a terminal.

    The line of a finished pass comes when all callbacks are done with it: its checkpoint is whole.
    Without a limit of passes there is no E, and no time left.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loop = time.monotonic()
        self._began: float | None = None
        self._before = 0
        self._finished = ""

    def disable(self) -> None:
        """Only the first process says anything, see :func:`segtrace.progress.say`."""

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """The clock of passes starts with the first: the untrained network's maps are none."""
        self._began, self._before = None, finished_epochs(trainer)
        self._finished = ""

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say what the pass before came to, and start the clock of this one."""
        self._tell(trainer)
        self._loop = time.monotonic()
        self._began = self._loop if self._began is None else self._began

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count its batches."""
        words = f"Epoch {_of(trainer.current_epoch + 1, trainer)}"
        self._count(words, batch_idx, trainer.num_training_batches)

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Note the epoch's loss and Dice; other callbacks have yet to write what they know."""
        found = trainer.callback_metrics
        names = {"loss": "train/loss", "Dice": "val/dice/mean"}
        words = [f"{name} {found[tag]:.3f}" for name, tag in names.items() if tag in found]
        epoch = f"Epoch {_of(finished_epochs(trainer), trainer)}"
        self._finished = ": ".join([epoch, *filter(None, [", ".join(words)])])

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say what the last pass came to."""
        self._tell(trainer)

    def on_validation_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say what is counted, where that is no part of a pass."""
        untrained = " by the untrained network" * (trainer.global_step == 0)
        self._start(trainer, f"Counting the Dice of the validation cases{untrained}")

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

    def _tell(self, trainer: pl.Trainer) -> None:
        """The line of the last finished pass, once, and how long the others will take."""
        if self._finished and self._began is not None:
            epoch = finished_epochs(trainer)
            limit = planned_epochs(trainer, trainer.num_training_batches)
            pace = (time.monotonic() - self._began) / (epoch - self._before)
            say(self._finished, pace * (limit - epoch) if limit and epoch < limit else None)
        self._finished = ""

    def _start(self, trainer: pl.Trainer, words: str) -> None:
        self._loop = time.monotonic()
        if not trainer.sanity_checking and trainer.state.fn != "fit":
            say(words)

    def _count(self, words: str, batch: int, total: float) -> None:
        done, seconds = batch + 1, time.monotonic() - self._loop
        if total != float("inf"):
            count(words, Progress(done, round(total), seconds, seconds / done * (total - done)))


def _of(epoch: int, trainer: pl.Trainer) -> str:
    limit = planned_epochs(trainer, trainer.num_training_batches)
    return str(epoch) if limit is None else f"{epoch} of {limit}"
