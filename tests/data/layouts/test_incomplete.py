"""Two folders that are there, and what of them is not."""

import shutil

import pytest

from segtrace.data.layouts.finding import find_source
from segtrace.errors import InputError


@pytest.fixture
def folders(tmp_path):
    """Two cases by nnU-Net's names; what is in the files is not looked at."""
    for name in ("imagesTr/c01_0000", "imagesTr/c02_0000", "labelsTr/c01", "labelsTr/c02"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.nii.gz").write_bytes(b"x")
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "liver": 1}}')
    return tmp_path


def refused(root):
    with pytest.raises(InputError) as caught:
        find_source(str(root))
    words = str(caught.value)
    assert "dataset.json" not in words
    return words.removeprefix(f"{root}: ")


def test_whole_ones_are_found(folders):
    assert find_source(str(folders)).cases() == ("c01", "c02")


def test_other_capitals_are_named(folders):
    (folders / "labelsTr/c01.nii.gz").rename(folders / "labelsTr/C01.nii.gz")
    assert refused(folders) == (
        "1 of 2 labels have no image: beside labelsTr/C01.nii.gz there is "
        "imagesTr/c01_0000.nii.gz, of other capitals; rename one of them"
    )


def test_a_folder_in_the_place_of_an_image_is_named(folders):
    (folders / "imagesTr/c01_0000.nii.gz").unlink()
    (folders / "imagesTr/c01_0000.nii.gz").mkdir()
    assert "imagesTr/c01_0000.nii.gz is a folder; put the image of labelsTr/c01.nii.gz" in refused(
        folders
    )


def test_labels_or_images_that_are_not_there_are_named(folders):
    (folders / "imagesTr/c02_0000.nii.gz").unlink()
    assert "no imagesTr/c02_0000.nii.gz for labelsTr/c02.nii.gz; add it" in refused(folders)
    for path in (folders / "imagesTr").iterdir():
        path.unlink()
    assert "2 of 2 labels have no image, e.g. no imagesTr/c01" in refused(folders)
    for path in (folders / "labelsTr").iterdir():
        path.unlink()
    assert refused(folders).startswith("labelsTr/ holds no NIfTI file")


def test_without_two_folders_none_are_spoken_of(folders):
    shutil.rmtree(folders / "labelsTr")
    with pytest.raises(InputError, match=r"no cases listed in dataset.json, no CASE/ct.nii.gz"):
        find_source(str(folders))
    (folders / "dataset.json").unlink()
    with pytest.raises(InputError, match=r": no dataset.json, no CASE/ct.nii.gz"):
        find_source(str(folders))
