import os
import shutil

import pytest

from segtrace.data.cache import digests
from segtrace.data.cache.digests import Digests, content_hash, signature


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file that counts as settled."""
    monkeypatch.setattr(digests, "_SETTLED", 0)
    (tmp_path / "a").write_bytes(b"one")
    return tmp_path / "a"


@pytest.fixture
def hashed(monkeypatch):
    """The files that were read."""
    read = []

    def counting(path):
        read.append(path.name)
        return content_hash(path)

    monkeypatch.setattr(digests, "content_hash", counting)
    return read


def rewritten(path):
    path.write_bytes(b"two")


def swapped(path):
    (path.parent / "b").write_bytes(b"two")
    (path.parent / "b").replace(path)


@pytest.mark.parametrize("change", [rewritten, swapped])
def test_a_file_changed_behind_its_time_has_another_signature(file, change):
    before, times = signature(file), file.stat()
    change(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = signature(file)
    assert after[:2] == before[:2]  # size and time of the last change
    assert after != before


def test_what_was_written_just_now_is_not_trusted(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    assert signature(tmp_path / "a") is None


def test_a_hash_is_remembered_as_long_as_nothing_changes(file, hashed):
    known = Digests()
    assert known.of(file) == known.of(file) == content_hash(file)
    assert hashed == ["a"]
    rewritten(file)
    assert known.of(file) == content_hash(file)
    assert hashed == ["a", "a"]


def test_what_is_remembered_can_be_kept(file, hashed):
    first = Digests()
    first.of(file)
    rows = first.rows([file])
    again = Digests()
    again.learn(rows)
    assert again.of(file) == content_hash(file)
    assert hashed == ["a"]
    copy = shutil.copy(file, file.with_name("c"))
    assert again.rows([file, copy]) == rows


@pytest.mark.parametrize(
    "rows", [None, 3, {}, [None], [["a", "b", "c"]], [["a", [1.5], "c"]], [[]]]
)
def test_anything_else_that_was_kept_is_passed_over(file, rows):
    known = Digests()
    known.learn(rows)
    assert known.of(file) == content_hash(file)
