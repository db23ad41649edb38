"""What is said before anything is written: exact to the byte, from headers alone."""

import gzip
import shutil
from collections import namedtuple

import h5py
import nibabel
import numpy as np
import pytest

from helpers.prepared import prepare
from segtrace.data.cache import needs
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.files.stored import shape_of
from segtrace.data.files.transunet_files import stored_shape
from segtrace.data.labels import BTCV, organ_table
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.sources import RawSource
from segtrace.data.transunet import TransUNetSource
from segtrace.errors import InputError
from segtrace.planted.source import PlantedSource

SETTINGS = Preprocessing((-125.0, 275.0), 40, organ_table(["liver"], BTCV))
Usage = namedtuple("Usage", "total used free")


def test_what_is_needed_is_what_is_written(tiny_raw, tmp_path, capsys):
    source = RawSource(str(tiny_raw))
    prepare(source, ["0005"], SETTINGS, tmp_path / "cache")
    capsys.readouterr()
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segtrace.data.prepare.check_room", lambda *given: asked.append(given))
        cases = prepare(source, ["0005", "0006", "0027"], SETTINGS, tmp_path / "cache")
        prepare(source, ["0005", "0006", "0027"], SETTINGS, tmp_path / "cache")
    ((folder, needed, what),) = asked  # of the whole cache nothing is said
    written = [path for case in cases[1:] for path in case.folder.glob("*.npy")]
    assert len(written) == 4
    assert needed == sum(path.stat().st_size for path in written)
    assert (folder, what) == (tmp_path / "cache", "16 slices of 2 cases")


def test_all_parts_are_asked_for_at_once(tiny_raw, tiny_split, tmp_path, monkeypatch, capsys):
    options = {"organs": ["liver"], "size": 40, "split": tiny_split, "cache_dir": str(tmp_path)}
    data = CaseDataModule(RawSource(str(tiny_raw)), **options)
    needed = 4 * needs.entry_bytes(8, 40, 40)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, needed - 1))
    with pytest.raises(InputError, match=r"32 slices of 4 cases take 0.2 MiB of disk, and .*free"):
        data.gather("train", "val", "test")
    assert not [*tmp_path.iterdir()]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, needed))
    data.gather("train", "val", "test")
    data.setup("fit")
    said = capsys.readouterr().out
    assert said.count("Cache: ") == 1
    assert "Cache: 32 slices of 4 cases take 0.2 MiB in" in said
    written = sum(path.stat().st_size for path in tmp_path.glob("*/*.npy"))
    assert written == needed
    for part, cases in tiny_split.items():
        assert [case.name for case in data.cases(part)] == cases


def test_it_is_said_beside_what_is_free(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 3 * 2**30))
    needs.check_room(tmp_path / "new" / "cache", 2**20, "16 slices of 2 cases")
    said = capsys.readouterr().out
    assert "Cache: 16 slices of 2 cases take 1.0 MiB in" in said
    assert said.endswith("new/cache; 3.0 GiB are free.\n")
    assert not (tmp_path / "new").exists()


def test_without_room_nothing_is_begun(tiny_raw, tmp_path, monkeypatch):
    source, cache = RawSource(str(tiny_raw)), tmp_path / "cache"
    needed = 2 * needs.entry_bytes(8, 40, 40)
    monkeypatch.setattr(RawSource, "load", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, needed - 1))
    words = r"cache: 16 slices of 2 cases take 0.1 MiB of disk, and .*; free .*data.cache_dir="
    with pytest.raises(InputError, match=words):
        prepare(source, ["0005", "0006"], SETTINGS, cache)
    assert not cache.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, needed))
    with pytest.raises(TypeError):  # begun
        prepare(source, ["0005", "0006"], SETTINGS, cache)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_slices_are_counted_along_the_body_without_reading_a_voxel(tmp_path, axes, ending):
    shape = np.array((5, 6, 7))[list(axes)]
    affine = np.eye(4)[:, [*axes, 3]]
    path = tmp_path / f"scan{ending}"
    nibabel.Nifti1Image(np.zeros(shape, np.int16), affine).to_filename(path)
    content = gzip.decompress(path.read_bytes()) if ending == ".nii.gz" else path.read_bytes()
    header = content[:352]
    path.write_bytes(gzip.compress(header) if ending == ".nii.gz" else header)
    assert shape_of(path) == (7, 6, 5)


def test_what_has_no_readable_header_is_left_to_the_reading(tmp_path):
    (tmp_path / "text.nii.gz").write_text("no scan")
    assert shape_of(tmp_path / "text.nii.gz") is None
    assert shape_of(tmp_path / "missing.nii.gz") is None


def test_every_source_counts_what_it_loads(ct_root):
    for source in (
        PlantedSource(cases=(1, 1, 1), slices=4),
        TransUNetSource(str(ct_root / "transunet")),
        RawSource(str(ct_root)),
    ):
        for case in source.cases():
            assert source.shape(case) == source.load(case).image.shape


def test_the_shape_of_an_h5_file_is_told_without_reading_it(tmp_path):
    path = tmp_path / "case0001.npy.h5"
    assert stored_shape(path) is None
    path.write_bytes(b"none")
    assert stored_shape(path) is None
    with h5py.File(path, "w") as file:
        file["label"] = [1]
    assert stored_shape(path) is None
    with h5py.File(path, "w") as file:
        file["image"] = np.zeros((5, 8, 9))
    assert stored_shape(path) == (5, 9, 8)  # stored [slice, x, y]
    (tmp_path / "one.npz").write_bytes(b"none")
    assert stored_shape(tmp_path / "one.npz") is None
