"""A run from its configuration: with and without the callback, killed and resumed."""

import errno
import io
import re
import shutil
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from pytorch_lightning.callbacks import Checkpoint
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from helpers.scripts import ROOT, SMALL_NET, tiny_data
from segtrace import InputError
from segtrace.checkpoint import loading
from segtrace.checkpoint.loading import build, load, read
from segtrace.cli import endings
from segtrace.cli.endings import told
from segtrace.cli.entry import opened
from segtrace.cli.schema import check
from segtrace.cli.train import run
from segtrace.cli.train.announcement import announce
from segtrace.cli.train.letter import Letter
from segtrace.cli.train.network import recipe_of
from segtrace.cli.train.resume.broken_off import left_in
from segtrace.cli.train.resume.full_state import Expected
from segtrace.cli.train.summary import score
from segtrace.cli.train.train_config import TrainConfig, plainly
from segtrace.data.datamodule import CaseDataModule
from segtrace.report.files import save_text
from segtrace.report.tensorboard import (
    LEARNING_RATE_TAG,
    NECESSITY_TAG,
    events_tag,
    flow_tag,
    timeline_tag,
)
from segtrace.training.construction import construct

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*smaller than the logging interval.*",
    "ignore:.*Checkpoint directory .* exists and is not empty.*",
)


def plan_of(
    folder: Path, root: Path, *overrides: str, net: Sequence[str] = SMALL_NET
) -> TrainConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose(
            "train",
            [
                opened(override)
                for override in (
                    *tiny_data(root),
                    *net,
                    f"callbacks.flow.folder={folder}/flow",
                    f"callbacks.checkpoints.folder={folder}/checkpoints",
                    f"logger.tensorboard.save_dir={folder}",
                    f"data.cache_dir={folder.parent}/cache",
                    *overrides,
                )
            ],
        )
    folder.mkdir(exist_ok=True)
    return TrainConfig(plainly(config), folder)


class Killed(RuntimeError):
    pass


class KillAfter(pl.Callback):
    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epochs and batch_idx == 1:
            raise Killed


class StopWithin(pl.Callback):
    """Presses Ctrl-C in the middle of a pass."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epoch and batch_idx == 1:
            raise KeyboardInterrupt


class StopBehind(Checkpoint):
    """Presses Ctrl-C at the end of a pass, when its checkpoint is written."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


def made(plan: TrainConfig):
    """Data, probes and module, as train.py makes them."""
    data = run.data(plan)
    pl.seed_everything(plan.seed, verbose=False)
    net = run.network(plan, data)
    probes = run.prepare(plan, data)
    return data, probes, run.module(plan, data, probes, net)


def fit(plan: TrainConfig, kill: int | None = None, stop: pl.Callback | None = None):
    data, probes, module = made(plan)
    trainer = run.trainer(plan, module, probes)
    run.take_up(plan, data, module, trainer)
    announce(plan, data, module, trainer)
    if kill is not None:
        trainer.callbacks.append(KillAfter(kill))
        with pytest.raises(Killed):
            trainer.fit(module, data)
        return module
    if stop is not None:
        trainer.callbacks.append(stop)
        before = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(SystemExit):
                trainer.fit(module, data, ckpt_path=plan.resume)
        finally:
            signal.signal(signal.SIGINT, before)
        return module
    trainer.fit(module, data, ckpt_path=plan.resume)
    score(plan, data, module, trainer)
    return module


def going_on(plan: TrainConfig) -> TrainConfig:
    """The plan, to go on from what was left."""
    return replace(plan, left=left_in(plan.folder / "checkpoints"))


def points(folder: Path) -> Counter:
    """(tag, step) -> how often it stands in the log."""
    found = Counter()
    for path in (folder / "tensorboard").glob("events*"):
        for event in LegacyEventFileLoader(str(path)).Load():
            found.update((value.tag, event.step) for value in event.summary.value)
    return found


def assert_same_weights(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert different == []


def assert_same_files(one: Path, other: Path):
    """Timelines, events and tables too: no epoch twice, none missing, each beside epoch 0."""
    names = [
        sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        for folder in (one, other)
    ]
    assert names[0] == names[1]
    tables = ("timeline", "leakage", "emergence", "necessity", "route")
    assert {Path(f"{name}.csv") for name in tables} <= set(names[0])
    for name in names[0]:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


ACCUMULATE = ("trainer.accumulate_grad_batches=2", "data.steps_per_epoch=4")


def test_final_weights_are_bit_identical_with_and_without_the_callback(tiny_raw, tmp_path):
    """Dropout, shuffling, augmentation and accumulation over two batches are all at work."""
    epochs = "trainer.max_epochs=2"
    with_it = fit(plan_of(tmp_path / "with", tiny_raw, epochs, *ACCUMULATE))
    without = fit(
        plan_of(tmp_path / "without", tiny_raw, epochs, "callbacks.flow=null", *ACCUMULATE)
    )
    assert (tmp_path / "with" / "flow" / "measures.csv").is_file()
    assert not (tmp_path / "without" / "flow").exists()
    assert_same_weights(with_it, without)


@pytest.mark.long
def test_a_killed_run_that_resumes_ends_with_the_weights_of_an_uninterrupted_one(
    tiny_raw, tmp_path
):
    often = ("callbacks.flow.draw_every.charts=2", "callbacks.flow.cut_every=2")
    logged = ("trainer.log_every_n_steps=1",)
    options = ("trainer.max_epochs=3", *often, *logged, *ACCUMULATE)
    whole = fit(plan_of(tmp_path / "whole", tiny_raw, *options))
    broken = plan_of(tmp_path / "broken", tiny_raw, *options)
    fit(broken, kill=2)  # in the middle of the third pass
    assert (LEARNING_RATE_TAG, 4) in points(tmp_path / "broken")  # of the pass that is lost
    resumed = fit(going_on(broken))
    assert_same_weights(whole, resumed)
    for folder in ("whole", "broken"):
        found = sorted(path.name for path in (tmp_path / folder / "checkpoints").iterdir())
        assert found == [*(f"epoch_{epoch:03d}.ckpt" for epoch in range(4)), "last.ckpt",
                         "previous.ckpt"]  # fmt: skip
    assert_same_files(tmp_path / "whole" / "flow", tmp_path / "broken" / "flow")
    assert points(tmp_path / "whole") == points(tmp_path / "broken")


def left_in_all(folder: Path) -> list[Path]:
    """All files, but for those of the log, which are as many as there were beginnings."""
    return sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "tensorboard"
    )


@pytest.mark.long
def test_what_a_stop_has_drawn_is_gone_where_the_run_goes_on_and_stays_where_it_does_not(
    tiny_raw, tmp_path
):
    """Stopped behind the last checkpoint of a pass, and again in the middle of the next one."""
    options = (
        "explain.rules=[grad_pam]", "explain.organs=[liver]", "callbacks.flow.cut_every=9",
        "probes.n=2", "data.steps_per_epoch=3",
    )  # fmt: skip
    three = "trainer.max_epochs=3"
    fit(plan_of(tmp_path / "whole", tiny_raw, *options, three))
    expected, files = points(tmp_path / "whole"), left_in_all(tmp_path / "whole")
    spared = [flow_tag("grad_pam", "liver"), timeline_tag("gain", "grad_pam", "liver"),
              events_tag("grad_pam"), NECESSITY_TAG]  # fmt: skip
    assert [expected[tag, 3] for tag in spared] == [1] * len(spared)
    assert [expected[tag, epoch] for tag in spared for epoch in (1, 2)] == [0] * 2 * len(spared)

    broken = plan_of(tmp_path / "broken", tiny_raw, *options, three)
    fit(broken, stop=StopBehind(0))
    assert [points(broken.folder)[tag, 1] for tag in spared] == [1] * len(spared)
    fit(going_on(broken), stop=StopWithin(2))
    stopped, pictures = points(broken.folder), left_in_all(broken.folder)
    assert [stopped[tag, 1] for tag in spared] == [0] * len(spared)
    assert [stopped[tag, 2] for tag in spared] == [1] * len(spared)
    assert Path("flow/epoch_002/grad_pam/liver.png") in pictures

    two = plan_of(broken.folder, tiny_raw, *options, "trainer.max_epochs=2")
    fit(going_on(two))  # nothing is trained: that was the end
    assert points(broken.folder) == stopped
    assert left_in_all(broken.folder) == pictures

    fit(going_on(broken))
    assert points(broken.folder) == expected
    assert left_in_all(broken.folder) == files
    assert_same_files(tmp_path / "whole" / "flow", broken.folder / "flow")


@pytest.mark.long
def test_a_killed_run_with_two_that_explain_goes_on_with_both_wherever_it_lies(tiny_raw, tmp_path):
    def plan(name):
        return plan_of(
            tmp_path / name, tiny_raw, *options, f"+callbacks.second.folder={tmp_path / name}/more",
            "+callbacks.second._target_=segtrace.training.callbacks.flow.FlowCallback",
        )  # fmt: skip

    options = (
        "explain.rules=[grad_pam]", "explain.organs=[liver]", "callbacks.flow.cut_every=9",
        "+callbacks.second.cut_every=9",
        "probes.n=1", "data.steps_per_epoch=3", "trainer.max_epochs=3",
    )  # fmt: skip
    fit(plan("whole"))
    fit(plan("broken"), kill=2)
    (tmp_path / "broken").rename(tmp_path / "moved")
    moved = plan("moved")
    left = left_in(moved.folder / "checkpoints", expected=Expected.of(moved.config))
    assert left.epoch == 2
    assert left.reached
    with pytest.raises(InputError, match=r"\(callbacks.FlowCallback: 2 instead of 3\)"):
        left_in(moved.folder / "checkpoints", expected=Expected(1, 3))
    fit(replace(moved, left=left))
    for name in ("flow", "more"):
        assert_same_files(tmp_path / "whole" / name, moved.folder / name)
    assert points(tmp_path / "whole") == points(moved.folder)


def test_loggers_that_do_not_know_which_run_goes_on_are_told_of(capsys):
    wandb = {"_target_": "pytorch_lightning.loggers.WandbLogger"}
    mlflow = {"_target_": "pytorch_lightning.loggers.MLFlowLogger", "run_id": None}
    table = {"_target_": "pytorch_lightning.loggers.CSVLogger"}
    run._tell_other_runs({"w": wandb, "m": mlflow, "csv": table, "none": None}, 3)
    said = capsys.readouterr().out.strip().splitlines()
    assert len(said) == 2
    for name, line in zip("wm", said, strict=True):
        assert f"logger.{name} begins another run, with what follows epoch 3" in line
    run._tell_other_runs({"w": {**wandb, "id": "a"}, "m": {**mlflow, "run_id": "b"}}, 3)
    assert not capsys.readouterr().out


ADDED = "callbacks=[default,early_stopping,ema,best]"


@pytest.mark.long
def test_a_killed_run_with_ready_callbacks_ends_as_an_uninterrupted_one(tiny_raw, tmp_path):
    def plan(name):
        folder = tmp_path / name
        return plan_of(
            folder, tiny_raw, ADDED, f"callbacks.best.folder={folder}/checkpoints",
            "callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1",
            "callbacks.ema.decay=0.5", "callbacks.flow=null", "trainer.max_epochs=9",
        )  # fmt: skip

    whole = fit(plan("whole"))  # stopped after its second pass
    fit(plan("broken"), kill=1)
    resumed = fit(going_on(plan("broken")))
    assert_same_weights(whole, resumed)
    for folder in (tmp_path / "whole" / "checkpoints", tmp_path / "broken" / "checkpoints"):
        assert sorted(path.name for path in folder.iterdir()) == [
            "best.ckpt", "epoch_000.ckpt", "epoch_001.ckpt", "epoch_002.ckpt", "last.ckpt",
            "previous.ckpt",
        ]  # fmt: skip
    one, other = (
        load(tmp_path / name / "checkpoints" / "best.ckpt") for name in ("whole", "broken")
    )
    assert one.epoch == other.epoch
    assert_same_weights(one.net, other.net)
    full = read(tmp_path / "whole" / "checkpoints" / "last.ckpt")["callbacks"]
    assert full["BestCheckpoint"]["epoch"] == one.epoch


def test_a_run_that_early_stopping_ended_is_not_trained_on(tiny_raw, tmp_path, capsys):
    def plan():
        return plan_of(
            tmp_path / "run", tiny_raw, "callbacks=[default,early_stopping]", "callbacks.flow=null",
            "callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1",
            "trainer.max_epochs=9",
        )  # fmt: skip

    ended = fit(plan())
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert "epoch_002.ckpt" in kept
    assert "epoch_003.ckpt" not in kept
    capsys.readouterr()
    again = fit(going_on(plan()))
    said = capsys.readouterr().out
    assert "Early stopping ended the training after epoch 2: val/dice/mean did not imp" in said
    assert "in 1 validations. Nothing more is trained." in said
    assert_same_weights(ended, again)
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == kept


def test_a_logger_that_cannot_begin_is_one_line_before_the_training():
    pytest.importorskip("mlflow")
    logger = pl.loggers.MLFlowLogger(tracking_uri="http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"^MLFlowLogger cannot begin: .*; mend that, or say logg"):
        run._begin(logger)


@pytest.mark.parametrize(("every", "files"), [(1, 5), (3, 3), (10, 2)])
def test_the_disk_that_checkpoints_take_is_told_by_how_many_there_are(
    tiny_raw, tmp_path, capsys, every, files
):
    plan = plan_of(
        tmp_path / "run", tiny_raw, "trainer.max_epochs=4", "callbacks.flow=null",
        f"callbacks.checkpoints.every_n_epochs={every}",
    )  # fmt: skip
    fit(plan)
    (told,) = re.findall(r"checkpoints take about ([\d.]+) MiB", capsys.readouterr().out)
    folder = plan.folder / "checkpoints"
    slim = list(folder.glob("epoch_*.ckpt"))
    assert len(slim) == files
    taken = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    assert float(told) == pytest.approx(taken, rel=0.35, abs=0.2)


def test_a_run_that_had_finished_gets_its_end_made_up(tiny_raw, tmp_path):
    little = ("explain.rules=[grad_pam]", "explain.organs=[liver]", "callbacks.flow.cut_every=null")
    plan = plan_of(tmp_path / "run", tiny_raw, "trainer.max_epochs=2", *little)
    fit(plan)
    logged, made = points(plan.folder), plan.folder / "flow" / "emergence.csv"
    expected = made.read_bytes()
    made.unlink()  # as if it had been killed before
    module = fit(going_on(plan))
    assert made.read_bytes() == expected
    assert module.dice.table()[0]["case"] == "0027"
    assert points(plan.folder) == logged


def test_a_run_goes_on_for_longer_than_it_was_planned(tiny_raw, tmp_path, capsys):
    short = plan_of(tmp_path / "run", tiny_raw, "trainer.max_epochs=1", "callbacks.flow=null")
    fit(short)
    long = plan_of(tmp_path / "run", tiny_raw, "trainer.max_epochs=3", "callbacks.flow=null",
                   "trainer.log_every_n_steps=1")  # fmt: skip
    fit(going_on(long))
    assert "The schedule now has 9 steps instead of 3: the learning rate" in capsys.readouterr().out
    found = {step: value for step, value in learning_rates(tmp_path / "run").items() if step >= 3}
    whole = plan_of(tmp_path / "whole", tiny_raw, "trainer.max_epochs=3", "callbacks.flow=null",
                    "trainer.log_every_n_steps=1")  # fmt: skip
    fit(whole)
    expected = {s: v for s, v in learning_rates(tmp_path / "whole").items() if s >= 3}
    assert found == pytest.approx(expected)
    assert len(found) == 6


def learning_rates(folder: Path) -> dict[int, float]:
    accumulator = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {event.step: event.value for event in accumulator.Scalars(LEARNING_RATE_TAG)}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.net.features=[8,8,16,16,32,16]", r"config.yaml says model.net.features\[5\]=16"),
        ("seed=1", "config.yaml says data.seed=1, and last.ckpt was trained with 0"),
        ("data.root={other}", "was trained with other data: train case 0005 has other files now"),
    ],
)
def test_a_run_that_is_not_the_same_does_not_go_on(tiny_raw, tmp_path, override, message):
    options = ("trainer.max_epochs=1", "callbacks.flow=null")
    fit(plan_of(tmp_path / "run", tiny_raw, *options))
    other = shutil.copytree(tiny_raw, tmp_path / "other")
    image, label = (other / part / f"{part}0005.nii.gz" for part in ("img", "label"))
    theirs = nibabel.load(other / "img" / "img0027.nii.gz")
    nibabel.Nifti1Image(theirs.get_fdata() + 1, theirs.affine).to_filename(image)
    shutil.copy(other / "label" / "label0027.nii.gz", label)
    changed = plan_of(tmp_path / "run", tiny_raw, *options, override.format(other=other))
    before = points(tmp_path / "run")
    with pytest.raises(InputError, match=message) as caught:
        fit(going_on(changed))
    assert "\n" not in str(caught.value)
    assert points(tmp_path / "run") == before


class Quota:
    """From so many bytes on, no file below a folder can be written to."""

    def __init__(self, folder: Path, left: int) -> None:
        self.folder, self.left, self.open = str(folder), left, io.open

    def __call__(self, file, mode="r", *args, **kwargs):
        opened = self.open(file, mode, *args, **kwargs)
        if str(file).startswith(self.folder) and set(mode) & set("wax+"):
            write = opened.write
            opened = SimpleFile(opened, lambda data: self.spend(data, write))
        return opened

    def spend(self, data, write):
        self.left -= len(data)
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(data)


class SimpleFile:
    def __init__(self, file, write):
        self.file, self.write = file, write

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        self.file.__enter__()
        return self

    def __exit__(self, *error):
        return self.file.__exit__(*error)

    def __iter__(self):
        return iter(self.file)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("room", [0, 100, 10_000, 300_000, 600_000, 1_200_000, 1_500_000])
def test_a_disk_that_gets_full_leaves_whole_files_and_says_how_to_go_on(
    tiny_raw, tmp_path, monkeypatch, room
):
    """Wherever it happens: in the log, a slim checkpoint, a full one, the second full one."""
    plan = plan_of(tmp_path / "run", tiny_raw, "trainer.max_epochs=2", "callbacks.flow=null")
    save_text(plan.folder / "config.yaml", "callbacks: {}")
    monkeypatch.setattr(endings, "_folder", lambda: plan.folder)
    with monkeypatch.context() as patched:
        patched.setattr("io.open", Quota(plan.folder, room))
        with pytest.raises(InputError, match="No space left on device") as caught, told():
            fit(plan)
    assert "\n" not in str(caught.value)
    kept = plan.folder / "checkpoints"
    for path in kept.glob("*"):
        read(path)
    left = left_in(kept)
    words = "no epoch was finished" if left is None else f"is whole up to epoch {left.epoch}; "
    assert words in str(caught.value)
    assert str(caught.value).endswith(f"resume={plan.folder}")
    assert not list(plan.folder.rglob(".*"))


def test_a_network_of_other_weights_does_not_go_on(tiny_raw, tmp_path):
    """As its code may have changed, with the same options."""
    options = ("trainer.max_epochs=1", "callbacks.flow=null")
    plan = plan_of(tmp_path / "run", tiny_raw, *options)
    fit(plan)
    left = left_in(plan.folder / "checkpoints")
    other = replace(left, shapes={**left.shapes, "net.more": (2,)})
    with pytest.raises(
        InputError, match=r"is of another network \(1 weights differ, as net.more\)"
    ):
        fit(replace(plan, left=other))


def test_another_seed_gives_other_weights(tiny_raw, tmp_path):
    one = fit(plan_of(tmp_path / "a", tiny_raw, "trainer.max_epochs=1", "callbacks.flow=null"))
    other = fit(
        plan_of(tmp_path / "b", tiny_raw, "trainer.max_epochs=1", "callbacks.flow=null", "seed=1")
    )
    assert not torch.equal(one.net.final_conv.weight, other.net.final_conv.weight)


@pytest.mark.long
def test_averaged_weights_are_what_both_kinds_of_checkpoint_hold(tiny_raw, tmp_path):
    plan = plan_of(
        tmp_path / "ema",
        tiny_raw,
        "trainer.max_epochs=1",
        "+callbacks.ema._target_=pytorch_lightning.callbacks.EMAWeightAveraging",
    )
    fit(plan)
    folder = tmp_path / "ema" / "checkpoints"
    slim = torch.load(folder / "epoch_001.ckpt", weights_only=True)["state_dict"]
    full = torch.load(folder / "last.ckpt", weights_only=True)
    assert all(torch.equal(slim[name], full["state_dict"][name]) for name in slim)
    assert any(not torch.equal(slim[name], full["current_model_state"][name]) for name in slim)


def test_the_untrained_checkpoint_is_the_network_as_it_was_made(tiny_raw, tmp_path):
    plan = plan_of(tmp_path / "run", tiny_raw, "trainer.max_epochs=1", "callbacks.flow=null")
    fit(plan)
    pl.seed_everything(plan.seed, verbose=False)
    fresh = build(recipe_of(plan, run.data(plan)))
    loaded = load(tmp_path / "run" / "checkpoints" / "epoch_000.ckpt")
    assert loaded.epoch == 0
    assert_same_weights(loaded.net, fresh)


def test_probes_need_not_be_embedded(tiny_raw, tmp_path):
    plan = plan_of(
        tmp_path / "run", tiny_raw, "trainer.max_epochs=1", "callbacks.flow=null",
        "probes.embed=false",
    )  # fmt: skip
    fit(plan)
    probes = load(tmp_path / "run" / "checkpoints" / "epoch_001.ckpt").description["probes"]
    assert "images" not in probes
    assert "labels" not in probes
    assert probes["cases"] == ["0027"] * 3


def without_validation(*arguments):
    """The data of a split that keeps no case for the validation."""
    made = construct(*arguments)
    made.split = {**made.split, "val": []}
    return made


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("model.net.features=[8]", r"features=\[8\]: .*length 6"),
        ("model.net.norm=foo", "norm='foo'"),
        ("model.stages={enc1: nothing}", "stage 'enc1': no module 'nothing'"),
        ("explain.organs=[livr]", "no organ 'livr'; .*did you mean liver"),
        ("explain.stages=[enc99]", "no stage 'enc99'"),
        ("model.stages=[enc99]", "no stage 'enc99'"),
        ("model.edges={skip_1: {stage: dec9, module: conv_0}}", "'dec9'"),
        ("model.edges={skip_1: {stage: dec1, module: nothing}}", "'nothing'"),
        ("model.net.in_channels=0", "does not take slices .*say model.net.in_channels=1"),
        ("model.net.in_channels=3", "does not take slices of 64 x 64 .*model.net.in_channels=1"),
        ("model.net.spatial_dims=3", "does not take slices of 64 x 64 .*spatial_dims=2"),
        ("model.net.out_channels=4", "turns a slice .*say model.net.out_channels=null"),
        ("data.size=8", "does not take slices of 8 x 8.*multiple of 32"),
        ("data.patch=[32,32,16]", "not take volumes of 16 x 32 x 32 .*model.net.spatial_dims=3"),
        ("data.spacing=[4,4,4]", "does not take volumes .*say model.net.spatial_dims=3"),
    ],
)
def test_what_cannot_be_built_or_explained_is_refused_before_the_data(
    tiny_raw, tmp_path, typed, message, monkeypatch, recwarn
):
    monkeypatch.setattr(CaseDataModule, "gather", lambda *_: pytest.fail("data were prepared"))
    plan = plan_of(tmp_path / "run", tiny_raw, typed)
    with pytest.raises(InputError, match=f"^[^\n]*{message}[^\n]*$"):
        run.network(plan, run.data(plan))
    assert not recwarn.list  # as of weights without elements: the reason says it


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("model.net.spatial_dims=3", "not take slices of 64 x 64 .*spatial_dims=2"),
        ("data.patch=[32,32,32]", "not take volumes of 32 x 32 x 32 .*spatial_dims=3"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_a_phantom_is_generated(
    tiny_raw, tmp_path, typed, message
):
    plan = plan_of(tmp_path / "run", tiny_raw, typed)
    phantom = {"_target_": "segtrace.data.modules.PhantomData", "root": str(tmp_path / "phantom")}
    small = {"phantom_shape": [24, 24, 12], "phantom_cases": 2}
    plan = replace(
        plan, config={**plan.config, "data": {**plan.config["data"], **phantom, **small}}
    )
    with pytest.raises(InputError, match=f"^[^\n]*{message}[^\n]*$"):
        made(plan)
    assert not (tmp_path / "phantom").exists()


def test_the_network_is_built_once(tiny_raw, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(loading, "build", lambda *given: calls.append(1) or build(*given))
    made(plan_of(tmp_path / "run", tiny_raw))
    assert calls == [1]


@pytest.mark.parametrize("name", ["early_stopping", "best"])
@pytest.mark.parametrize("typed", [[], ["trainer.limit_val_batches=0"]])
def test_what_watches_cases_that_nobody_validates_is_refused_before_the_data(
    tiny_raw, tmp_path, name, typed, monkeypatch
):
    monkeypatch.setattr(CaseDataModule, "setup", lambda *_: pytest.fail("data were prepared"))
    monkeypatch.setattr(run, "construct", construct if typed else without_validation)
    folder = [f"callbacks.best.folder={tmp_path}"] * (name == "best")
    plan = plan_of(tmp_path / "run", tiny_raw, f"callbacks=[default,{name}]", *folder, *typed)
    refused = f"callbacks.{name}.monitor=val/dice/mean, but no case is validated; "
    with pytest.raises(InputError, match=f"{refused}say callbacks.{name}=null"):
        run.prepare(plan, run.data(plan))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epoch=3", "no option 'trainer.max_epoch'.*did you mean trainer.max_epochs"),
        ("trainer.max_epochs=2.5", "trainer.max_epochs=2.5: .*integer"),
        ("data.batch_size=many", "data.batch_size='many': .*integer"),
        ("data.batch_size='4'", "data.batch_size='4': .*int"),
        ("data.batch_size=true", "data.batch_size=True: .*int"),
        ("data.augment=yes", "data.augment='yes': .*anatomical"),
        ("data.bach_size=2", "no option 'data.bach_size'.*did you mean data.batch_size"),
        ("model.optimizer.lr=fast", "model.optimizer.lr='fast'"),
        ("model.optimiser.lr=1", "model"),
        ("explain.rules=seg_grad_cam", "explain.rules='seg_grad_cam': .*list"),
        ("explain.measures=some", "explain.measures='some': .*leading"),
        ("callbacks.flow.every=2", "no option 'callbacks.flow.every'.*every_n_epochs"),
        ("callbacks.flow.every_n_epochs=often", "every_n_epochs='often'"),
        ("+speed=2", "no option 'speed'"),
        ("data.source._target_=os.system", "no option 'data.source'"),
        ("logger.csv._target_=pytorch_lightning.loggers.CVSLogger", "cannot import"),
    ],
)
def test_a_wrong_option_is_one_clear_line(tiny_raw, tmp_path, override, message):
    plan = plan_of(tmp_path / "run", tiny_raw, override)
    known = [key for key in plan.config if key != "speed"]
    with pytest.raises(InputError, match=message) as caught:
        check(plan.config, known)
    assert "\n" not in str(caught.value)


def test_the_benchmarks_protocol_is_a_valid_experiment(tiny_raw, tmp_path):
    plan = plan_of(tmp_path / "run", tiny_raw, "experiment=transunet_protocol")
    check(plan.config, list(plan.config))
    optimizer = plan.config["model"]["optimizer"]
    assert optimizer["_target_"] == "torch.optim.SGD"
    assert optimizer["momentum"] == 0.9
    assert plan.config["model"]["scheduler"]["_target_"].endswith("polynomial")
    assert plan.config["callbacks"]["checkpoints"]["every_n_epochs"] == 10


def test_a_network_has_as_many_input_channels_as_the_data(tiny_raw, tmp_path, capsys):
    for folder, name in (("imagesTr", "img{}"), ("labelsTr", "label{}")):
        (tmp_path / "two" / folder).mkdir(parents=True)
        for case in ("0005", "0006", "0027"):
            file = tiny_raw / folder.removesuffix("sTr").replace("image", "img")
            file = file / f"{name.format(case)}.nii.gz"
            for ending in ("_0000", "_0001") if folder == "imagesTr" else ("",):
                shutil.copy(file, tmp_path / "two" / folder / f"{case}{ending}.nii.gz")
    plan = plan_of(
        tmp_path / "run", tiny_raw,
        "data._target_=segtrace.data.modules.NiftiData", f"data.root={tmp_path}/two",
        "+data.labels=btcv", "data.split.test=[]", "data.window=[[-125,275],percentile]",
    )  # fmt: skip
    check(plan.config, list(plan.config))
    data, probes, module = made(plan)
    assert probes.images.shape[1] == module.net(probes.images).shape[1] - 3 == 2
    assert module.description["network"]["in_channels"] == 2
    announce(plan, data, module, run.trainer(plan, module, probes))
    assert "Slices have 2 channels" in capsys.readouterr().out


def test_a_network_and_classes_of_the_users_own_stay_open(tiny_raw, tmp_path):
    plan = plan_of(
        tmp_path / "run", tiny_raw,
        "+model.net.anything=1",
        "+callbacks.mine._target_=collections.Counter",
        "+callbacks.mine.whatever=2",
    )  # fmt: skip
    check(plan.config, list(plan.config))


def built(plan: TrainConfig) -> pl.LightningModule:
    return made(plan)[-1]


def test_a_network_with_arguments_it_does_not_take_is_one_clear_line(tiny_raw, tmp_path):
    plan = plan_of(tmp_path / "run", tiny_raw, "model.net.fetures=[8]")
    with pytest.raises(InputError, match=r"model.net: monai.networks.nets.BasicUNet: .*fetures"):
        built(plan)


@pytest.mark.parametrize("none", ["data.split.test=null", "data.split.test=[]"])
def test_test_cases_that_the_split_lacks_are_refused_before_any_data_is_read(
    tiny_raw, tmp_path, none
):
    plan = plan_of(tmp_path / "run", tiny_raw, "test=true", none)
    with pytest.raises(InputError, match=r"test=true, but the split has no test cases; name some"):
        run.prepare(plan, run.data(plan))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("explain.stages=[enc6]", "no stage 'enc6'; this network has enc1.*did you mean"),
        ("explain.stages=[]", r"explain.stages=\[\]; name at least one, or give null"),
        ("explain.organs=[livr]", "no organ 'livr'; .*did you mean liver"),
        ("explain.organs=[]", r"explain.organs=\[\]; name at least one, or give null"),
        ("model.optimizer={_target_:torch.optim.Muon,_partial_:true}", "only supports 2D"),
    ],
)
def test_what_the_network_cannot_be_asked_is_refused_before_training(
    tiny_raw, tmp_path, override, message
):
    plan = plan_of(tmp_path / "run", tiny_raw, override)
    with pytest.raises(InputError, match=message):
        built(plan)


def test_a_validation_after_more_batches_than_a_pass_has_is_refused(tiny_raw, tmp_path):
    """Lightning finds out when the untrained network has been validated already."""
    for batches, options in ((3, ()), (1, ("trainer.limit_train_batches=0.5",))):
        plan = plan_of(tmp_path / "run", tiny_raw, "trainer.val_check_interval=4", *options)
        data, probes, module = made(plan)
        trainer = run.trainer(plan, module, probes)
        with pytest.raises(
            InputError, match=f"=4, but a pass has {batches} batches; give {batches}"
        ):
            announce(plan, data, module, trainer)


def test_what_differs_from_the_published_protocol_is_told_before_cases_are_prepared(
    tiny_raw, tmp_path, capsys
):
    plan = plan_of(tmp_path / "run", tiny_raw, "data.batch_size=8")
    data = run.data(plan)
    run.prepare(replace(plan, letter=Letter({"data.batch_size": 24}, ())), data)
    said = capsys.readouterr().out
    place = said.index("- data.batch_size=8, theirs is 24")
    assert said.index("differs from the published") < place < said.index("Preparing the slices")
    assert said.count("Cache: ") == 1
    assert data.split["train"]
