"""A training on volumes, from its options to its files."""

import re

import pytest
import torch

from helpers.deadly import Nursery
from helpers.left_behind import differences, left_by
from helpers.scripts import answer_of, run_script
from segtrace.checkpoint.loading import load
from segtrace.data.probes import Probes
from segtrace.report.tables import read_table

NET = (
    "model=basic_unet", "model.net.spatial_dims=3", "model.net.features=[4,4,8,8,8,4]",
    "+model.net.dropout=0.1",
)  # fmt: skip
LITTLE = (
    "data=synapse", "data.split={train: ['0005','0006'], val: ['0027'], test: ['0001']}",
    "data.organs=[spleen,left_kidney,liver]", "data.patch=[32,32,16]", "data.spacing=[10,10,6]",
    "data.batch_size=1", "data.steps_per_epoch=2", "trainer.accelerator=cpu",
    "explain.rules=[grad_pam]", "data.cache_dir=cache", "callbacks.flow.cut_every=null",
)  # fmt: skip


def train(root, cwd, *overrides):
    ran = run_script("train.py", f"data.root={root}", *LITTLE, *NET, *overrides, cwd=cwd)
    assert ran.code == 0, ran.err[-3000:]
    return ran


@pytest.mark.long
def test_a_training_on_volumes_leaves_what_one_on_slices_does_and_goes_on_to_the_bit(
    tiny_raw, tmp_path
):
    """Run whole; and ended after an epoch, and resumed."""
    ran = train(tiny_raw, tmp_path, "trainer.max_epochs=2", "hydra.run.dir=whole", "test=true")
    for said in (
        "The network sees patches of 32 x 32 x 16 voxels of 10 x 10 x 6 mm",
        "Watched are 1 case, of each the patch with most of its organs: 0027.",
        "A step of 1 volume takes about",
        "Dice of the test cases, whole and at their own size, by strict",
    ):
        assert said in ran.out + ran.err
    whole = tmp_path / "whole"
    assert (whole / "test" / "evaluation.csv").is_file()
    assert (whole / "test" / "predictions" / "0001").is_dir()
    assert {path.name for path in (whole / "checkpoints").iterdir()} >= {
        "epoch_000.ckpt", "epoch_001.ckpt", "epoch_002.ckpt", "last.ckpt",
    }  # fmt: skip
    assert list((whole / "flow").rglob("*.png"))
    last = load(whole / "checkpoints" / "epoch_002.ckpt")
    probes = Probes.from_plain(last.description["probes"])
    assert probes.images.shape == (1, 1, 16, 32, 32)
    assert last.description["memory_format"] == "contiguous"
    assert last.description["preprocessing"]["patch"] == [32, 32, 16]
    train(tiny_raw, tmp_path, "trainer.max_epochs=1", "model.scheduler=null", "hydra.run.dir=one")
    train(tiny_raw, tmp_path, "trainer.max_epochs=2", "model.scheduler=null", "hydra.run.dir=two")
    again = run_script("train.py", "resume=one", "trainer.max_epochs=2", cwd=tmp_path)
    assert again.code == 0, again.err[-3000:]
    one, two = (
        load(tmp_path / run / "checkpoints" / "epoch_002.ckpt").net.state_dict()
        for run in ("one", "two")
    )
    assert all(torch.equal(one[name], two[name]) for name in two)
    told = [(tmp_path / run / "flow" / "measures.csv").read_bytes() for run in ("one", "two")]
    assert told[0] == told[1]


@pytest.mark.long
def test_two_processes_count_every_volume_once(tiny_raw, tmp_path):
    """One volume to validate on: of two processes one gets it, and the other a repeat."""
    two = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.max_epochs=1", "data.batch_size=2")
    ran = train(tiny_raw, tmp_path, *two, "hydra.run.dir=run")
    assert ran.err == ""
    assert ran.out.count("\nDice of the validation cases") == 1
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["epoch_000.ckpt", "epoch_001.ckpt", "last.ckpt"]
    last = load(tmp_path / "run" / "checkpoints" / "epoch_001.ckpt")
    found = last.description["found"]
    assert list(found) == ["0027"]
    for row in read_table(tmp_path / "run" / "dice.csv"):
        told = sum(case[row["organ"]]["voxels"] for case in found.values())
        assert int(row["predicted_voxels"]) == told
    rows = [tuple(row.values()) for row in read_table(tmp_path / "run" / "flow" / "measures.csv")]
    assert len(rows) == len(set(rows)) > 0


@pytest.mark.long
def test_a_training_on_volumes_killed_within_an_epoch_goes_on_to_the_bit(tiny_raw, tmp_path):
    nursery = Nursery()
    typed = (f"data.root={tiny_raw}", *LITTLE, *NET, "trainer.max_epochs=2", "hydra.run.dir=run")
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = nursery.run("train.py", tmp_path / "whole", *typed)
    assert whole["code"] == 0, whole["said"][-3000:]
    folder = tmp_path / "killed"
    killed = nursery.run("train.py", folder, *typed, at=[whole["steps"] * 2 // 3])
    assert killed["killed"], killed["said"][-3000:]
    assert not (folder / "run" / "checkpoints" / "epoch_002.ckpt").is_file()
    last = nursery.run("train.py", folder, "resume=run")
    assert last["code"] == 0, last["said"][-3000:]
    assert differences(left_by(tmp_path / "whole"), left_by(folder)) == []
    nursery.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("data.patch=[32,32,8]", "model=flexible_unet"), "does not take volumes of 8 x 32 x 32"),
        (("data.patch=[32,32,8]", "model=basic_unet"), r"say model\.net\.spatial_dims=3"),
        (("data.patch=[40,40,8]", *NET), r"say data\.patch=\[48,48,16\]"),
        (("data.patch=[32,32,8]", "data.augment=transunet"), "augment=transunet is of slices"),
        (("data.patch=[32,32,16]", *NET, "test=transunet"), "this network takes volumes; score"),
    ],
)
def test_what_does_not_work_on_volumes_is_one_line(
    tiny_raw, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    ran = answer_of(
        "train.py", "data=synapse", f"data.root={tiny_raw}", "trainer.accelerator=cpu",
        "data.split={train: ['0005','0006'], val: ['0027'], test: ['0001']}",
        "data.organs=[liver]", "data.cache_dir=cache", *options,
    )  # fmt: skip
    assert ran.code == 1
    line = ran.err.strip().splitlines()[-1]
    assert line.startswith("train.py: ")
    assert re.search(message, line), line


@pytest.mark.parametrize("data", ["synapse_transunet", "planted"])
def test_data_of_slices_alone_say_so(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    root = ("data.root=x",) if data == "synapse_transunet" else ()
    ran = answer_of("train.py", f"data={data}", "+data.patch=[8,8,8]", *root)
    assert ran.code == 1
    assert f"data={data} gives slices alone" in ran.err
