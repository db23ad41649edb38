import shutil

import pytest

from segtrace.data.files.finding_files import find_layout, matches
from segtrace.data.labels import BTCV
from segtrace.data.sources import NiftiSource, RawSource
from segtrace.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """``imagesTr`` and ``labelsTr`` of cases a, b c and ü, as empty files."""
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / part).mkdir()
        for case in ("a", "b c", "ü"):
            (tmp_path / part / f"{case}.nii.gz").touch()
    return tmp_path


def source(folder, **options):
    patterns = {"images": "imagesTr/*.nii.gz", "masks": "labelsTr/*.nii.gz"}
    return NiftiSource(str(folder), BTCV, **(patterns | options))


@pytest.mark.parametrize(
    "left",
    ["._a.nii.gz", ".a.nii.gz", ".nii.gz", "a.nii.gz.part", "a.nii.gz~", "a.nii.gz:Zone.Identifier",
     "notes.txt", ".DS_Store"],
)  # fmt: skip
@pytest.mark.parametrize("part", ["imagesTr", "labelsTr"])
def test_what_is_left_beside_the_files_is_no_case(folder, part, left):
    (folder / part / left).write_bytes(b"\0\5\x16\7")
    assert source(folder).cases() == ("a", "b c", "ü")


def test_folders_and_links_to_them_are_no_cases(folder):
    (folder / "imagesTr" / "z.nii.gz").mkdir()
    (folder / "imagesTr" / "y.nii.gz").symlink_to(folder)
    assert source(folder).cases() == ("a", "b c", "ü")


def test_a_link_to_a_file_is_a_case(folder):
    for part in ("imagesTr", "labelsTr"):
        (folder / part / "z.nii.gz").symlink_to(folder / part / "a.nii.gz")
    assert source(folder).cases() == ("a", "b c", "z", "ü")


@pytest.mark.parametrize("part", ["imagesTr", "labelsTr"])
def test_a_case_with_two_files_is_refused(folder, part):
    (folder / part / "a.nii").touch()
    with pytest.raises(InputError, match=r"case a has two files, .*a.nii and a.nii.gz; take one"):
        source(folder).cases()


def test_signs_that_a_glob_would_read_are_themselves(tmp_path):
    for part in ("im[1]", "la[1]"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a?.nii").touch()
    found = source(tmp_path, images="im[1]/*.nii.gz", masks="la[1]/*.nii.gz")
    assert found.cases() == ("a?",)
    assert [path.is_file() for path in found.files("a?")] == [True, True]


@pytest.mark.parametrize(
    "pattern", ["a.nii.gz", "*/*.nii.gz", "**/a.nii.gz", "/data/*.nii.gz", "*"]
)
@pytest.mark.parametrize("option", ["images", "masks"])
def test_a_pattern_that_names_no_case_is_refused_by_its_option(folder, option, pattern):
    with pytest.raises(InputError, match=rf"data.{option}=.*e.g. imagesTr/\*.nii.gz"):
        source(folder, **{option: pattern})


def test_a_pattern_may_lead_out_of_the_folder(folder):
    (folder / "below").mkdir()
    found = source(folder / "below", images="../imagesTr/*.nii.gz", masks="../labelsTr/*.nii.gz")
    assert found.cases() == ("a", "b c", "ü")


@pytest.mark.parametrize("trash", ["__MACOSX", ".Trash", "Data/__MACOSX/RawData"])
def test_what_an_archive_of_macos_leaves_is_no_second_data_set(tiny_raw, tmp_path, trash):
    shutil.copytree(tiny_raw, tmp_path / "RawData")
    for part in ("img", "label"):
        (tmp_path / trash / part).mkdir(parents=True)
        (tmp_path / trash / part / f"._{part}0001.nii.gz").touch()
    assert find_layout(tmp_path, ("img", "label")) == tmp_path / "RawData"
    assert len(RawSource(str(tmp_path)).cases()) == 4


def test_a_folder_below_a_hidden_one_is_found(tiny_raw, tmp_path):
    hidden = shutil.copytree(tiny_raw, tmp_path / ".data" / "RawData")
    assert RawSource(str(tmp_path / ".data")).root == hidden


def test_empty_folders_hold_no_case(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    assert matches(tmp_path, "imagesTr/*.nii.gz") == {}
    with pytest.raises(InputError, match="no file matches imagesTr"):
        source(tmp_path).cases()
