"""The best epoch's weights, beside those of every epoch."""

from math import inf
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from segtrace.errors import InputError, unknown
from segtrace.report.files import check_writable
from segtrace.training.averaging import kept_weights
from segtrace.training.callbacks.checkpoints import save
from segtrace.training.epochs import finished_epochs
from segtrace.training.module import SegmentationModule

BEST = "best.ckpt"
DICE = "val/dice/"
"""How the module calls what it logs of every organ, and of their mean."""


class BestCheckpoint(Checkpoint):
    """Keep the trained epoch with the largest validation Dice as ``best.ckpt``.

    As slim as ``epoch_*.ckpt``, with the same description, means to cut with among it; which epoch
    it is stands there. The Dice is that of the weights in the file, averaged ones where they are
    averaged; an epoch that was not validated is passed over, and of equal ones the first stays.

    Args:
        folder: where it goes.
        monitor: ``val/dice/mean``, or of an organ.

    Raises:
        InputError: nothing that is a Dice of the validation cases; at the start of a training, an
            organ that the network does not have, a folder that cannot be written.
    """

    def __init__(self, folder: str, monitor: str = f"{DICE}mean") -> None:
        if not monitor.startswith(DICE):
            raise InputError(f"callbacks.best.monitor={monitor}; give {DICE}mean, or of an organ")
        self.folder = Path(folder)
        self.monitor = monitor
        self.dice, self.epoch = -inf, 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse what could only fail when the first epoch is done."""
        known = [f"{DICE}{name}" for name in ("mean", *getattr(pl_module, "organs", ()))]
        if self.monitor not in known:
            raise unknown("callbacks.best.monitor", self.monitor, known)
        if trainer.is_global_zero:
            check_writable(self.folder)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing is the best of a training that begins."""
        if finished_epochs(trainer) == 0:
            self.dice, self.epoch = -inf, 0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep this epoch if it is better than all before."""
        if not isinstance(pl_module, SegmentationModule):
            raise InputError("BestCheckpoint works with train.py's own module")
        with kept_weights(trainer, pl_module):
            found = pl_module.organ_dice.get(self.monitor.removeprefix(DICE), -inf)
        # What the first process knows decides for all: they write together.
        dice = trainer.strategy.broadcast(found)
        if dice > self.dice:
            self.dice, self.epoch = dice, finished_epochs(trainer)
            save(trainer, self.folder / BEST, slim=True)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"dice": self.dice, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what is known."""
        self.dice, self.epoch = state_dict["dice"], state_dict["epoch"]
