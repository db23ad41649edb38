"""Baselines: collected without a mark on the training, carried by every checkpoint."""

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from cli.train.test_run import assert_same_weights, fit, plan_of
from segtrace import InputError
from segtrace.causal.baselines import Baselines, collect
from segtrace.causal.batches import SLICES
from segtrace.checkpoint.loading import load
from segtrace.cli.train import run as steps
from segtrace.cli.train.train_config import TrainConfig, plainly
from segtrace.network.sites import sites_of
from segtrace.training.callbacks.baselines import KeepBaselines

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*smaller than the logging interval.*",
)
QUIET = ("callbacks.flow=null", "trainer.max_epochs=2")


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_checkpoint_holds_the_means_of_its_own_weights(run, epoch):
    loaded = load(run.checkpoint(epoch))
    described = loaded.description
    plan = plan_of_run(run)
    images = steps.data(plan).sample(64)
    places = sites_of(loaded.net, described["stages"], described["edges"])
    again = collect(loaded.net, places, [images], batch=SLICES)
    kept = Baselines.from_plain(described["baselines"])
    assert set(kept.channels) == {*described["stages"], *described["edges"]}
    assert {"enc1", "dec4", "head", "skip_1", "up_4"} <= set(kept.channels)
    assert kept.count == len(images) == 16
    assert kept.maps == {}
    for name, mean in again.channels.items():
        assert torch.equal(kept.channels[name], mean.float()), name
        assert torch.equal(kept.spread[name], again.spread[name].float()), name


def plan_of_run(run):
    config = plainly(OmegaConf.load(run.folder / "config.yaml"))
    config["data"]["cache_dir"] = str(run.folder.parent / "cache")
    return TrainConfig(config, run.folder)


def test_last_ckpt_holds_them_too(run):
    saved = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)
    slim = torch.load(run.checkpoint(2), weights_only=True)
    for name, mean in slim["segtrace"]["baselines"]["channels"].items():
        assert torch.equal(saved["segtrace"]["baselines"]["channels"][name], mean)


def test_final_weights_are_bit_identical_with_and_without_them(tiny_raw, tmp_path):
    with_them = fit(plan_of(tmp_path / "with", tiny_raw, *QUIET))
    without = fit(plan_of(tmp_path / "without", tiny_raw, *QUIET, "callbacks.baselines=null"))
    assert with_them.baselines is not None
    assert without.baselines is None
    assert_same_weights(with_them, without)


def test_every_second_epoch_is_epoch_zero_every_second_and_the_last(tiny_raw, tmp_path):
    plan = plan_of(tmp_path / "run", tiny_raw, "callbacks.flow=null", "trainer.max_epochs=3",
                   "callbacks.baselines.every_n_epochs=2")  # fmt: skip
    fit(plan)
    held = [
        load(tmp_path / "run" / "checkpoints" / f"epoch_{epoch:03d}.ckpt").description["baselines"]
        for epoch in range(4)
    ]
    assert [found is not None for found in held] == [True, False, True, True]


def test_averaged_weights_are_the_ones_whose_means_are_kept(tiny_raw, tmp_path):
    ema = "+callbacks.ema._target_=pytorch_lightning.callbacks.EMAWeightAveraging"
    plan = plan_of(tmp_path / "run", tiny_raw, "callbacks.flow=null", "trainer.max_epochs=1", ema)
    fit(plan)
    loaded = load(tmp_path / "run" / "checkpoints" / "epoch_001.ckpt")
    described = loaded.description
    places = sites_of(loaded.net, described["stages"], described["edges"])
    again = collect(loaded.net, places, [steps.data(plan).sample(64)], batch=SLICES)
    for name, mean in again.channels.items():
        assert torch.equal(described["baselines"]["channels"][name], mean.float()), name


def test_a_module_of_another_project_is_told_what_to_give():
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_model_summary=False,
                         accelerator="cpu")  # fmt: skip
    with pytest.raises(InputError, match=r"FlowCallback\(training_slices=…\)"):
        KeepBaselines()._collect(trainer, pl.LightningModule())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slices": 1}, r"callbacks.baselines.slices=1; give 2 or more"),
        ({"every_n_epochs": 0}, r"callbacks.baselines.every_n_epochs=0; give 1 or more"),
    ],
)
def test_too_few_slices_or_epochs_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        KeepBaselines(**options)
