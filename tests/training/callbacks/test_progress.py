"""What is said while a training runs."""

from types import SimpleNamespace

import pytest
import torch

from segtrace.training.callbacks import progress
from segtrace.training.callbacks.progress import EpochBar


@pytest.mark.parametrize(
    ("epochs", "words", "left"),
    [(10, "Epoch 3 of 10", 70.0), (3, "Epoch 3 of 3", None), (-1, "Epoch 3", None)],
)
def test_an_epoch_is_counted_from_one_and_no_limit_is_made_up(epochs, words, left, monkeypatch):
    told, now, finished = [], [0.0], [0]
    monkeypatch.setattr(progress, "say", lambda words, left=None: told.append((words, left)))
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "finished_epochs", lambda _trainer: finished[0])
    found = {"train/loss": torch.tensor(0.5), "val/dice/mean": torch.tensor(0.25)}
    trainer = SimpleNamespace(
        max_epochs=epochs, max_steps=-1, num_training_batches=5, current_epoch=2,
        callback_metrics=found,
    )  # fmt: skip
    bar = EpochBar()
    bar.on_train_start(trainer)
    now[0] = 500.0  # the untrained network is explained and cut: no pass takes that long
    bar.on_train_epoch_start(trainer)
    now[0], finished[0] = 530.0, 3
    bar.on_train_epoch_end(trainer)
    assert told == []  # its checkpoint is not written yet
    trainer.callback_metrics = {}
    bar.on_train_epoch_start(trainer)
    assert told == [(f"{words}: loss 0.500, Dice 0.250", left)]
    bar.on_train_epoch_end(trainer)
    bar.on_train_end(trainer)
    bar.on_train_end(trainer)
    assert told[1:] == [(words, left)]
