"""A user's mistake: one line on stderr, exit code 1, nothing half-written."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch

from helpers.scripts import SMALL_NET, run_script, tiny_data
from segtrace import InputError
from segtrace.cli.train.announcement import announce
from segtrace.cli.train.train_config import TrainConfig
from segtrace.data.modules import SynapseData
from segtrace.data.probes import Probes
from segtrace.studies.from_checkpoints import FromCheckpoints
from segtrace.studies.inputs.new_image import probes_of_image
from segtrace.studies.inputs.trained_network import apply_settings, from_checkpoint
from segtrace.studies.inputs.users_network import from_user
from segtrace.tracking.explained import explain_probes


def one_line(ran, *parts):
    assert ran.code == 1, (ran.out, ran.err[-2000:])
    lines = ran.err.strip().splitlines()
    assert len(lines) == 1, ran.err[-2000:]
    for part in parts:
        assert part in lines[0], lines[0]


def test_two_cases_without_a_split_are_listed_with_the_remedy(ct_root, tmp_path):
    ran = run_script("train.py", "data=synapse", f"data.root={ct_root / 'RawData'}", cwd=tmp_path)
    one_line(ran, "9001, 9002", "data.split={train: [9001], val: [9002]}")


def test_a_truncated_volume_stops_the_run_and_leaves_no_cache(tiny_raw, tmp_path):
    root = shutil.copytree(tiny_raw, tmp_path / "copy")
    broken = root / "img" / "img0006.nii.gz"
    broken.write_bytes(broken.read_bytes()[:200])
    ran = run_script("train.py", *tiny_data(root), *SMALL_NET, "data.cache_dir=cache", cwd=tmp_path)
    one_line(ran, "img0006.nii.gz")
    left = [p for p in (tmp_path / "cache").rglob("*") if "0006" in p.name]
    assert left == []


def test_labels_of_another_shape_are_named(tiny_raw, tmp_path):
    root = shutil.copytree(tiny_raw, tmp_path / "copy")
    label = root / "label" / "label0005.nii.gz"
    affine = nibabel.load(label).affine
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8), np.uint8), affine), label)
    ran = run_script("train.py", *tiny_data(root), *SMALL_NET, cwd=tmp_path)
    one_line(ran, "label0005.nii.gz", "(8, 8, 8)")


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (("data=synapse",), ("data.root", "must be given")),
        (("data=synaps",), ("synaps",)),
        (("speed=3",), ("speed",)),
        (("hydra.run.dir=/dev/null/run",), ("/dev/null/run", "hydra.run.dir")),
    ],
)
def test_train_answers_a_mistake_with_one_line(overrides, parts, tmp_path):
    one_line(run_script("train.py", *overrides, cwd=tmp_path), *parts)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ((), ("checkpoint=",)),
        (("checkpoint=none_*.ckpt",), ("none_*.ckpt", "no such file")),
        (("checkpoint=a", "hydra.run.dir=/dev/null/out"), ("/dev/null/out", "hydra.run.dir")),
    ],
)
def test_explain_answers_a_mistake_with_one_line(overrides, parts, tmp_path):
    (tmp_path / "a").touch()
    one_line(run_script("explain.py", *overrides, cwd=tmp_path), *parts)


def test_a_stage_that_does_not_exist_stops_explain_before_it_writes(run, tmp_path):
    ran = run_script("explain.py", f"checkpoint={run.checkpoint(1)}", "stages=[enc6]", cwd=tmp_path)
    one_line(ran, "no stage 'enc6'", "enc5", "head")
    assert not list(tmp_path.rglob("maps.npz"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"organs": ["livr"]}, "no organ 'livr'; .*did you mean liver"),
        ({"rules": ["grad_kam"]}, "no rule 'grad_kam'.*grad_pam"),
        ({"region": "somewhere"}, "no region 'somewhere'.*gt"),
        ({"score": "logits"}, "no score 'logits'.*did you mean logit"),
    ],
)
def test_explain_names_what_the_checkpoint_lacks(run, given, message):
    trained = from_checkpoint(run.checkpoint(1))
    probes = Probes.from_plain(trained.probes)
    with pytest.raises(InputError, match=message):
        explain_probes(*apply_settings(trained, **given).on(probes))


def test_an_image_that_is_not_there_is_named(run):
    trained = from_checkpoint(run.checkpoint(1))
    with pytest.raises(InputError, match=r"nothing.nii.gz"):
        probes_of_image(Path("nothing.nii.gz"), trained, 8)


def test_an_image_in_which_the_network_finds_no_organ_is_refused(run, tiny_raw):
    trained = from_checkpoint(run.checkpoint(1))
    *_, head = trained.net.parameters()
    head.data[:] = torch.tensor([1e6] + [-1e6] * 4)  # the bias of the logits: all background
    image = tiny_raw / "img" / "img0001.nii.gz"
    with pytest.raises(
        InputError, match=r"img0001.nii.gz: the network finds none .*liver"
    ) as found:
        probes_of_image(image, trained, 8)
    assert "\n" not in str(found.value)


def test_a_log_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*file/logs.*name another folder"):
        FromCheckpoints(tmp_path / "out", str(tmp_path / "file" / "logs"), {0: 0.5})


def test_results_are_not_overwritten(run, tmp_path):
    """Neither a run by another run, nor an explanation by another one."""
    again = run_script("train.py", f"hydra.run.dir={run.folder}", cwd=tmp_path)
    one_line(again, "holds results already (checkpoints/", "hydra.run.dir", "resume=")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "measures.csv").write_text("epoch\n")
    explain = ("explain.py", f"checkpoint={run.checkpoint(1)}", "hydra.run.dir=out")
    one_line(run_script(*explain, cwd=tmp_path), "out holds results already (measures.csv)")
    assert (tmp_path / "out" / "measures.csv").read_text() == "epoch\n"


def test_a_disk_without_room_for_the_checkpoints_stops_the_run(tmp_path, monkeypatch):
    full = type("Usage", (), {"free": 0})
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    module = SimpleNamespace(net=torch.nn.Linear(1000, 1000), description={"probes": {}})
    data = SimpleNamespace(
        split={"train": ["a"], "val": ["b"]},
        organs={"liver": 1},
        source=SimpleNamespace(channels=1),
        train_dataloader=lambda: [1],
    )
    limits = {"max_epochs": 1000, "max_steps": -1, "limit_train_batches": 1.0}
    trainer = SimpleNamespace(**limits, checkpoint_callbacks=[])
    with pytest.raises(InputError, match=r"3.8 GiB of disk, and 0 KiB are free; free some"):
        announce(TrainConfig({}, tmp_path), data, module, trainer)


def test_a_builder_that_cannot_be_used_is_named(tiny_raw):
    data = SynapseData(
        str(tiny_raw), organs=["liver"], split={"train": ["0005"], "val": ["0027"]}, size=64
    )
    options = dict.fromkeys(("stages", "edges", "output", "preprocessing", "model"))
    for builder, message in {
        "no_such:build": "net=no_such:build: No module named",
        "build": "give module:function",
        "torch:no_such": "no_such",
        "math:e": "not callable",
        "os:getcwd": "returns a str; a network is needed",
    }.items():
        with pytest.raises(InputError, match=message):
            from_user(options | {"net": builder, "weights": "w"}, data)


def test_a_checkpoint_of_another_network_is_refused(run, tmp_path):
    saved = torch.load(run.checkpoint(1), weights_only=True)
    saved["segtrace"]["network"]["features"] = [8, 8, 16, 16, 32, 16]
    torch.save(saved, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"other.ckpt does not fit BasicUNet.*of another shape"):
        from_checkpoint(tmp_path / "other.ckpt")
