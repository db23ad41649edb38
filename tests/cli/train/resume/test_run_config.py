"""What a run that goes on takes from its own folder, and what the command line may change."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from helpers.scripts import ROOT
from segtrace import InputError
from segtrace.cli.resumed import in_its_folder, run_of
from segtrace.cli.schema import check
from segtrace.cli.train.resume.run_config import (
    MAY_CHANGE,
    gone_on,
    read_config,
    settled,
    targets_in,
)
from segtrace.cli.train.train_config import KEYS
from segtrace.cli.train.train_config import _known as known_of

GROUPS = ("data", "model", "explain", "trainer", "callbacks", "logger", "experiment")
KNOWN = targets_in([ROOT / "conf"])


def config_of(folder: Path) -> dict:
    """Of a run with other options than the defaults."""
    return {
        "seed": 3,
        "resume": None,
        "test": False,
        "probes": {"n": 8, "from": "val", "embed": True},
        "data": {
            "_target_": "segtrace.data.modules.SynapseData", "root": "/data/a", "size": 128,
            "num_workers": 4, "split": {"train": ["0005", "0006"], "val": ["0027"]},
        },
        "model": {
            "_target_": "segtrace.training.module.SegmentationModule",
            "net": {"_target_": "monai.networks.nets.BasicUNet", "features": [8, 8]},
            "optimizer": {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.001},
        },
        "explain": {"_target_": "segtrace.tracking.explained.Settings", "rules": ["grad_pam"]},
        "trainer": {"_target_": "pytorch_lightning.Trainer", "max_epochs": 50,
                    "accelerator": "cpu", "devices": 1, "precision": "32-true"},
        "callbacks": {
            "flow": {"_target_": "segtrace.training.callbacks.flow.FlowCallback", "cut_every": 10,
                     "folder": f"{folder}/flow"},
        },
        "logger": {
            "tensorboard": {"_target_": "pytorch_lightning.loggers.TensorBoardLogger",
                            "save_dir": str(folder)},
        },
    }  # fmt: skip


def composed_of(folder: Path, **parts) -> dict:
    """What Hydra composes: the defaults, and what was typed."""
    defaults = config_of(folder)
    defaults |= {"seed": 0, "data": {"_target_": "segtrace.data.modules.PhantomData", "size": 96}}
    defaults["trainer"] = defaults["trainer"] | {"max_epochs": 10, "accelerator": "auto"}
    return defaults | parts


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.yaml").write_text(yaml.safe_dump(config_of(path)))
    return path


def go_on(folder, *typed, known=KNOWN, **parts):
    return gone_on(folder, composed_of(folder, **parts), list(typed), GROUPS, known)


def test_a_run_goes_on_with_its_own_options_and_not_with_the_defaults(folder):
    assert go_on(folder, "resume=here", "hydra.run.dir=here") == config_of(folder)


def test_what_the_run_has_may_be_typed_again(folder):
    typed = ("seed=3", "++data.size=128", "++model.optimizer.lr=1e-3", "++data.num_workers=4")
    data = config_of(folder)["data"]
    assert go_on(folder, *typed, seed=3, data=data) == config_of(folder)
    whole = go_on(folder, "data=synapse", "++data.root=/data/a", data=data | {"split": None})
    assert whole == config_of(folder)


@pytest.mark.parametrize(
    ("typed", "parts", "message"),
    [
        ("seed=1", {"seed": 1}, r"not with seed=1 \(the run has 3\)"),
        ("++data.size=64", {"data": {"size": 64}}, r"data.size=64 \(the run has 128\)"),
        ("++data.size=null", {"data": {"size": None}}, r"data.size=null \(the run has 128\)"),
        ("++data.split={train: [a]}", {"data": {"split": {"train": ["a"]}}}, r"data.split=.*0027"),
        ("++data.split.val=[a]", {"data": {"split": {"val": ["a"]}}}, r"\(the run has \[0027\]\)"),
        (
            "++model.optimizer.lr=1", {"model": {"optimizer": {"lr": 1}}},
            r"model.optimizer.lr=1 \(the run has 0.001\)",
        ),
        (
            "model=dyn_unet", {"model": {"net": {"_target_": "monai.networks.nets.DynUNet"}}},
            r"net._target_=monai.networks.nets.DynUNet \(the run has monai.networks.nets.BasicUNet",
        ),
        ("data=phantom", {}, r"data._target_=segtrace.data.modules.PhantomData .*, data.size=96"),
        ("experiment=planted", {}, r"not with seed=0 .*, data._target_=.*, data.size=96"),
        (
            "trainer=gpu", {"trainer": {"accelerator": "gpu", "precision": "bf16-mixed"}},
            r"with trainer.precision=bf16-mixed \(the run has 32-true\);",
        ),
        ("++trainer.gradient_clip_val=1", {"trainer": {"gradient_clip_val": 1}},
         r"trainer.gradient_clip_val=1 \(the run has null\)"),
        ("~callbacks.flow", {"callbacks": {}}, r"callbacks.flow=null \(the run has \{"),
        ("++callbacks.flow.cut_every=2", {"callbacks": {"flow": {"cut_every": 2}}}, r"cut_every=2"),
        ("++explain.rules=[seg_grad_cam]", {"explain": {"rules": ["seg_grad_cam"]}}, r"rules="),
        ("++probes.n=4", {"probes": {"n": 4}}, r"probes.n=4 \(the run has 8\)"),
    ],
)  # fmt: skip
def test_what_would_make_another_run_is_refused_by_name(folder, typed, parts, message):
    with pytest.raises(InputError, match=message) as caught:
        go_on(folder, typed, **parts)
    assert "\n" not in str(caught.value)
    assert f"{folder} goes on as it began" in str(caught.value)
    assert all(name in str(caught.value) for name in MAY_CHANGE)


def test_of_many_differences_a_few_are_listed_and_all_are_counted(folder):
    with pytest.raises(InputError, match=r"seed=0 [^;]* and \d more; leave"):
        go_on(folder, "experiment=planted", probes={"n": 1, "from": "train", "embed": False})


@pytest.mark.parametrize(
    ("typed", "parts", "place"),
    [
        ("++trainer.max_epochs=80", {"trainer": {"max_epochs": 80}}, ("trainer", "max_epochs", 80)),
        ("++trainer.devices=2", {"trainer": {"devices": 2}}, ("trainer", "devices", 2)),
        ("++data.root=/b", {"data": {"root": "/b"}}, ("data", "root", "/b")),
        ("++data.num_workers=0", {"data": {"num_workers": 0}}, ("data", "num_workers", 0)),
        ("trainer=gpu", {"trainer": {"accelerator": "gpu"}}, ("trainer", "accelerator", "gpu")),
        ("callbacks.progress=null", {"callbacks": {}}, ("callbacks", "progress", None)),
    ],
)
def test_what_may_change_does(folder, typed, parts, place):
    group, key, value = place
    expected = config_of(folder)
    expected[group][key] = value
    assert go_on(folder, typed, **parts) == expected


def test_a_group_that_is_typed_changes_neither_the_length_nor_the_data(folder):
    """They have defaults of their own, which nobody asked for."""
    trainer = {"max_epochs": 10, "accelerator": "gpu", "precision": "32-true"}
    data = config_of(folder)["data"] | {"root": "???", "num_workers": 0, "split": None}
    gone = go_on(folder, "trainer=gpu", "data=synapse", trainer=trainer, data=data)
    assert gone["trainer"]["max_epochs"] == 50
    assert gone["trainer"]["accelerator"] == "gpu"
    assert gone["data"] == config_of(folder)["data"]


def test_a_folder_that_was_moved_is_written_where_it_lies_now(folder):
    moved = folder.rename(folder.with_name("moved"))
    assert go_on(moved, "resume=moved") == config_of(moved)
    assert settled(config_of(moved), moved) == settled(config_of(folder), folder)


def test_what_must_not_change_is_all_but_what_may(folder):
    fixed = settled(config_of(folder), folder)
    changed = config_of(folder)
    changed["trainer"]["max_epochs"], changed["data"]["root"] = 99, "/elsewhere"
    changed["resume"] = "somewhere"
    assert settled(changed, folder) == fixed
    changed["model"]["optimizer"]["lr"] = 0.1
    assert settled(changed, folder) != fixed


def test_nothing_in_a_runs_file_is_resolved(folder, tmp_path):
    evil = config_of(folder)
    evil["model"]["net"]["act"] = f"${{oc.create:{{_target_: os.mkdir, _args_: [{tmp_path}/x]}}}}"
    (folder / "config.yaml").write_text(yaml.safe_dump(evil))
    with pytest.raises(InputError, match=r"model.net.act='\${oc.create.*nothing in it is resolved"):
        go_on(folder)
    assert not (tmp_path / "x").exists()


def test_our_own_rule_with_options_need_not_be_named_again(folder):
    ours = config_of(folder)
    ours["explain"]["rules"] = [
        "grad_pam", {"_target_": "segtrace.attribution.rules.seg_xres_cam", "window": 4},
    ]  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(ours))
    assert go_on(folder, known=known_of([ROOT / "conf"])) == ours
    ours["explain"]["rules"][1]["_target_"] = "their.rule"
    (folder / "config.yaml").write_text(yaml.safe_dump(ours))
    with pytest.raises(InputError, match=r"type the whole list again, explain.rules=\[…\]"):
        go_on(folder)
    composed = config_of(folder)["explain"] | {"rules": ours["explain"]["rules"]}
    assert go_on(folder, "explain.rules=[their]", explain=composed) == ours


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("builtins.exec", "which is of Python itself and no part of a training"),
        ("os.system", "which is of Python itself"),
        ("subprocess.Popen", "which is of Python itself"),
        ("exec", "which is no class; mend it"),
        ("a.b; import os", "which is no class"),
        ("their..Class", "which is no class"),
        (3, "which is no class"),
    ],
)
def test_what_can_be_no_part_of_a_training_is_not_offered_to_be_named(folder, target, words):
    evil = config_of(folder)
    evil["callbacks"]["mine"] = {"_target_": target}
    (folder / "config.yaml").write_text(yaml.safe_dump(evil))
    with pytest.raises(InputError, match=words) as caught:
        go_on(folder)
    assert "name it again" not in str(caught.value)


@pytest.mark.parametrize("place", ["callbacks.mine", "model.optimizer", "data", "model.net.norm"])
def test_a_class_that_only_the_file_names_has_to_be_named_again(folder, place):
    evil = config_of(folder)
    node = evil
    *above, last = place.split(".")
    for part in above:
        node = node[part]
    node[last] = {"_target_": "their.Class"}
    (folder / "config.yaml").write_text(yaml.safe_dump(evil))
    with pytest.raises(InputError) as caught:
        go_on(folder)
    said = str(caught.value)
    assert "names 'their.Class', which nothing here knows" in said
    assert said.endswith(f"name it again: {place}._target_=their.Class")
    composed = composed_of(folder)
    node = composed
    for part in place.split("."):
        node = node.setdefault(part, {})
    node["_target_"] = "their.Class"
    typed = f"++{place}._target_=their.Class"
    assert gone_on(folder, composed, [typed], GROUPS, KNOWN) == evil


def test_a_folder_outside_the_run_has_to_be_named_again(folder):
    elsewhere = config_of(folder)
    elsewhere["callbacks"]["flow"]["folder"] = "/elsewhere/flow"
    (folder / "config.yaml").write_text(yaml.safe_dump(elsewhere))
    with pytest.raises(InputError, match=r"writes to /elsewhere/flow, outside the run.*name it ag"):
        go_on(folder)
    callbacks = {"flow": {"folder": "/elsewhere/flow"}}
    gone = go_on(folder, "++callbacks.flow.folder=/elsewhere/flow", callbacks=callbacks)
    assert gone == elsewhere


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "not readable as YAML"),
        ("- a\n- b\n", "holds a list; lines of name: value are needed"),
        ("rules: null\n", "was not written by train.py"),
        ("", "was not written by train.py"),
        ("!!python/object/apply:os.getcwd []", "not readable as YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(folder, content, message):
    (folder / "config.yaml").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_config(folder)
    assert "\n" not in str(caught.value)


def test_a_run_is_found_by_its_folder_and_by_a_checkpoint_in_it(folder, monkeypatch):
    (folder / "checkpoints").mkdir()
    for name in ("", "checkpoints/last.ckpt", "last.ckpt"):  # there or not
        assert run_of(str(folder / name)) == folder
    assert run_of(str(folder / "checkpoints")) is None
    assert run_of(str(folder.parent)) is None
    monkeypatch.chdir(folder.parent)
    assert run_of("run/checkpoints/last.ckpt") == folder


def test_hydra_is_sent_to_the_folder_of_the_run(folder):
    for key in ("resume", "+resume", "++resume"):
        typed = [f"{key}={folder}", "trainer.max_epochs=3"]
        assert in_its_folder(typed) == [*typed, f'hydra.run.dir="{folder}"']
    for typed in (
        ["seed=1"],
        ["resume=null"],
        ["resume=/nowhere/last.ckpt"],
        [f"resume={folder}", "hydra.run.dir=/there"],
        [f"resume={folder}", "-m", "seed=1,2"],
        [f"resume={folder}", "a=[b"],
    ):
        assert in_its_folder(typed) == typed


def test_a_folder_with_signs_that_hydra_reads_is_found_and_quoted(tmp_path):
    odd = tmp_path / "lr=1, (two) words"
    odd.mkdir()
    (odd / "config.yaml").write_text("seed: 0")
    typed = [f'resume="{odd}"']
    assert in_its_folder(typed) == [*typed, f'hydra.run.dir="{odd}"']


def test_every_class_of_our_own_files_is_known_and_every_option_checked():
    assert {"torch.optim.SGD", "segtrace.planted.data.PlantedData"} <= KNOWN
    config = config_of(Path("/run"))
    config["model"] |= {"stages": None, "edges": None}
    check(deepcopy(config), KEYS)
