"""A callback for train.py: after an epoch the first process is slow, and the others wait."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytorch_lightning as pl
import torch.distributed as dist
from torch.distributed import distributed_c10d

TIMEOUT = 3.0
"""Of the process group, seconds."""


class SlowFirst(pl.Callback):
    """After the second epoch the first process is at work for longer than the time-out.

    Args:
        folder: where each process then leaves its number.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if dist.is_initialized():
            distributed_c10d._set_pg_timeout(timedelta(seconds=TIMEOUT))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch != 1:
            return
        (self.folder / str(trainer.global_rank)).write_text(str(os.getpid()))
        if trainer.is_global_zero:
            end = time.monotonic() + 2 * TIMEOUT
            while time.monotonic() < end:
                time.sleep(0.05)
