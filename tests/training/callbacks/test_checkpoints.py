"""The last epoch has its files, whatever ends the training, and they hold what it was spared."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping

from segtrace import InputError
from segtrace.cli.train.summary import score, summarise
from segtrace.cli.train.train_config import TrainConfig
from segtrace.report.tables import read_table
from segtrace.training.callbacks.baselines import KeepBaselines
from segtrace.training.callbacks.checkpoints import EpochCheckpoints
from segtrace.training.epochs import finished_epochs, planned_epochs
from training.test_module import Data, fingerprint, kept, module, of_file, truth, watching

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*no logger that shows.*",
)


class Baselines(KeepBaselines):
    """Notes when it would collect."""

    def __init__(self):
        super().__init__(every_n_epochs=99)
        self.collected = []

    def _collect(self, trainer, pl_module):
        self.collected.append(finished_epochs(trainer))
        empty = {"channels": {}, "spread": {}, "maps": {}, "count": 1}
        pl_module.baselines = {"of": fingerprint(pl_module.net)} | empty


class StopsLast(Checkpoint):
    """Ends the training when all others have had their turn."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = True


def early():
    return EarlyStopping("val/dice/mean", mode="min", patience=1, min_delta=9, verbose=False)


def train(folder, *callbacks, **options):
    checkpoints = EpochCheckpoints(str(folder / "checkpoints"), every_n_epochs=99)
    last = [callback for callback in callbacks if isinstance(callback, Checkpoint)]
    others = [callback for callback in callbacks if callback not in last]
    trainer = pl.Trainer(
        callbacks=[*others, checkpoints, *last], logger=False, accelerator="cpu",
        **{"max_epochs": 9, "default_root_dir": folder, "enable_progress_bar": False,
           "enable_model_summary": False, "num_sanity_val_steps": 0} | options,
    )  # fmt: skip
    made = module()
    trainer.fit(made, Data())
    return trainer, made


def files(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("callbacks", "options", "last"),
    [
        ([early], {}, 2),
        ([], {"max_epochs": None, "max_steps": 9}, 3),
        ([], {"max_epochs": 2}, 2),
        ([early], {"min_epochs": 3}, 3),
    ],
)
def test_first_and_last_are_kept_with_all_that_belongs_to_them(tmp_path, callbacks, options, last):
    baselines, flow = Baselines(), watching(tmp_path, every_n_epochs=99)
    _, made = train(tmp_path, baselines, flow, *(make() for make in callbacks), **options)
    assert files(tmp_path) == ["epoch_000.ckpt", f"epoch_{last:03d}.ckpt", "last.ckpt",
                               "previous.ckpt"]  # fmt: skip
    assert baselines.collected == [0, last]
    full = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    for saved in (kept(tmp_path / "checkpoints", last), full):
        assert saved["segtrace"]["epoch"] == last
        assert saved["segtrace"]["baselines"]["of"] == fingerprint(of_file(saved))
        assert fingerprint(made.net) == fingerprint(of_file(saved))
    assert full["callbacks"]["FlowCallback"]["history"]["epochs"] == [0, last]


def test_an_end_that_nobody_could_foresee_leaves_its_file_too(tmp_path):
    _, made = train(tmp_path, StopsLast())
    assert files(tmp_path) == ["epoch_000.ckpt", "epoch_001.ckpt", "last.ckpt"]
    assert fingerprint(of_file(kept(tmp_path / "checkpoints", 1))) == fingerprint(made.net)


def summary(folder, trainer, made, capsys):
    plan = TrainConfig({"test": False}, folder)
    score(plan, Data(), made, trainer)
    summarise(plan, made, trainer)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 1},
        {"max_epochs": None, "max_steps": 6},
        {"max_epochs": 1, "val_check_interval": 0.75},
        {"max_epochs": 3, "check_val_every_n_epoch": 2},
    ],
)
def test_the_summary_is_of_the_weights_that_the_training_has_left(tmp_path, options, capsys):
    trainer, made = train(tmp_path, **options)
    told = summary(tmp_path, trainer, made, capsys)
    expected = truth(made.net)
    for organ, dice in expected.items():
        assert f"  {organ:<6}  {dice:.3f}" in told
    named = told.split("checkpoint=")[1].split()[0]
    saved = torch.load(named, weights_only=True)
    assert fingerprint(of_file(saved)) == fingerprint(made.net)
    rows = read_table(tmp_path / "dice.csv")
    box = [float(row["dice"]) for row in rows if row["organ"] == "box"]
    assert sum(box) / len(box) == pytest.approx(expected["box"])


def test_the_summary_names_no_file_and_no_dice_that_are_not_there(tmp_path, capsys):
    trainer, made = train(tmp_path, max_epochs=1, limit_val_batches=0)
    (tmp_path / "checkpoints" / "epoch_001.ckpt").unlink()
    told = summary(tmp_path, trainer, made, capsys)
    assert f"Run        {tmp_path}" in told
    assert "Dice" not in told
    assert "checkpoint=" not in told
    assert not (tmp_path / "dice.csv").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_epochs": 7}, 7),
        ({"max_epochs": 0}, 0),
        ({"max_steps": 9}, 3),
        ({"max_steps": 9, "max_epochs": 2}, 2),
        ({"max_steps": 9, "max_epochs": 7}, 3),
        ({"max_steps": 8, "max_epochs": -1}, 2),
        ({"max_steps": 4, "accumulate_grad_batches": 3}, 2),
        ({"max_epochs": -1}, None),
        ({"max_time": "00:00:01:00"}, None),
    ],
)
def test_how_many_epochs_there_may_be_is_known_as_far_as_it_can_be(options, expected):
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_checkpointing=False,
                         enable_model_summary=False, enable_progress_bar=False,
                         **options)  # fmt: skip
    assert planned_epochs(trainer, len(Data().train_dataloader())) == expected


def test_a_training_that_begins_leaves_the_checkpoints_of_another_alone(tmp_path):
    trainer, made = train(tmp_path, max_epochs=1)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(made, Data())  # the same one, a little longer
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    with pytest.raises(InputError, match=r"holds checkpoints of another run \(last.ckpt\)"):
        train(tmp_path, max_epochs=1)
    assert before == {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
