"""Files are told apart by what they hold."""

import pytest

from segtrace import InputError
from segtrace.data.fingerprint import fingerprints


class Files:
    """A case is a folder of files."""

    def __init__(self, root):
        self.root = root

    def files(self, case):
        return tuple(sorted((self.root / case).iterdir()))


def cases(root, **contents):
    for case, parts in contents.items():
        (root / case).mkdir(parents=True)
        for i, part in enumerate(parts):
            (root / case / f"{i}.bin").write_bytes(part)
    return Files(root)


def test_the_same_bytes_have_the_same_fingerprint_wherever_they_lie(tmp_path):
    one = cases(tmp_path / "one", a=[b"image", b"label"])
    other = cases(tmp_path / "other", a=[b"image", b"label"])
    assert fingerprints(one, ["a"]) == fingerprints(other, ["a"])


def test_one_bit_of_any_file_makes_another(tmp_path):
    source = cases(tmp_path, a=[b"image", b"label"], b=[b"image", b"labem"], c=[b"imagd", b"label"])
    assert len(set(fingerprints(source, ["a", "b", "c"]).values())) == 3


def test_a_file_that_is_not_there_is_named(tmp_path):
    source = cases(tmp_path, a=[b"image"])
    source.files = lambda case: (tmp_path / case / "0.bin", tmp_path / case / "gone.bin")
    with pytest.raises(InputError, match=r"gone.bin: No such file or directory; case a needs it"):
        fingerprints(source, ["a"])
