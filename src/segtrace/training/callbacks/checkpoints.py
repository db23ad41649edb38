"""One slim checkpoint an epoch, and a full one to go on from, each whole or not there at all."""

from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from segtrace.checkpoint.reading import checksums, compare
from segtrace.errors import InputError
from segtrace.progress import say
from segtrace.report.files import check_writable, save_bytes
from segtrace.training.averaging import kept_weights
from segtrace.training.callbacks.meeting import Meeting
from segtrace.training.callbacks.own_folder import check_no_checkpoints
from segtrace.training.epochs import finished_epochs, is_final


class WholeFiles(TorchCheckpointIO):
    """Write a checkpoint in its own folder, and leave nothing of one that could not be written.

    Lightning's own goes by way of the system's folder for temporary files, which may be another
    disk, and full, and where what could not be moved would stay.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write it.

        Raises:
            InputError: it cannot be written.
        """
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        save_bytes(path, buffer.getvalue())


class EpochCheckpoints(Checkpoint):
    """Keep every epoch for explaining, and the last for resuming.

    Written into ``folder``: ``epoch_000.ckpt`` (the untrained network) … ``epoch_E.ckpt``, weights
    and description only; ``last.ckpt`` and, from the second on, the one before it as
    ``previous.ckpt``, with the full state of the training; a damaged one takes nobody's place.
    Lightning's own ``ModelCheckpoint`` counts from 0 after the first pass and has no slim kind.

    Where several processes train, they wait here for the first, which explains alone: as long as it
    takes, see :class:`~segtrace.training.callbacks.meeting.Meeting`.

    Args:
        folder: where they go.
        every_n_epochs: how often a slim one is kept; the first and the last always are.

    Raises:
        InputError: an interval below 1; at the start of a training, a folder that cannot be
            written, or holds checkpoints of another run.
    """

    def __init__(self, folder: str, every_n_epochs: int = 1) -> None:
        if every_n_epochs < 1:
            raise InputError(
                f"callbacks.checkpoints.every_n_epochs={every_n_epochs}; give 1 or more"
            )
        self.folder = Path(folder)
        self.every_n_epochs = every_n_epochs
        self._slim: int | None = None
        self._begun = False
        self._meeting: Meeting | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse a folder that cannot be written, before any work is done."""
        if trainer.is_global_zero:
            check_writable(self.folder)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeFiles()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse another run's folder; only now is it known whether this one goes on."""
        if trainer.is_global_zero and trainer.ckpt_path is None and not self._begun:
            check_no_checkpoints(self.folder)
        self._meeting = Meeting()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the untrained network."""
        self._slim, self._begun = None, True
        self._meet()
        if finished_epochs(trainer) == 0:
            save(trainer, self.folder / "epoch_000.ckpt", slim=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep this epoch; runs after every other callback, validation included."""
        epoch, final = finished_epochs(trainer), is_final(trainer)
        if final:
            _make_up(trainer, pl_module)
        self._meet()
        if epoch % self.every_n_epochs == 0 or final:
            self._keep(trainer, epoch)
        for logger in trainer.loggers:  # whoever goes on from here logs no more of what lies behind
            logger.save()
        save(trainer, self.folder / "last.ckpt", slim=False, previous="previous.ckpt")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the last epoch, where it was not known that none follows."""
        self._meet()
        epoch = finished_epochs(trainer)
        if epoch > 0 and self._slim != epoch:
            self._keep(trainer, epoch)

    def _meet(self) -> None:
        """Wait for the first process, which has explained, or collected baselines, alone."""
        if self._meeting is not None:
            self._meeting.wait()

    def _keep(self, trainer: pl.Trainer, epoch: int) -> None:
        save(trainer, self.folder / f"epoch_{epoch:03d}.ckpt", slim=True)
        self._slim = epoch


def save(trainer: pl.Trainer, path: Path, *, slim: bool, previous: str = "") -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        trainer: of the training; all its processes call this together.
        path: the file.
        slim: weights and description only, of the weights that are explained.
        previous: the name that a file of before gets, beside it; none, and it is replaced.
    """
    # Written under another name first: a killed run leaves no half checkpoint.
    partial = path.with_name(f".{path.name}.partial")
    # Callbacks have no say in a slim checkpoint, so averaged weights are put in their place.
    kept = kept_weights(trainer, trainer.lightning_module) if slim else nullcontext()
    try:
        with kept, checksums():
            trainer.save_checkpoint(partial, weights_only=slim)
        if trainer.is_global_zero:
            if previous and path.exists():
                _keep(path, path.with_name(previous))
            _put(partial, path)
    except BaseException:  # a run that is stopped here, or whose disk is full
        if trainer.is_global_zero:
            partial.unlink(missing_ok=True)
        raise


def _make_up(trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
    """Let callbacks that spare some epochs do the last, whose checkpoint holds what they find.

    What stops a training may do so after the others had their turn, and before this one has.
    """
    callbacks: list[Any] = getattr(trainer, "callbacks")  # noqa: B009 (set by a connector)
    for callback in callbacks:
        if hasattr(callback, "on_final_epoch"):
            callback.on_final_epoch(trainer, pl_module)


def _keep(last: Path, previous: Path) -> None:
    """Let the last checkpoint become the one before, unless it is damaged and that one is not."""
    try:
        compare(last)
    except InputError as error:
        say(f"{error}: it does not become {previous.name}")
    else:
        _put(last, previous)


def _put(file: Path, place: Path) -> None:
    """Give a file its place; a folder that somebody made there is moved, and not taken away."""
    if place.is_dir():
        aside = place.with_name(f"{place.name}.folder")
        place.rename(aside)
        say(f"{place} was a folder: it is {aside} now")
    file.replace(place)
