"""Anybody's module that tells its Dice: beside the weights that it validated, and no others."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from segtrace import FlowCallback
from segtrace.report.tables import read_table
from segtrace.tracking.explained import Settings
from segtrace.training.validated import _numbers
from training.callbacks.test_watch import FOLDS
from training.slices.test_validation_batches import Net

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*no logger that shows.*",
)


class Telling(Net):
    """Tells a Dice that names the weights it is of: their number of validations."""

    def __init__(self):
        super().__init__()
        self.organ_dice = {}
        self.validations = 0

    def on_validation_epoch_end(self):
        self.validations += 1
        self.organ_dice = {"box": self.validations / 10}


class Average(pl.Callback):
    """Puts other weights in place for validation, and takes them away."""

    def on_validation_epoch_start(self, trainer, pl_module):
        self.own = pl_module.net[0].weight.detach().clone()
        pl_module.net[0].weight.data /= 2

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.net[0].weight.data.copy_(self.own)


def dice(folder, *callbacks, validate=False, own=True, training=FOLDS[1], **options):
    """Epoch -> Dice in the table."""
    flow = FlowCallback(stages={"enc1": "1", "head": "2"}, folder=str(folder),
                        settings=Settings(["grad_pam"]))  # fmt: skip
    options = {"max_epochs": 2, "num_sanity_val_steps": 0} | options
    trainer = pl.Trainer(callbacks=[flow, *callbacks], logger=False, accelerator="cpu",
                         default_root_dir=folder, enable_progress_bar=False,
                         enable_model_summary=False, enable_checkpointing=False,
                         **options)  # fmt: skip
    module = Telling()
    if not own:
        del module.organ_dice
    if validate:
        trainer.validate(module, FOLDS[0], verbose=False)
    trainer.fit(module, training, FOLDS[0])
    rows = read_table(folder / "depth.csv")
    found = {int(row["epoch"]): float(row["dice"]) for row in rows}
    return {epoch: value for epoch, value in found.items() if not math.isnan(value)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {1: 0.1, 2: 0.2}),
        ({"validate": True}, {0: 0.1, 1: 0.2, 2: 0.3}),
        ({"num_sanity_val_steps": 1}, {1: 0.2, 2: 0.3}),  # two slices are no validation
        ({"validate": True, "num_sanity_val_steps": 1}, {1: 0.3, 2: 0.4}),
        ({"num_sanity_val_steps": -1}, {0: 0.1, 1: 0.2, 2: 0.3}),
        ({"check_val_every_n_epoch": 2}, {2: 0.1}),
        ({"limit_train_batches": 2, "val_check_interval": 1, "max_epochs": 1}, {1: 0.2}),
    ],
)
def test_the_dice_that_a_module_tells_stands_beside_its_own_weights(tmp_path, options, expected):
    assert dice(tmp_path, **options) == pytest.approx(expected)


def test_weights_that_a_callback_put_in_place_to_be_validated_are_other_weights(tmp_path):
    assert dice(tmp_path, Average(), max_epochs=1) == {}


def test_steps_that_follow_a_validation_leave_no_dice(tmp_path):
    longer = DataLoader(FOLDS[1].dataset, batch_size=1)  # four batches, validated after the third
    assert dice(tmp_path, training=longer, max_epochs=1, val_check_interval=0.75) == {}


@pytest.mark.parametrize("told", [None, {}, {"box": None}, {"box": math.nan}])
def test_a_module_that_does_not_know_its_dice_has_none(tmp_path, told, monkeypatch):
    monkeypatch.setattr(Telling, "on_validation_epoch_end", lambda self: None)
    monkeypatch.setattr(Telling, "organ_dice", told, raising=False)
    assert dice(tmp_path, max_epochs=1, own=False) == {}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (lambda: {"box": 0.5}, r"Telling.organ_dice is <function .*, so its Dice is not known"),
        (0.5, r"Telling.organ_dice is 0.5, so"),
        ([0.5], r"Telling.organ_dice is \[0.5\], so"),
        ({"box": "high"}, r"Telling.organ_dice\['box'\] is 'high', so"),
        ({"box": torch.ones(2)}, r"Telling.organ_dice\['box'\] is a Tensor of shape \(2,\)"),
    ],
)
def test_what_tells_no_dice_is_one_line_and_ends_no_training(told, words):
    with pytest.warns(UserWarning, match=words) as found:
        assert _numbers("Telling", told) == {}
    assert len(found) == 1


def test_dice_of_any_kind_of_number_is_taken():
    told = {"box": torch.tensor(0.5), "disc": np.float32(0.25), "ring": 1}
    assert _numbers("Telling", told) == {"box": 0.5, "disc": 0.25, "ring": 1.0}
