"""What is said while a training runs."""

from types import SimpleNamespace

import pytest
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only

from segtrace.tracking.progress import say
from segtrace.training.callbacks.progress import EpochBar


@pytest.mark.parametrize(
    ("epochs", "words"), [(10, "Epoch  3/10"), (9, "Epoch 3/9"), (-1, "Epoch 3"), (None, "Epoch 3")]
)
def test_the_pass_under_way_is_counted_from_one_and_no_limit_is_made_up(epochs, words, monkeypatch):
    told = []
    shown = SimpleNamespace(set_description=told.append)
    monkeypatch.setattr(TQDMProgressBar, "on_train_epoch_start", lambda *_: None)
    monkeypatch.setattr(EpochBar, "train_progress_bar", shown)
    trainer = SimpleNamespace(max_epochs=epochs, current_epoch=2)
    EpochBar().on_train_epoch_start(trainer)
    assert told == [words]


@pytest.mark.parametrize(("rank", "out"), [(0, "once\n"), (1, "")])
def test_a_line_is_said_by_the_first_process_alone(rank, out, monkeypatch, capsys):
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    say("once")
    assert capsys.readouterr().out == out
