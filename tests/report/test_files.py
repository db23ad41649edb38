import errno
import hashlib
import json
import os
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segtrace.errors import InputError
from segtrace.report import files
from segtrace.report.files import (
    atomic,
    check_writable,
    environment,
    jpeg,
    load_maps,
    save_manifest,
    save_maps,
    save_png,
    save_text,
    sha256,
)
from segtrace.report.pictures.cells import heat_cell


def assert_same(left, right):
    for field in fields(left):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, torch.Tensor):
            assert a.dtype == b.dtype
            assert torch.equal(a, b), field.name
        elif field.name == "maps":
            assert list(a) == list(b)
            assert all(torch.equal(a[stage], b[stage]) for stage in a)
        else:
            assert a == b, field.name


def write_half(path):
    with atomic(path) as file:
        file.write(b"half")
        raise RuntimeError


def fill(path):
    with files.writing(path), path.open("wb", buffering=0) as file:
        file.write(b"x")


def test_maps_come_back_bit_for_bit(record, tmp_path):
    save_maps(tmp_path / "maps.npz", record)
    read = load_maps(tmp_path / "maps.npz")
    assert_same(read.flow, record.flow)
    assert_same(read.scene, record.scene)
    assert (read.region, read.epoch) == ("gt", 7)


def test_double_precision_stays(record, tmp_path):
    doubled = {stage: maps.double() / 3 for stage, maps in record.flow.maps.items()}
    record = replace(record, flow=replace(record.flow, maps=doubled))
    save_maps(tmp_path / "maps.npz", record)
    assert_same(load_maps(tmp_path / "maps.npz").flow, record.flow)


def test_a_cell_is_redrawn_from_the_file_with_the_same_pixels(record, tmp_path):
    save_maps(tmp_path / "maps.npz", record)
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        redrawn = heat_cell(arrays["enc1"][1, 0, 0], arrays["image"][0, 0])
    drawn = heat_cell(record.flow.maps["enc1"][1, 0, 0], record.scene.image[0, 0])
    np.testing.assert_array_equal(redrawn, drawn)


def test_equal_records_make_equal_files(record, tmp_path):
    save_maps(tmp_path / "a.npz", record)
    save_maps(tmp_path / "b.npz", record)
    assert sha256(tmp_path / "a.npz") == sha256(tmp_path / "b.npz")


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_or_foreign_file_is_one_line(record, tmp_path, damage):
    path = tmp_path / "maps.npz"
    if damage is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("other.txt", "x")
    else:
        path.write_bytes(damage)
    with pytest.raises(InputError, match=r"maps\.npz: not a whole") as caught:
        load_maps(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(record, tmp_path):
    path = tmp_path / "maps.npz"
    save_maps(path, record)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="not a whole"):
        load_maps(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no file .*absent\.npz"):
        load_maps(tmp_path / "absent.npz")


def test_an_exception_leaves_neither_half_a_file_nor_a_draft(tmp_path):
    path = tmp_path / "new" / "result.bin"
    with pytest.raises(RuntimeError):
        write_half(path)
    assert list(path.parent.iterdir()) == []


def test_an_exception_keeps_what_was_there(tmp_path):
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_has_the_name_before_the_end(tmp_path):
    path = tmp_path / "result.bin"
    with atomic(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"


def test_whoever_reads_the_old_file_while_a_new_one_comes_reads_it_whole(tmp_path):
    save_text(tmp_path / "x.txt", "old")
    with (tmp_path / "x.txt").open() as reader:
        save_text(tmp_path / "x.txt", "new")
        assert reader.read() == "old"
    assert (tmp_path / "x.txt").read_text() == "new"


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "free some space or name another folder"),
        (errno.EACCES, "you may write to"),
        (errno.EROFS, "you may write to"),
        (errno.EIO, "choose another place"),
    ],
)
def test_a_refusal_of_the_system_is_one_line_with_a_remedy(tmp_path, code, remedy):
    path = tmp_path / "x.bin"
    with pytest.raises(InputError, match=remedy) as caught, atomic(path):
        raise OSError(code, os.strerror(code))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(InputError, match="free some space"):
        fill(Path("/dev/full"))


def test_a_folder_whose_path_holds_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="a part of this path is a file"):
        check_writable(tmp_path / "file" / "run")
    with pytest.raises(InputError, match="a part of this path is a file"):
        save_text(tmp_path / "file" / "run" / "x.txt", "x")


def test_a_folder_that_forbids_writing_is_refused(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # The tests may run as root, whom no permission bits stop.
    monkeypatch.setattr(files, "TemporaryFile", refuse)
    with pytest.raises(InputError, match="Permission denied; choose a folder you may write to"):
        check_writable(tmp_path)


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_png_keeps_every_pixel_and_jpeg_nearly(tmp_path):
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], np.uint8(90)), -1)
    save_png(tmp_path / "p.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "p.png")), picture)
    (tmp_path / "p.jpg").write_bytes(jpeg(picture))
    with Image.open(tmp_path / "p.jpg") as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - picture).max() < 16


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"segtrace")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"segtrace").hexdigest()


def test_the_manifest_holds_the_facts_and_what_the_bits_depend_on(tmp_path):
    save_manifest(tmp_path / "manifest.json", {"checkpoint": {"sha256": "ab"}, "region": "gt"})
    read = json.loads((tmp_path / "manifest.json").read_text())
    assert read["region"] == "gt"
    assert read["environment"]["packages"]["torch"] == torch.__version__
    assert read["environment"]["threads"] == torch.get_num_threads()
    assert read["environment"].keys() == environment().keys()
    assert read["environment"]["cpu"]


def test_a_manifest_of_what_is_no_plain_value_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        save_manifest(tmp_path / "manifest.json", {"tensor": torch.zeros(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_text_with_half_a_letter_is_written_whole(tmp_path):
    """The name of a file may be no text; it stands in manifests, pages and tables."""
    save_text(tmp_path / "t.txt", "img\udcff.nii.gz, Größe")
    assert (tmp_path / "t.txt").read_text(encoding="utf-8") == r"img\udcff.nii.gz, Größe"
