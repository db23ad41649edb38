import shutil
import stat
import zipfile

import pytest

from segtrace.data.files import archives
from segtrace.data.files.archives import unpacked
from segtrace.data.sources import RawSource
from segtrace.errors import InputError


def packed(folder, members, name="RawData.zip", **options):
    """An archive of these names and contents."""
    path = folder / name
    with zipfile.ZipFile(path, "w", **options) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return path


@pytest.fixture
def raw_zip(tiny_raw, tmp_path):
    """The tiny data set as Synapse packs its own, with what macOS and others leave in it."""
    files = sorted(tiny_raw.rglob("*.nii.gz"))
    members = [
        (f"RawData/Training/{path.relative_to(tiny_raw)}", path.read_bytes()) for path in files
    ]
    rest = [("__MACOSX/RawData/Training/img/._img0001.nii.gz", b"x"), ("RawData/read.me", b"x"),
            ("RawData/Training/img/._img0001.nii.gz", b"x")]  # fmt: skip
    return packed(tmp_path, [*members, *rest])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("where", ["the archive", "its folder"])
def test_the_archive_as_it_comes_is_unpacked_once(raw_zip, tiny_raw, where, capsys):
    root = raw_zip if where == "the archive" else raw_zip.parent
    source = RawSource(str(root))
    assert source.cases() == ("0001", "0005", "0006", "0027")
    for case in source.cases():
        for one, other in zip(
            source.files(case), RawSource(str(tiny_raw)).files(case), strict=True
        ):
            assert one.read_bytes() == other.read_bytes()
    assert "Unpacking RawData.zip: 8 files, 0.1 MiB, to " in capsys.readouterr().out
    assert RawSource(str(root)).files("0001") == source.files("0001")
    assert capsys.readouterr().out == ""
    assert len(names(raw_zip.parent)) == 2
    assert sorted(path.name for path in source.root.rglob("*.*")) == sorted(
        path.name for path in tiny_raw.rglob("*.nii.gz")
    )


def test_another_archive_of_the_same_name_is_another_folder(raw_zip):
    first = unpacked(raw_zip)
    packed(raw_zip.parent, [("img/img1.nii.gz", b"y"), ("label/label1.nii.gz", b"z")])
    assert unpacked(raw_zip) != first
    shutil.rmtree(first)
    assert (unpacked(raw_zip) / "img" / "img1.nii.gz").read_bytes() == b"y"


def linked(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("../../img1.nii.gz", "leads out"),
        ("/etc/img1.nii.gz", "leads out"),
        ("C:/img1.nii.gz", "leads out"),
        ("a/./../../img1.nii.gz", "leads out"),
        ("img/a\nb.nii.gz", "control codes"),
        (linked("img/img1.nii.gz"), "a link or a device"),
    ],
)
def test_what_would_do_harm_is_not_unpacked(tmp_path, member, words):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    path = packed(inner, [("label/label1.nii.gz", b"x"), (member, b"/etc/passwd")])
    with pytest.raises(InputError, match=rf"not unpacked, since .*{words}"):
        unpacked(path)
    assert names(inner) == ["RawData.zip"]
    assert names(tmp_path) == ["a"]


def test_more_than_is_allowed_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    path = packed(tmp_path, [(f"img/img{i}.nii", bytes(5000)) for i in range(3)],
                  compression=zipfile.ZIP_DEFLATED)  # fmt: skip
    for name, value in (("MOST_FILES", 2), ("LARGEST", 14_999), ("PACKED", 10)):
        with monkeypatch.context() as patch:
            patch.setattr(archives, name, value)
            with pytest.raises(InputError, match=r"not unpacked, since .* declares"):
                unpacked(path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))
        with pytest.raises(InputError, match=r"takes 15 KiB of disk, and 0 KiB are free; unpack"):
            unpacked(path)
    assert names(tmp_path) == ["RawData.zip"]
    assert len(names(unpacked(path) / "img")) == 3


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(tmp_path):
    path = packed(tmp_path, [("img/img1.nii", b"x"), ("img/img1.nii", b"y")])
    with pytest.raises(InputError, match="two files in it have one name"):
        unpacked(path)


@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty", "other"])
def test_a_damaged_archive_is_one_line_and_leaves_nothing(raw_zip, damage):
    content = raw_zip.read_bytes()
    changed = {
        "truncated": content[:-100],
        "one bit": content[:500] + bytes([content[500] ^ 1]) + content[501:],
        "empty": b"",
        "other": b"<html>log in</html>",
    }[damage]
    raw_zip.write_bytes(changed)
    with pytest.raises(InputError, match=r"not a readable zip archive \(.*; download it") as caught:
        unpacked(raw_zip)
    assert "\n" not in str(caught.value)
    assert names(raw_zip.parent) == ["RawData.zip"]


def test_of_several_archives_the_raw_one_is_taken_or_one_is_asked_for(tmp_path):
    files = [("img/img1.nii", b"x")]
    for name in ("RegData.zip", "Other.zip"):
        packed(tmp_path, files, name)
    with pytest.raises(InputError, match=r"it holds Other.zip, RegData.zip; give data.root="):
        unpacked(tmp_path)
    packed(tmp_path, files)
    assert unpacked(tmp_path).name.startswith("RawData-")


def test_an_archive_without_scans_is_named(tmp_path):
    with pytest.raises(InputError, match="no NIfTI file is in it"):
        unpacked(packed(tmp_path, [("readme.txt", b"x")]))


def test_a_disk_that_fills_up_leaves_nothing(raw_zip, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(InputError, match=r"No space left on device\); unpack it yourself"):
        unpacked(raw_zip)
    assert names(raw_zip.parent) == ["RawData.zip"]
