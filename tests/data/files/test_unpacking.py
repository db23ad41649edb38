import bz2
import gzip
import os
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from helpers.raw_layout import AFFINES
from segtrace.data.files.nifti import read_image
from segtrace.data.files.unpacking import check_file, read_nifti_bytes
from segtrace.errors import InputError


@pytest.fixture
def plain():
    noise = np.random.default_rng(0).integers(-1000, 1000, (9, 8, 7), dtype=np.int16)
    return nibabel.Nifti1Image(noise, AFFINES["LAS"]).to_bytes()


@pytest.fixture
def written(tmp_path):
    def written(content, name="t.nii.gz"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return written


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        read_nifti_bytes(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("t.nii", bytes),
        ("t.nii.gz", gzip.compress),
        ("T.NII.GZ", gzip.compress),
        ("t.nii.bz2", bz2.compress),
        ("two parts.nii.gz", lambda b: gzip.compress(b[:500]) + gzip.compress(b[500:])),
        ("padded.nii.gz", lambda b: gzip.compress(b) + bytes(100)),
        ("followed by something.nii.gz", lambda b: gzip.compress(b) + b"a signature"),
        ("ünï.nii.gz", gzip.compress),
    ],
)
def test_every_packing_gives_the_same_bytes(written, plain, name, pack):
    assert read_nifti_bytes(written(pack(plain), name)) == plain


@pytest.mark.parametrize("place", [-8, -5, -4, -1])
def test_a_wrong_checksum_or_length_is_told_though_every_voxel_could_be_read(written, plain, place):
    packed = bytearray(gzip.compress(plain))
    packed[place] ^= 1
    path = written(bytes(packed))
    reason = "checksum is wrong" if place < -4 else "incorrect length check"
    refused(path, rf"t.nii.gz: not a readable NIfTI file \(.*{reason}\); copy or download it again")
    with pytest.raises(InputError, match=reason):
        read_image(path)


def test_a_name_that_says_another_packing_is_told_and_the_remedy_works(written, plain):
    path = written(plain)
    refused(path, r"t.nii.gz: a plain NIfTI file, not compressed .*; rename it to t.nii$")
    assert read_nifti_bytes(path.rename(path.with_name("t.nii"))) == plain
    path = written(gzip.compress(plain), "u.nii")
    refused(path, r"u.nii: compressed, which its name does not say; rename it to u.nii.gz$")
    assert read_nifti_bytes(path.rename(path.with_name("u.nii.gz"))) == plain


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; copy or download"),
        (b"hello" * 100, "not a readable NIfTI file .*hello"),
        (bytes(1000), "not a readable NIfTI file"),
        (b"\x5c\x01\0\0", "not a readable NIfTI file .it ends after 4 bytes"),
        (gzip.compress(gzip.compress(bytes(1000), mtime=0), mtime=0), "compressed twice"),
        (b"\n<!DOCTYPE html><title>Log in</title>", "a web page.*log in and download it again"),
        (b"version https://git-lfs.github.com/spec/v1", "git LFS.*git lfs pull"),
        (b"PK\x03\x04...", "a zip archive; unpack it"),
        (
            gzip.compress(bytes(3) + b"\1" + bytes(3) + b"\x14" + bytes(300), mtime=0),
            "a FreeSurfer volume",
        ),
        (bytes(128) + b"DICM" + bytes(900), "a DICOM slice.*dcm2niix"),
        (b"\x89PNG\r\n", "a picture"),
    ],
)
def test_another_kind_of_file_is_called_what_it_is(written, content, message):
    refused(written(content), rf"t.nii.gz: .*{message}")


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.AnalyzeImage])
def test_half_of_a_pair_is_told_and_the_remedy_works(tmp_path, kind):
    values = np.random.default_rng(0).integers(-1000, 1000, (9, 8, 7), dtype=np.int16)
    nibabel.save(kind(values, AFFINES["LAS"]), tmp_path / "pair.hdr")
    for half in ("pair.hdr", "pair.img"):
        refused(tmp_path / half, rf"{half}: half of an ANALYZE or NIfTI pair.*nibabel.save")
    nibabel.save(nibabel.load(tmp_path / "pair.hdr"), tmp_path / "x.nii.gz")
    read = read_image(tmp_path / "x.nii.gz").image
    assert np.array_equal(read[:, ::-1], values.transpose(2, 1, 0))


def test_folders_and_links_to_nothing_are_told(tmp_path):
    (tmp_path / "folder.nii.gz").mkdir()
    refused(tmp_path / "folder.nii.gz", "a folder; name one NIfTI file")
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    refused(tmp_path / "link.nii.gz", "a link to .*gone.nii.gz, which is not there")
    refused(tmp_path / "none.nii.gz", "no such file")


def test_what_is_no_file_is_called_what_it_is_and_not_waited_for(tmp_path):
    (tmp_path / "loop.nii.gz").symlink_to("loop.nii.gz")
    refused(tmp_path / "loop.nii.gz", "a link that leads back to itself; mend the link")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    refused(tmp_path / "pipe.nii.gz", "a pipe or a device; write what it gives into a file")
    refused(tmp_path / "pipe.nii.gz" / "below.nii.gz", "no such file")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match=r"folder.npz: a folder; a file is needed in its place"):
        check_file(tmp_path / "folder.npz", "")


def test_a_link_to_a_file_is_the_file(written, plain, tmp_path):
    (tmp_path / "link.nii.gz").symlink_to(written(gzip.compress(plain)))
    assert read_nifti_bytes(tmp_path / "link.nii.gz") == plain


PEAK = """
import resource, sys
from pathlib import Path
from segtrace.data.files.unpacking import read_nifti_bytes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_nifti_bytes(Path(sys.argv[1]))
except ValueError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("pack", [gzip.GzipFile, bz2.BZ2File])
def test_a_small_file_that_packs_gigabytes_is_not_unpacked_to_its_end(pack, plain, tmp_path):
    path = tmp_path / f"t.nii.{'gz' if pack is gzip.GzipFile else 'bz2'}"
    with pack(path, "wb", compresslevel=1) as file:
        file.write(plain)
        for _ in range(400):
            file.write(bytes(2**20))
    assert path.stat().st_size < 4 * 2**20
    ran = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, text=True)
    said, peak = ran.stdout.splitlines()
    assert f"unpacks to more than the {len(plain)} bytes that its header describes" in said
    assert int(peak) < 60


def test_a_header_that_asks_for_more_memory_than_there_is_is_told(plain, written, monkeypatch):
    monkeypatch.setattr("segtrace.data.files.unpacking.free_memory", lambda: 2**20)
    refused(written(gzip.compress(plain)), r"what its header describes takes .* of memory, and")
