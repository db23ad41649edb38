"""One image under two names is told before it is trained on and validated, or tested."""

import os
import shutil
import warnings

import numpy as np
import pytest

from segtrace.data.datamodule import CaseDataModule
from segtrace.data.sources import RawSource
from segtrace.data.splits.twins import warn_of_twins


@pytest.fixture
def raw(tiny_raw, tmp_path):
    return shutil.copytree(tiny_raw, tmp_path / "Training")


def told(raw, split, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_twins(RawSource(str(raw)), split, tmp_path)
    return [str(one.message) for one in caught]


def copied(raw, one, other):
    shutil.copy(raw / f"img/img{one}.nii.gz", raw / f"img/img{other}.nii.gz")


def test_a_case_that_is_trained_on_and_tested_under_another_name_is_told(raw, tiny_split, tmp_path):
    assert told(raw, tiny_split, tmp_path) == []
    (train, *_), (held,) = tiny_split["train"], tiny_split["test"]
    copied(raw, train, held)
    (line,) = told(raw, tiny_split, tmp_path)
    assert f"cases {train} (train) and {held} (test) have the same image" in line
    assert "says nothing about others" in line
    assert told(raw, tiny_split | {"test": ()}, tmp_path) == []


def test_an_image_with_two_labels_is_told(raw, tiny_split, tmp_path):
    one, other = tiny_split["train"]
    copied(raw, one, other)
    (line,) = told(raw, tiny_split, tmp_path)
    assert f"{one} (train) and {other} (train)" in line
    assert "two labels, or counts twice" in line


def test_files_of_one_size_and_those_that_are_lost_are_no_twins(raw, tiny_split, tmp_path):
    sizes = [(raw / f"img/img{case}.nii.gz").stat().st_size for case in ("0001", "0005")]
    short = ("0001", "0005")[int(np.argmin(sizes))]
    os.truncate(raw / f"img/img{short}.nii.gz", max(sizes))
    (raw / "img/img0027.nii.gz").unlink()
    (raw / "img/img0006.nii.gz").unlink()
    assert told(raw, tiny_split, tmp_path) == []


def test_a_training_tells_it_once(raw, tiny_split, tmp_path):
    copied(raw, tiny_split["train"][0], tiny_split["val"][0])
    label = raw / "label/label{}.nii.gz"
    shutil.copy(*(str(label).format(tiny_split[part][0]) for part in ("train", "val")))
    data = CaseDataModule(
        RawSource(str(raw)), ["liver"], size=16, split=tiny_split, cache_dir=str(tmp_path / "c")
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data.setup("fit")
        data.setup("fit")
    assert sum("the same image, byte for byte" in str(one.message) for one in caught) == 1
