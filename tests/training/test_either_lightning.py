"""Lightning under both of its names, installed side by side: each alone, and mixed."""

import lightning.pytorch
import pytest
import pytorch_lightning
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from segtrace import FlowCallback
from segtrace.cli.schema import check
from segtrace.report.tables import read_table
from segtrace.tracking.explained import Settings
from segtrace.training import either_lightning

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)
NAMES = [pytorch_lightning, lightning.pytorch]


def loader(shuffle):
    label = torch.zeros(6, 16, 16, dtype=torch.long)
    label[1:, 2:7, 2:7] = 1
    image = label[:, None] / 2 + torch.randn(6, 1, 16, 16, generator=torch.Generator())
    return DataLoader(TensorDataset(image, label), batch_size=2, shuffle=shuffle)


def module(name):
    """A module of a project that imports everything from the one package."""

    class Theirs(name.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)
            )

        def training_step(self, batch, batch_idx):
            image, label = batch
            return nn.functional.cross_entropy(self.net(image), label)

        def validation_step(self, batch, batch_idx):
            self.log("loss", self.training_step(batch, batch_idx))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    return Theirs()


def watch(**options):
    return FlowCallback(stages={"enc1": "2", "head": "3"}, organs={"box": 1},
                        settings=Settings(["grad_pam"]), **options)  # fmt: skip


def fit(name, folder, callbacks, logger=None, **options):
    logger = logger or name.loggers.TensorBoardLogger(folder, name="", version="tb")
    options = {"max_epochs": 2, "enable_checkpointing": False} | options
    trainer = name.Trainer(callbacks=callbacks, logger=logger, default_root_dir=folder,
                           accelerator="cpu", enable_progress_bar=False, log_every_n_steps=1,
                           enable_model_summary=False, **options)  # fmt: skip
    made = module(name)
    torch.manual_seed(1)
    trainer.fit(made, loader(shuffle=True), loader(shuffle=False))
    return trainer, made


def pictures(folder):
    events = EventAccumulator(str(folder / "tb")).Reload()
    return [event.step for event in events.Images("2_flow/2_grad_pam/box")]


@pytest.mark.parametrize("name", NAMES)
def test_a_trainer_takes_it_alone_and_finds_its_logger(name, tmp_path):
    callback = watch(draw_every={"grad_pam": 1})
    assert isinstance(callback, name.Callback)
    _, made = fit(name, tmp_path / "with", callback)  # not in a list
    _, other = fit(name, tmp_path / "without", [])
    for key, value in made.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])
    assert pictures(tmp_path / "with") == [0, 1, 2]
    assert (tmp_path / "with" / "tb" / "flow" / "epoch_002").is_dir()


def test_both_leave_the_same_files(tmp_path):
    folders = [tmp_path / str(i) for i in range(2)]
    for name, folder in zip(NAMES, folders, strict=True):
        fit(name, folder, [watch()])
    found = [sorted(p for p in (f / "tb" / "flow").rglob("*") if p.is_file()) for f in folders]
    for one, other in zip(*found, strict=True):
        assert one.relative_to(folders[0]) == other.relative_to(folders[1])
        assert one.read_bytes() == other.read_bytes()
    assert len(found[0]) > 8


def scores(net, probes):
    with torch.no_grad():
        return (net.eval()(probes.images)[:, 1] * (probes.labels == 1)).sum((1, 2))


@pytest.mark.parametrize(("name", "other"), [NAMES, NAMES[::-1]])
def test_averages_are_explained_and_a_logger_of_the_other_name_is_written_to(name, other, tmp_path):
    averaging = name.callbacks.WeightAveraging(avg_fn=lambda average, current, n: average * 0.5)
    callback = watch()
    logger = other.loggers.TensorBoardLogger(tmp_path, name="", version="tb")
    fit(name, tmp_path, [averaging, callback], logger=logger, max_epochs=1)
    expected = scores(averaging._average_model.module.net, callback.probes)
    torch.testing.assert_close(callback.explained.record.flow.scores[0], expected)
    assert pictures(tmp_path) == [0, 1]
    assert (tmp_path / "tb" / "flow" / "measures.csv").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_stochastic_averages_are_explained_once_they_are_the_networks_own(name, tmp_path):
    averaging = name.callbacks.StochasticWeightAveraging(1e-2, swa_epoch_start=1)
    callback = watch()
    _, made = fit(name, tmp_path, [callback, averaging], max_epochs=2)
    assert callback.explained.record.epoch == 3  # one more pass, for the statistics
    expected = scores(made.net, callback.probes)
    torch.testing.assert_close(callback.explained.record.flow.scores[0], expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_is_known_and_a_resumed_run_goes_on(name, tmp_path):
    stop = name.callbacks.EarlyStopping("loss", patience=1, min_delta=99)
    callback = watch(every_n_epochs=9, folder=str(tmp_path / "flow"))
    trainer, _ = fit(name, tmp_path, [callback, stop], max_epochs=9)
    rows = read_table(tmp_path / "flow" / "measures.csv")
    assert {row["epoch"] for row in rows} == {"0", "2"}
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = watch(folder=str(tmp_path / "flow"))
    other = name.Trainer(max_epochs=3, callbacks=[again], accelerator="cpu", devices=1,
                         enable_progress_bar=False, enable_model_summary=False,
                         enable_checkpointing=False, log_every_n_steps=1,
                         logger=name.loggers.TensorBoardLogger(tmp_path))  # fmt: skip
    with pytest.warns(UserWarning, match="EarlyStopping"):  # it is not given again
        other.fit(module(name), loader(True), loader(False), ckpt_path=tmp_path / "last.ckpt")
    rows = read_table(tmp_path / "flow" / "measures.csv")
    assert [row["epoch"] for row in rows[:: len(rows) // 3]] == ["0", "2", "3"]


@pytest.mark.parametrize("name", NAMES)
def test_without_tensorboard_it_warns_and_takes_the_loggers_folder(name, tmp_path):
    logger = name.loggers.CSVLogger(tmp_path, name="", version="csv")
    with pytest.warns(UserWarning, match="found no logger that shows pictures: .*csv/flow alone"):
        fit(name, tmp_path, [watch()], logger=logger, max_epochs=1)
    assert (tmp_path / "csv" / "flow" / "measures.csv").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_run_without_loggers_ends_well(name, tmp_path):
    with pytest.warns(UserWarning, match="found no logger that shows"):
        fit(name, tmp_path, [watch()], fast_dev_run=True)
    assert (tmp_path / "flow" / "measures.csv").is_file()


def test_one_that_is_not_there_or_broken_is_no_matter(monkeypatch):
    for find, load in (
        (lambda name: None, None),
        (lambda name: True, lambda name: exec("raise RuntimeError(name)")),
    ):
        monkeypatch.setattr(either_lightning, "find_spec", find)
        monkeypatch.setattr(either_lightning, "import_module", load)
        assert either_lightning._callback() is pytorch_lightning.Callback


def test_options_of_either_are_checked_in_a_configuration():
    node = {"_target_": "lightning.pytorch.callbacks.EMAWeightAveraging", "dekay": 0.9}
    with pytest.raises(ValueError, match=r"no option 'callbacks.ema.dekay'.*did you mean .*decay"):
        check({"callbacks": {"ema": node}}, ["callbacks"])
