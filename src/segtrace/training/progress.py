"""What is said meanwhile: epochs counted as everywhere else here, and long pieces of work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only
from tqdm import tqdm

from segtrace.causal.batches import OnProgress, Progress


@rank_zero_only
def say(words: str) -> None:
    """Print a line once, however many processes train side by side."""
    print(words)


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


@contextmanager
def working(words: str) -> Iterator[OnProgress]:
    """A bar over a long piece of work, with the estimate made before its start.

    Args:
        words: what is done.
    """
    bar = tqdm(desc=words, unit=" slices", leave=False, disable=None)

    def tell(progress: Progress) -> None:
        if progress.done == 0:
            print(f"{words}: about {progress.left:.0f} s")
        bar.total = progress.total
        bar.update(progress.done - bar.n)

    try:
        yield tell
    finally:
        bar.close()
