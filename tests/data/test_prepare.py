import os
import time
from dataclasses import replace

import numpy as np
import pytest

from segtrace.data import prepare as preparing
from segtrace.data.labels import BTCV, TRANSUNET, organ_table
from segtrace.data.prepare import prepare
from segtrace.data.preprocessing import Preprocessing, labels_of
from segtrace.data.sources import NiftiSource, RawSource
from segtrace.data.transunet import TransUNetSource
from segtrace.errors import InputError

ORGANS = organ_table(["liver", "spleen", "left_kidney"], BTCV)
SETTINGS = Preprocessing((-125.0, 275.0), 48, ORGANS)


@pytest.fixture
def source(tiny_raw):
    return RawSource(str(tiny_raw))


def folders(cache):
    return sorted(path.name for path in cache.iterdir())


def test_a_prepared_case_equals_the_same_case_preprocessed_afresh(source, tmp_path):
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    volume = source.load("0005")
    images, geometry = SETTINGS.images(volume)
    labels = labels_of(volume, BTCV, SETTINGS, geometry)
    assert len(case) == 8
    assert case.geometry == geometry
    for index in range(8):
        assert np.array_equal(case.image(index), images[index])
        assert np.array_equal(case.label(index), labels[index])
        counts = np.bincount(case.label(index).ravel(), minlength=4)[1:]
        assert case.areas[index].tolist() == counts.tolist()
    assert case.areas.sum() > 0
    assert not case.phantom


def test_a_second_call_reads_the_cache_and_writes_nothing(source, tmp_path, monkeypatch):
    first = prepare(source, ["0005", "0006"], SETTINGS, tmp_path)
    monkeypatch.setattr(RawSource, "load", None)
    again = prepare(source, ["0006", "0005"], SETTINGS, tmp_path)
    assert [case.folder for case in again] == [case.folder for case in reversed(first)]


@pytest.mark.parametrize(
    "change",
    [
        {"window": (-100.0, 275.0)},
        {"size": 32},
        {"organs": organ_table(["spleen", "liver", "left_kidney"], BTCV)},
    ],
)
def test_other_settings_make_another_cache(source, tmp_path, change):
    prepare(source, ["0005"], SETTINGS, tmp_path)
    prepare(source, ["0005"], replace(SETTINGS, **change), tmp_path)
    assert len(folders(tmp_path)) == 2


def test_other_files_or_another_table_make_another_cache(tiny_raw, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    table = {name: BTCV[name] for name in ORGANS}
    for numbering, other in ((table, "background"), (dict(BTCV), "refuse")):
        prepare(NiftiSource(str(tiny_raw), numbering, other=other), ["0005"], SETTINGS, cache)
    assert len(folders(cache)) == 2
    label = tiny_raw / "label" / "label0005.nii.gz"
    status = label.stat()
    os.utime(label, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    prepare(NiftiSource(str(tiny_raw), dict(BTCV)), ["0005"], SETTINGS, cache)
    assert len(folders(cache)) == 3
    monkeypatch.setattr(preparing, "VERSION", 0)
    prepare(NiftiSource(str(tiny_raw), dict(BTCV)), ["0005"], SETTINGS, cache)
    assert len(folders(cache)) == 4


def test_an_interrupted_cache_is_never_taken_for_a_whole_one(source, tmp_path, monkeypatch):
    save = np.save

    def killed(path, array):
        if path.name == "label.npy":
            raise KeyboardInterrupt
        save(path, array)

    monkeypatch.setattr(np, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, ["0005"], SETTINGS, tmp_path)
    assert all(name.startswith(".partial-") for name in folders(tmp_path))
    monkeypatch.setattr(np, "save", save)
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    assert case.label(3).shape == (48, 48)


def test_two_processes_that_prepare_the_same_case_agree(source, tmp_path, monkeypatch):
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    preparing._write(source.load("0005"), BTCV, SETTINGS, case.folder)
    assert folders(tmp_path) == [case.folder.name]


def test_a_cache_that_cannot_be_written_is_named(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: cannot write the slice cache.*data.cache_dir="):
        prepare(source, ["0005"], SETTINGS, tmp_path / "file")


def test_a_case_without_its_files_is_named(source, tmp_path):
    with pytest.raises(InputError, match=r"img0099.nii.gz: no such file, but case 0099 needs it"):
        prepare(source, ["0099"], SETTINGS, tmp_path)


def test_a_label_value_outside_the_table_leaves_no_cache(tiny_raw, tmp_path):
    source = NiftiSource(str(tiny_raw), {name: BTCV[name] for name in ORGANS})
    with pytest.raises(InputError, match=r"label0005.nii.gz: label value 2 is outside the label"):
        prepare(source, ["0005"], SETTINGS, tmp_path)
    assert folders(tmp_path) == []


def test_a_slice_loads_in_well_under_a_millisecond(source, tmp_path):
    (case,) = prepare(source, ["0005"], replace(SETTINGS, size=224), tmp_path)
    times = []
    for index in [*range(8)] * 5:
        start = time.perf_counter()
        case.image(index), case.label(index)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 1e-3


def test_both_real_layouts_give_the_same_slices(ct_root, tmp_path):
    settings = Preprocessing((-125.0, 275.0), 224, organ_table("synapse8", TRANSUNET))
    (raw,) = prepare(RawSource(str(ct_root)), ["9001"], settings, tmp_path)
    (files,) = prepare(TransUNetSource(str(ct_root)), ["9001"], settings, tmp_path)
    assert (len(raw), len(files)) == (112, 52)
    assert np.array_equal(raw.areas[60:], files.areas)
    for index in (0, 25, 51):
        assert np.array_equal(raw.label(60 + index), files.label(index))
        assert np.allclose(raw.image(60 + index), files.image(index), atol=1e-6)
    assert raw.geometry.spacing == pytest.approx((3 * 122 / 224, 3 * 122 / 224))
    assert np.isnan(files.geometry.spacing).all()


def test_the_name_of_a_case_stays_inside_the_cache(source, tmp_path, monkeypatch):
    load, files = source.load, source.files
    monkeypatch.setattr(source, "files", lambda case: files(case.removeprefix("../../")))
    monkeypatch.setattr(source, "load", lambda case: load(case.removeprefix("../../")))
    cases = prepare(source, ["0005", "../../0005"], SETTINGS, tmp_path / "deep" / "cache")
    assert len({case.folder for case in cases}) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["cache"]
    assert len(folders(tmp_path / "deep" / "cache")) == 2
