"""A folder of images: what is whole is done once, what is broken holds up nothing else."""

import errno
import json
import os
from contextlib import contextmanager

import nibabel
import numpy as np
import pytest

from helpers.scripts import answer_of, run_script
from segtrace import InputError
from segtrace.cli.explain.each_image import each_image, images_in
from segtrace.report.files import writing
from segtrace.report.page.page import Page
from segtrace.report.tables import read_table


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.nii", "b.nii.gz", "c.nii.gz", ".hidden.nii", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    (tmp_path / "net.ckpt").write_bytes(b"net")
    return folder


class Explaining:
    """Writes a file an image; fails, or is killed, on those named."""

    def __init__(self, failing=(), killed=()):
        self.failing, self.killed, self.seen = failing, killed, []

    def __call__(self, image, folder):
        self.seen.append(image.name)
        folder.mkdir()
        (folder / "maps.npz").write_bytes(image.read_bytes())
        if image.name in self.killed:
            raise KeyboardInterrupt
        if image.name in self.failing:
            raise InputError("it ends too early")


def ran(images, explain):
    out = images.parent / "out"
    out.mkdir(exist_ok=True)
    done = [*each_image(images_in(images), out, [images.parent / "net.ckpt"], explain)]
    return [row["state"] for row in done[0].rows], explain.seen


def test_what_is_whole_is_not_done_again(images, tmp_path):
    assert ran(images, Explaining()) == (["explained"] * 3, ["a.nii", "b.nii.gz", "c.nii.gz"])
    assert ran(images, Explaining()) == (["explained before"] * 3, [])
    (images / "b.nii.gz").write_bytes(b"another image")
    assert ran(images, Explaining())[1] == ["b.nii.gz"]
    assert (tmp_path / "out" / "b" / "maps.npz").read_bytes() == b"another image"
    (tmp_path / "net.ckpt").write_bytes(b"another net")
    assert len(ran(images, Explaining())[1]) == 3


def test_what_another_version_explained_is_explained_anew_and_that_is_said(
    images, monkeypatch, capsys
):
    ran(images, Explaining())
    monkeypatch.setattr("segtrace.cli.explain.each_image.version_of", lambda _: "99.0")
    (images / "b.nii.gz").write_bytes(b"another image")
    assert len(ran(images, Explaining())[1]) == 3
    said = capsys.readouterr().out
    assert "3 images explained before and now anew, with other version of segtrace, image." in said
    assert ran(images, Explaining()) == (["explained before"] * 3, [])
    assert "now anew" not in capsys.readouterr().out


def test_of_several_channels_the_first_files_are_images(images, tmp_path):
    with pytest.raises(InputError, match="takes 2 channels, and no name there ends in _0000"):
        images_in(images, 2)
    for name in ("d_0000.nii", "d_0001.nii", "e_0000.nii"):
        (images / name).write_bytes(name.encode())
    first = images_in(images, 2)
    assert [path.name for path in first] == ["d_0000.nii", "e_0000.nii"]
    (out := tmp_path / "out").mkdir()
    for seen in (["d_0000.nii", "e_0000.nii"], []):
        explain = Explaining()
        [*each_image(first, out, [tmp_path / "net.ckpt"], explain, 2)]
        assert explain.seen == seen
    (images / "d_0001.nii").write_bytes(b"another second channel")
    [*each_image(first, out, [tmp_path / "net.ckpt"], explain := Explaining(), 2)]
    assert explain.seen == ["d_0000.nii"]


def test_a_run_that_is_killed_goes_on_where_it_was(images, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        ran(images, Explaining(killed=["b.nii.gz"]))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert "explained before" not in capsys.readouterr().out
    states, seen = ran(images, Explaining())
    assert "1 of 3 images explained before, by these weights: kept." in capsys.readouterr().out
    assert states == ["explained before", "explained", "explained"]
    assert seen == ["b.nii.gz", "c.nii.gz"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b", "c"]


def test_what_a_process_leaves_that_is_ended_from_outside_goes(images, tmp_path, monkeypatch):
    @contextmanager
    def ended(_task, todo, *_):
        for _, place, _ in todo:
            place.with_name(f".{place.name}.part").mkdir()
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("segtrace.cli.explain.each_image.side_by_side", ended)
    with pytest.raises(KeyboardInterrupt):
        ran(images, Explaining())
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_broken_image_holds_up_no_other_and_is_tried_again(images, capsys):
    assert ran(images, Explaining(failing=["a.nii"]))[0] == ["failed", *["explained"] * 2]
    assert "1 image of 3 failed, see images.csv" in capsys.readouterr().out
    assert ran(images, Explaining())[0] == ["explained", *["explained before"] * 2]
    (images.parent / "net.ckpt").write_bytes(b"x")
    with pytest.raises(InputError, match="none of 3 images could be explained: it ends"):
        ran(images, Explaining(failing=["a.nii", "b.nii.gz", "c.nii.gz"]))


def test_a_disk_that_gets_full_ends_it_and_is_no_fault_of_an_image(images, tmp_path):
    def full(image, folder):
        with writing(folder):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match="No space left on device"):
        ran(images, full)
    assert ran(images, Explaining())[0] == ["explained"] * 3


def test_a_folder_of_somebody_elses_is_left_alone(images, tmp_path):
    (tmp_path / "out" / "b").mkdir(parents=True)
    (tmp_path / "out" / "b" / "thesis.doc").write_text("all my work")
    assert ran(images, Explaining())[0] == ["explained", "failed", "explained"]
    assert (tmp_path / "out" / "b" / "thesis.doc").is_file()


def test_two_images_of_one_name_are_refused(images):
    (images / "b.nii").write_bytes(b"b")
    with pytest.raises(InputError, match=r"b.nii and b.nii.gz are of one name"):
        images_in(images)
    assert images_in(images / "a.nii") == []


def test_a_folder_without_images_is_refused_and_pipes_are_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"no file there ends in .nii or .nii.gz; name a NIfTI"):
        images_in(tmp_path)
    os.mkfifo(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"nii.gz \(a.nii.gz is no plain file\); name a NIfTI"):
        images_in(tmp_path)


def test_the_page_names_no_file(images, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (found,) = each_image(images_in(images), out, [], Explaining(failing=["c.nii.gz"]))
    page = Page()
    found.write(out)
    found.show(page)
    page.write(out / "index.html")
    html = (out / "index.html").read_text()
    assert "3 images: 2 explained, 1 failed" in html
    assert "b.nii" not in html
    assert [row["file"] for row in read_table(out / "images.csv")] == [
        path.name for path in images_in(images)
    ]


def test_the_script_predicts_and_explains_a_folder_and_goes_on(run, tiny_raw, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    whole = (tiny_raw / "img" / "img0001.nii.gz").read_bytes()
    (folder / "one.nii.gz").write_bytes(whole)
    (folder / "two.nii.gz").write_bytes(whole[: len(whole) // 2])
    asked = [
        f"checkpoint={run.checkpoint(2)}", f"image={folder}", f"hydra.run.dir={tmp_path}/out",
        "rules=[grad_pam]", "stages=[dec4]", "region=all", "probes.n=1",
    ]  # fmt: skip
    ran = run_script("explain.py", *asked, cwd=tmp_path)
    assert ran.code == 0, ran.err[-2000:]
    states = [(row["folder"], row["state"]) for row in read_table(tmp_path / "out" / "images.csv")]
    assert states == [("one", "explained"), ("two", "failed")]
    one = tmp_path / "out" / "one"
    image = nibabel.load(folder / "one.nii.gz")
    prediction = nibabel.load(one / "prediction.nii.gz")
    assert prediction.shape == image.shape
    np.testing.assert_array_equal(prediction.affine, image.affine)
    assert {path.name for path in one.iterdir()} >= {"index.html", "maps.npz", "whole.json"}
    row = read_table(tmp_path / "out" / "images.csv")[0]
    voxels = {r["organ"]: int(r["voxels"]) for r in read_table(one / "organs.csv")}
    labels = np.asarray(prediction.dataobj)
    for channel, organ in enumerate(voxels, 1):
        assert voxels[organ] == (labels == channel).sum()
        assert float(row[f"{organ} ml"]) == pytest.approx(voxels[organ] * 0.15, abs=0.01)
    assert json.loads((one / "whole.json").read_text())["checkpoints"]
    other = answer_of("explain.py", *asked, "seed=1")
    assert "holds results of other options, seed=0, and nothing is overwritten" in other.err
