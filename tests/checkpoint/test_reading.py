"""Files that torch.save wrote, and all those that it did not."""

import argparse
import io
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest
import torch

from segtrace import InputError
from segtrace.checkpoint.reading import checksums, compare, has_checksums, read

WHOLE = {"w": torch.arange(6.0).view(2, 3), "epoch": 3, "name": "liver"}


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.ckpt"


def saved(path, content=WHOLE, **options):
    torch.save(content, path, **options)
    return path


def same(one, other):
    return (one["epoch"], one["name"]) == (other["epoch"], other["name"]) and torch.equal(
        one["w"], other["w"]
    )


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_what_was_saved_is_read(path, mmap, zipped):
    saved(path, _use_new_zipfile_serialization=zipped)
    assert same(read(path, mmap=mmap), WHOLE)
    assert has_checksums(path) == zipped


def test_numpys_numbers_are_read_as_numbers_and_its_arrays_left_out(path):
    scalars = {"a": np.float64(0.1), "b": np.float32(2.5), "c": np.int64(-3), "d": np.bool_(True),
               "e": np.float16(0.5), "f": np.uint8(255), "g": np.str_("x")}  # fmt: skip
    for zipped in (True, False):
        options = {"_use_new_zipfile_serialization": zipped}
        content = {"network_weights": {"w": torch.ones(2)}, "logging": scalars, "array": np.ones(3)}
        found = read(saved(path, content, **options))
        assert found["logging"] == {name: value.item() for name, value in scalars.items()}
        assert {type(value).__module__ for value in found["logging"].values()} == {"builtins"}
        assert torch.equal(found["network_weights"]["w"], torch.ones(2))


def test_what_other_packages_allow_torch_to_call_is_not_called(path):
    saved(path, {"a": Call(pathlib.PurePosixPath, "x")})
    before = torch.serialization.get_safe_globals()
    with torch.serialization.safe_globals([pathlib.PurePosixPath]):
        with pytest.raises(InputError, match=r"holds code \(pathlib.PurePosixPath\)"):
            read(path)
        assert pathlib.PurePosixPath in torch.serialization.get_safe_globals()
    assert set(torch.serialization.get_safe_globals()) == set(before)


@pytest.mark.parametrize("mmap", [False, True])
def test_code_is_named_and_not_run(path, tmp_path, mmap):
    target = tmp_path / "ran"
    for what, content in {
        r"\w+\.mkdir": Call(os.mkdir, str(target)),
        "argparse.Namespace": argparse.Namespace(lr=1),
        "pathlib.PosixPath": pathlib.Path("x"),
    }.items():
        for zipped in (True, False):
            saved(path, {"a": content}, _use_new_zipfile_serialization=zipped)
            message = rf"file.ckpt is refused: it holds code \({what}\), .*torch.save\(net.state"
            with pytest.raises(InputError, match=message):
                read(path, mmap=mmap)
    assert not target.exists()


def archive(path, pickled, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("a/data.pkl", pickled)
        file.writestr("a/version", "3\n")
        file.writestr("a/byteorder", "little")
    return path


def test_a_file_puts_no_terminal_codes_into_a_message(path):
    archive(path, b"\x80\x02cevil\x1b[31m\nna\x07me\n.")
    with pytest.raises(InputError, match=r"holds code \(evil\\x1b\[31m.na\\x07me\)") as caught:
        read(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello", "is no checkpoint: no file that torch.save wrote"),
        (bytes(2000), "is no checkpoint"),
        (b"PK", "is damaged"),
        (pickle.dumps({"a": 1}, protocol=2), "is no checkpoint"),
        (pickle.dumps({"a": 1}, protocol=5), "is no checkpoint"),
        (b"\x80\x02", "is damaged"),
        (b"\x1f\x8b" + bytes(100), "is no checkpoint"),
    ],
)
def test_what_is_no_such_file_is_called_so(path, content, message):
    path.write_bytes(content)
    for mmap in (False, True):
        with pytest.raises(InputError, match=rf"file\.ckpt {message}") as caught:
            read(path, mmap=mmap)
        assert "\n" not in str(caught.value)
        assert "weights_only" not in str(caught.value)


def test_other_archives_and_programs_are_told_apart(path):
    np.savez(path.with_suffix(".npz"), a=1)
    with pytest.raises(InputError, match=r"file\.npz is no checkpoint"):
        read(path.with_suffix(".npz"))
    archive(path, b"\x80\x02}.")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("a/constants.pkl", b"\x80\x02).")
    with pytest.raises(InputError, match=r"holds code \(a TorchScript program\)"):
        read(path)


def test_an_archive_that_lacks_an_entry_is_told_in_our_words(path, tmp_path):
    whole, lacking = saved(path), tmp_path / "lacking.ckpt"
    with zipfile.ZipFile(whole) as archive:
        entries = {one.filename: archive.read(one) for one in archive.infolist()}
    for entry in ("version", "data/0"):
        with zipfile.ZipFile(lacking, "w") as file:
            for name, content in entries.items():
                if name.partition("/")[2] != entry:
                    file.writestr(name, content)
        with pytest.raises(InputError, match=rf"is damaged \(its entry '{entry}' is missing\)"):
            read(lacking)


def test_places_that_hold_no_file_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, message in {
        tmp_path: "is a folder; name a file in it",
        tmp_path / "none.ckpt": "none.ckpt does not exist",
        tmp_path / "pipe": "is no file, but a pipe or a device",
        pathlib.Path("/dev/zero"): "is no file, but a pipe or a device",
        tmp_path / ("x" * 300): "does not exist|File name too long",
        tmp_path / "a\0b": "does not exist|null",
    }.items():
        with pytest.raises(InputError, match=message):
            read(place)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.98])
def test_a_file_that_is_cut_short_is_damaged(path, kept):
    whole = saved(path).read_bytes()
    for content in (whole[: int(kept * len(whole))], None):
        if content is None:  # as long as before, as a disk leaves it that lost its power
            content = whole[: int(kept * len(whole))].ljust(len(whole), b"\0")
        path.write_bytes(content)
        for mmap in (False, True):
            with pytest.raises(InputError, match=r"file\.ckpt is damaged \(its end is missing\)"):
                read(path, mmap=mmap)


def test_one_flipped_bit_anywhere_is_noticed_or_changes_nothing(path):
    whole = saved(path).read_bytes()
    noticed = 0
    for at in range(0, len(whole), 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            found = read(path)
        except InputError:
            noticed += 1
        else:
            assert same(found, WHOLE), at
    assert noticed > 100


def test_a_damaged_tensor_is_noticed_by_whoever_uses_it(path):
    whole = saved(path).read_bytes()
    at = whole.index(WHOLE["w"].numpy().tobytes())
    path.write_bytes(whole[:at] + b"\x01" + whole[at + 1 :])
    with pytest.raises(InputError, match=r"file\.ckpt is damaged \(Bad CRC-32"):
        read(path)
    with pytest.raises(InputError, match="Bad CRC-32"):
        compare(path)
    assert read(path, mmap=True)["epoch"] == 3  # what describes it is whole


def test_a_file_without_checksums_is_read_and_known_as_such(path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        saved(path)
        assert not has_checksums(path)
        assert same(read(path), WHOLE)
        with checksums():
            saved(path)
        assert has_checksums(path)
        assert not torch.serialization.get_crc32_options()
    finally:
        torch.serialization.set_crc32_options(before)


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(path):
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(10**6)}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert path.stat().st_size < 10**5
    with pytest.raises(InputError, match="unpacks to more than it is"):
        read(path)


@pytest.mark.parametrize(
    "content", [Call(bytearray, 10**15), Call(torch.FloatTensor, 10**8, 10**7)], ids=type
)
def test_a_file_that_asks_for_all_memory_is_refused_in_one_line(path, content):
    saved(path, {"a": content})
    with pytest.raises(InputError, match="asks for more memory than there is"):
        read(path)


def test_a_dict_is_needed(path):
    with pytest.raises(InputError, match="holds a Tensor; a dict of tensors is needed"):
        read(saved(path, torch.zeros(3)))
