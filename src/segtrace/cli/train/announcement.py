"""What is said before a training begins: what it is trained on, and how much disk it takes."""

from collections.abc import Iterable
from math import ceil
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from segtrace import room
from segtrace.cli.train.train_config import TrainConfig
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.volumes.view import VolumeView
from segtrace.errors import InputError
from segtrace.progress import counted, say
from segtrace.training.callbacks.checkpoints import EpochCheckpoints
from segtrace.training.epochs import batches_of_pass, planned_epochs
from segtrace.training.module import SegmentationModule
from segtrace.training.slices.outlook import tell_volumes


def announce(
    plan: TrainConfig, data: CaseDataModule, module: SegmentationModule, trainer: pl.Trainer
) -> None:
    """Say what will be trained on and how much disk it takes.

    Raises:
        InputError: less room on the disk than the checkpoints need; a validation after more batches
            than a pass has.
    """
    weights = _bytes(module.net.state_dict().values())
    embedded = _bytes(module.description["probes"].values())
    done = 0 if plan.left is None else plan.left.epoch
    batches = batches_of_pass(trainer, data)
    epochs = planned_epochs(trainer, batches)
    kept = [c for c in trainer.checkpoint_callbacks if isinstance(c, EpochCheckpoints)]
    every = kept[0].every_n_epochs if kept else 1
    # Slim ones; two full ones with AdamW's state. Without a limit, what the first epoch needs.
    slim = 2 if epochs is None else 1 + ceil((epochs - done) / every)
    need = (weights + embedded) * slim + 2 * (3 * weights + embedded)
    parts = ", ".join(f"{len(cases)} {part}" for part, cases in data.split.items() if cases)
    say(f"Cases: {parts}. Organs: {', '.join(data.organs)}.")
    if (channels := data.source.channels) > 1:
        say(
            f"{data.view.words[1].capitalize()} have {channels} channels: the network sees all, "
            "and pictures show the first."
        )
    more = "" if epochs is not None else f", and {room.in_words(weights)} more with every epoch"
    say(f"Run: {plan.folder}. Its checkpoints take about {room.in_words(need)}{more}.")
    room.check(
        need,
        room.on_disk(plan.folder),
        f"{plan.folder}: checkpoints take about",
        f"free some, or say callbacks.checkpoints.every_n_epochs={10 * every}",
        "disk",
    )
    _check_interval(trainer, batches)
    _tell_end(trainer, epochs)
    if isinstance(data.view, VolumeView):
        tell_volumes(data, data.view, module, trainer.strategy.root_device)


def _bytes(values: Iterable[Any]) -> int:
    """Of the tensors among them."""
    return sum(one.numel() * one.element_size() for one in values if isinstance(one, Tensor))


def _check_interval(trainer: pl.Trainer, batches: int) -> None:
    interval = trainer.val_check_interval
    if not isinstance(interval, int) or trainer.check_val_every_n_epoch is None:
        return
    if interval > batches:
        raise InputError(
            f"trainer.val_check_interval={interval}, but a pass has {batches} batches; give "
            f"{batches} or less, or trainer.check_val_every_n_epoch=null to count over passes"
        )


def _tell_end(trainer: pl.Trainer, epochs: int | None) -> None:
    """Say what ends the training before its passes are done."""
    if getattr(trainer, "fast_dev_run"):  # noqa: B009 (set by a connector)
        say(
            f"trainer.fast_dev_run: {counted(trainer.max_steps, 'step')}, as many batches to "
            "validate on, and no logger; this shows that all runs, and its numbers mean nothing"
        )
    elif trainer.max_steps != -1:
        say(f"trainer.max_steps={trainer.max_steps} ends the training, in pass {epochs}.")
