"""A user's mistake: one line on stderr, exit code 1, nothing half-written."""

import nibabel
import numpy as np
import pytest
import torch

from scripts import SMALL_NET, run_script, tiny_data


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
    import shutil

    root = shutil.copytree(tiny_raw, tmp_path / "copy")
    broken = root / "img" / "img0006.nii.gz"
    broken.write_bytes(broken.read_bytes()[:200])
    ran = run_script("train.py", *tiny_data(root), *SMALL_NET, "data.cache_dir=cache", cwd=tmp_path)
    one_line(ran, "img0006.nii.gz")
    left = [p for p in (tmp_path / "cache").rglob("*") if "0006" in p.name]
    assert left == []


def test_labels_of_another_shape_are_named(tiny_raw, tmp_path):
    import shutil

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
        (("trainer.max_epoch=3",), ("trainer.max_epoch", "trainer.max_epochs")),
        (("speed=3",), ("speed",)),
        (("data=synapse", "data.root=/no/such/folder"), ("/no/such/folder",)),
        (("hydra.run.dir=/dev/null/run",), ("/dev/null/run", "hydra.run.dir")),
        (("resume=nothing.ckpt",), ("nothing.ckpt",)),
    ],
)
def test_train_answers_a_mistake_with_one_line(overrides, parts, tmp_path):
    one_line(run_script("train.py", *overrides, cwd=tmp_path), *parts)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ((), ("checkpoint=",)),
        (("checkpoint=none_*.ckpt",), ("none_*.ckpt", "no such file")),
        (("net=no_such:build", "weights=w.pth", "data=synapse", "data.root=/no"), ("/no",)),
        (("net=my_module:build",), ("data=",)),
    ],
)
def test_explain_answers_a_mistake_with_one_line(overrides, parts, tmp_path):
    one_line(run_script("explain.py", *overrides, cwd=tmp_path), *parts)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (("stages=[enc6]",), ("no stage 'enc6'", "enc5", "head")),
        (("organs=[livr]",), ("no organ 'livr'", "liver")),
        (("rules=[grad_kam]",), ("no rule 'grad_kam'", "grad_pam")),
        (("region=somewhere",), ("no region 'somewhere'", "gt")),
        (("image=nothing.nii.gz",), ("nothing.nii.gz",)),
    ],
)
def test_explain_names_what_the_checkpoint_lacks(run, overrides, parts, tmp_path):
    ran = run_script("explain.py", f"checkpoint={run.checkpoint(1)}", *overrides, cwd=tmp_path)
    one_line(ran, *parts)
    assert not list(tmp_path.rglob("maps.npz"))


def test_a_checkpoint_of_another_network_is_refused(run, tmp_path):
    saved = torch.load(run.checkpoint(1), weights_only=True)
    saved["segtrace"]["network"]["features"] = [8, 8, 16, 16, 32, 16]
    torch.save(saved, tmp_path / "other.ckpt")
    ran = run_script("explain.py", "checkpoint=other.ckpt", cwd=tmp_path)
    one_line(ran, "other.ckpt does not fit BasicUNet", "of another shape")
