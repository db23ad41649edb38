"""Epochs as they are counted everywhere: finished passes, 0 for the untrained network."""

from math import ceil, inf

import pytorch_lightning as pl


def finished_epochs(trainer: pl.Trainer) -> int:
    """Finished passes over the training slices: 0 is the untrained network.

    Validation inside ``fit`` closes a pass that Lightning has not counted yet, if no batch of the
    pass follows; in the middle of a pass it does not.
    """
    finished = getattr(trainer.fit_loop.epoch_progress.current, "processed")  # noqa: B009 (untyped)
    # Compared by value: Lightning exists under two names, each with states of its own.
    closing = trainer.state.fn == "fit" and trainer.validating and _ends_pass(trainer)
    return int(finished + closing)


def planned_epochs(trainer: pl.Trainer, batches: float) -> int | None:
    """How many passes there are at most; ``None`` where neither passes nor steps are limited.

    Args:
        trainer: of the training.
        batches: of a pass; infinity where that is not known.
    """
    limits = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        limits.append(trainer.max_epochs)
    if trainer.max_steps != -1 and 0 < batches < inf:
        limits.append(ceil(trainer.max_steps / ceil(batches / trainer.accumulate_grad_batches)))
    return min(limits, default=None)


def batches_of_pass(trainer: pl.Trainer, data: pl.LightningDataModule) -> int:
    """Batches of a pass over the training data, before the trainer has counted them."""
    limit, whole = trainer.limit_train_batches, len(data.train_dataloader())
    return min(limit, whole) if isinstance(limit, int) else int(limit * whole)


def is_final(trainer: pl.Trainer) -> bool:
    """Whether no epoch follows, as far as is known now: a callback may still stop the training.

    Asked at the end of a pass; the limits are those by which Lightning ends its loop.
    """
    passes = _reached(finished_epochs(trainer), trainer.max_epochs)
    # After a SIGTERM Lightning leaves its loop at the end of the pass.
    told = _stops(trainer) or trainer.received_sigterm
    return passes or _steps_are_done(trainer) or told


def _ends_pass(trainer: pl.Trainer) -> bool:
    progress = trainer.fit_loop.epoch_loop.batch_progress
    read = progress.is_last_batch or progress.current.ready == trainer.num_training_batches
    return read or _steps_are_done(trainer) or _stops(trainer)


def _steps_are_done(trainer: pl.Trainer) -> bool:
    return _reached(trainer.global_step, trainer.max_steps)


def _stops(trainer: pl.Trainer) -> bool:
    """Somebody asked to stop, and the least that was wanted is done."""
    passes = getattr(trainer.fit_loop.epoch_progress.current, "processed")  # noqa: B009 (untyped)
    least = passes >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    return trainer.should_stop and least


def _reached(count: int, limit: int | None) -> bool:
    """-1 and ``None`` are no limit."""
    return limit is not None and limit != -1 and count >= limit
