"""From a command line to a plan: a new run, or one that goes on, in a folder of its own."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from helpers.saving import full_checkpoint
from helpers.scripts import ROOT
from segtrace import InputError
from segtrace.cli.entry import opened
from segtrace.cli.resumed import in_its_folder
from segtrace.cli.train.train_config import TrainConfig, checked


@pytest.fixture(autouse=True)
def hydra_as_it_was():
    before = HydraConfig.instance().cfg
    yield
    HydraConfig.instance().cfg = before


def plan_of(folder: Path, *typed: str) -> TrainConfig:
    """What train.py makes of its arguments, in the folder that Hydra has made for it."""
    arguments = in_its_folder([opened(override) for override in typed])
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", arguments, return_hydra_config=True)
    with open_dict(config):
        config.hydra.runtime.output_dir = str(folder)
        config.hydra.runtime.cwd = str(folder.parent)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    folder.mkdir(exist_ok=True)
    return checked(config)


FIRST = ("seed=3", "trainer.max_epochs=4", "trainer.accelerator=cpu", "data.size=64")


def full(folder: Path, epoch: int, name: str = "last.ckpt") -> Path:
    """A checkpoint that a training can go on from."""
    return full_checkpoint(folder / "checkpoints" / name, epoch)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A run that was broken off before anything was finished."""
    plan_of(tmp_path / "run", *FIRST)
    return tmp_path / "run"


def test_ready_callbacks_stand_beside_the_default_ones_and_are_refused_in_their_place(tmp_path):
    plan = plan_of(tmp_path / "run", *FIRST, "callbacks=[default,early_stopping,ema,best]")
    assert {"flow", "checkpoints", "early_stopping", "ema", "best"} <= plan.config[
        "callbacks"
    ].keys()
    for typed in ("callbacks=ema", "callbacks=[ema]"):
        with pytest.raises(
            InputError, match=r"leaves out what .*; say 'callbacks=\[default,ema\]'"
        ):
            plan_of(tmp_path / "other", *FIRST, typed)


def test_a_run_keeps_the_arguments_that_its_network_takes(tmp_path):
    typed = "model.net._target_=monai.networks.nets.BasicUNet"
    plan_of(tmp_path / "run", *FIRST, typed)
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["model"]["net"]
    assert kept.keys() == {"_target_", "spatial_dims", "in_channels", "out_channels"}
    assert (
        plan_of(tmp_path / "run", f"resume={tmp_path / 'run'}", typed).config["model"]["net"]
        == kept
    )


def test_a_new_run_keeps_its_options_and_holds_its_folder(tmp_path):
    plan = plan_of(tmp_path / "run", *FIRST)
    assert plan.resume is None
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (kept["seed"], kept["data"]["size"], kept["data"]["seed"]) == (3, 64, 3)
    assert kept["callbacks"]["flow"]["folder"] == f"{tmp_path}/run/flow"
    with pytest.raises(InputError, match="is being written by process"):
        plan_of(tmp_path / "run", *FIRST)
    with pytest.raises(InputError, match="is being written by process"):
        plan_of(tmp_path / "run", f"resume={tmp_path}/run")
    del plan
    plan_of(tmp_path / "run", *FIRST)  # nothing had come of it


def test_a_folder_in_the_place_of_a_table_is_told_before_the_training(folder):
    (folder / "dice.csv").mkdir()
    with pytest.raises(InputError, match=r"dice.csv is a folder, and a file of .*; move it away"):
        plan_of(folder, f"resume={folder}")


def test_the_published_protocol_is_known_where_it_is_asked_for(tmp_path):
    asked = plan_of(tmp_path / "run", "experiment=transunet_protocol", "trainer.accelerator=cpu")
    assert asked.letter.asked["data.batch_size"] == 24
    assert asked.letter.typed == ["trainer.accelerator"]
    assert asked.protocols == ("strict", "transunet")
    assert plan_of(tmp_path / "other", *FIRST).letter is None


def test_whole_cases_as_volumes_are_an_experiment_of_their_own(tmp_path):
    config = plan_of(tmp_path / "run", "experiment=volumes").config
    assert config["model"]["net"]["spatial_dims"] == 3
    assert config["data"]["spacing"] == [8, 8, 8]
    assert config["data"]["patch"] is None  # whole cases


def test_a_folder_with_results_is_refused_with_the_command_that_goes_on(folder):
    full(folder, 2)
    before = (folder / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=rf"nothing is overwritten; .* say resume={folder}$"):
        plan_of(folder, "seed=5")
    assert (folder / "config.yaml").read_bytes() == before
    assert plan_of(folder, f"resume={folder}").left.epoch == 2


@pytest.mark.parametrize("named", ["", "checkpoints/last.ckpt", "checkpoints/previous.ckpt"])
def test_a_run_goes_on_by_its_folder_or_a_checkpoint_in_it(folder, named):
    full(folder, 2)
    full(folder, 1, "previous.ckpt")
    plan = plan_of(folder, f"resume={folder / named}", "trainer.max_epochs=9")
    assert plan.left.epoch == (1 if "previous" in named else 2)
    assert (plan.seed, plan.config["data"]["size"]) == (3, 64)
    assert plan.config["trainer"]["max_epochs"] == 9
    assert plan.config["resume"] is None
    # Only when it has been held against the data is it kept.
    assert yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["max_epochs"] == 4


def test_without_a_full_checkpoint_it_begins_anew_with_its_own_options(folder, capsys):
    (folder / "flow").mkdir()
    (folder / "flow" / "measures.csv").write_text("x")
    (folder / ".config.yaml.9.part").write_text("x")
    for named in (folder, folder / "checkpoints" / "last.ckpt"):
        plan = plan_of(folder, f"resume={named}")
        assert plan.left is None
        assert plan.resume is None
        assert plan.seed == 3
        assert "it begins anew there" in capsys.readouterr().out
        assert {path.name for path in folder.rglob("*") if path.is_file()} == {
            "config.yaml",
            ".lock",
        }
        del plan


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("seed=1", r"not with seed=1 \(the run has 3\)"),
        ("data.size=96", r"not with data.size=96 \(the run has 64\)"),
        ("data=synapse", r"not with data._target_=segtrace.data.modules.SynapseData"),
        ("model=basic_unet", r"not with .*model.net._target_=monai.networks.nets.BasicUNet"),
        ("model.optimizer.lr=1", r"not with model.optimizer.lr=1 \(the run has 0.002\)"),
        ("trainer.max_epochs=1", r"max_epochs=1, but .* has finished 2 epochs; give 2 or more"),
        ("trainer.max_epochs=null", "trainer.max_epochs=null: the training has no end"),
        ("trainer.devices=0", "trainer.devices=0: .* trainer.devices=auto works"),
        ("callbacks.checkpoints=null", r"not with callbacks.checkpoints=null"),
    ],
)
def test_a_run_that_would_be_another_is_refused_and_left_as_it_was(folder, typed, message):
    full(folder, 2)
    before = (folder / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        plan_of(folder, f"resume={folder}", typed)
    assert "\n" not in str(caught.value)
    assert (folder / "config.yaml").read_bytes() == before


def test_what_is_no_run_is_refused(folder, tmp_path):
    for resume in ("nowhere", str(tmp_path), str(folder / "checkpoints"), "3", "[a]"):
        with pytest.raises(InputError, match=r"no run of train.py; name a run's folder"):
            plan_of(tmp_path / "other", f"resume={resume}")


def test_a_run_goes_on_nowhere_else(folder, tmp_path):
    with pytest.raises(InputError, match=rf"goes on in its own folder, {folder}; leave hydra.run"):
        plan_of(tmp_path / "other", f"resume={folder}")


def test_a_run_that_kept_no_checkpoints_cannot_go_on(tmp_path):
    plan_of(tmp_path / "run", *FIRST, "callbacks.checkpoints=null")
    with pytest.raises(InputError, match="keeps no checkpoints"):
        plan_of(tmp_path / "run", f"resume={tmp_path / 'run'}")


def test_a_finished_run_says_how_to_train_on(folder, capsys):
    full(folder, 4)
    plan_of(folder, f"resume={folder}")
    said = capsys.readouterr().out
    assert (
        f"has finished its 4 epochs; to train on say resume={folder} trainer.max_epochs=8" in said
    )
    plan_of(folder, f"resume={folder}", "trainer.max_epochs=8")
    assert "has finished" not in capsys.readouterr().out


def test_a_network_of_the_table_need_not_be_named_again(tmp_path):
    net = "model.net={_target_:monai.networks.nets.SegResNet,spatial_dims:2,out_channels:null}"
    plan_of(tmp_path / "run", *FIRST, net)
    gone = plan_of(tmp_path / "run", f"resume={tmp_path / 'run'}")
    assert gone.config["model"]["net"]["_target_"] == "monai.networks.nets.SegResNet"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("callbacks.checkpoints.folder={run}/checkpoints", "is inside the folder of another run, "),
        ("callbacks.checkpoints.folder={run}/anew", "is inside the folder of another run, {run}, "),
        ("callbacks.checkpoints.folder={kept}", "holds checkpoints of another run .last.ckpt."),
        ("callbacks.flow.folder={run}/flow", "flow.folder={run}/flow is inside the folder of ano"),
        ("logger.tensorboard.save_dir={run}", "tensorboard.save_dir={run} is inside the folder of"),
        ("callbacks.flow.folder=/proc/x", "cannot write /proc/x"),
    ],
)  # fmt: skip
def test_a_new_run_writes_nowhere_into_another(folder, tmp_path, typed, message):
    full_checkpoint(tmp_path / "kept" / "last.ckpt", 2)
    places = {"run": folder, "kept": tmp_path / "kept"}
    with pytest.raises(InputError, match=message.format(**places)) as caught:
        plan_of(tmp_path / "new", *FIRST, typed.format(**places))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new" / "config.yaml").exists()


def test_a_run_is_not_begun_inside_another(folder):
    full(folder, 2)
    with pytest.raises(InputError, match=f"inside the folder of another run, {folder}, .*hydra"):
        plan_of(folder / "checkpoints", *FIRST)


def test_a_run_that_keeps_its_checkpoints_elsewhere_goes_on_with_them(tmp_path):
    elsewhere = f"callbacks.checkpoints.folder={tmp_path / 'kept'}"
    again = (f"resume={tmp_path / 'run'}", elsewhere)
    plan_of(tmp_path / "run", *FIRST, elsewhere)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "epoch_000.ckpt").touch()
    assert plan_of(tmp_path / "run", *again).left is None
    assert list((tmp_path / "kept").iterdir()) == []
    full_checkpoint(tmp_path / "kept" / "last.ckpt", 2)
    assert plan_of(tmp_path / "run", *again).left.epoch == 2
    with pytest.raises(InputError, match=r"kept holds checkpoints of another run \(last.ckpt\)"):
        plan_of(tmp_path / "other", *FIRST, elsewhere)
