"""Read a file that ``torch.save`` wrote: whole, and values and tensors alone.

Such a file is an archive whose entries carry checksums (CRC-32), which ``torch.load`` does not
compare. They are compared here, at some gigabytes a second. What is read then is what
``weights_only=True`` allows, and numpy's numbers, in whose place stand-ins of ours are called.
"""

import pickle
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import torch

from segtrace.errors import InputError, printable

ARCHIVE, PICKLE = b"PK", b"\x80"
"""How a file begins that ``torch.save`` wrote: today's kind, and that of before 2020."""
MISSING = re.compile(r"hasRecord\(\"([^\"]+)\"\)|locating file ([^:]+): file not found")
"""How torch says that an entry is not there."""
CHUNK = 2**20
CODE = re.compile(r"GLOBAL (\S+)")
"""What torch says it would have had to call."""


class _NoValueError(ValueError):
    """What numpy's numbers are not."""


class _Kind:
    """Stands for ``numpy.dtype``: a letter, a size and an order of bytes."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not (isinstance(code, str) and re.fullmatch(r"[biufcUS]\d{1,4}", code)):
            raise _NoValueError(f"a numpy type {code!r}, which is no number and no text")
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        self.order = order if order in ("<", ">", "=") else "="

    def read(self, data: bytes) -> np.ndarray:
        """The numbers in these bytes."""
        return np.frombuffer(data, self.order + self.code)


class _Array:
    """Stands for ``numpy.ndarray``: left out, since weights are tensors."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def _number(kind: Any, data: Any) -> Any:
    """Stands for the function that makes numpy's scalars again."""
    if not isinstance(kind, _Kind) or not isinstance(data, bytes):
        raise _NoValueError("a numpy scalar of no known kind")
    return kind.read(data)[0].item()


def _no_array(*_: Any) -> _Array:
    return _Array()


STAND_INS: list[Any] = [
    (_Kind, "numpy.dtype"),
    (_Array, "numpy.ndarray"),
    *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((_no_array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]
"""What is called in the place of what a file names; nothing else is, whatever other packages allow
torch to call."""


@contextmanager
def _calling(allowed: list[Any]) -> Iterator[None]:
    """During the block ``torch.load(weights_only=True)`` calls these and its own, and no others."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(allowed)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def read(path: Path, *, mmap: bool = False, numpy: bool = True) -> dict[str, Any]:
    """The contents of a file, values and tensors alone, its checksums compared.

    Args:
        path: the file.
        mmap: leave tensors on the disk until they are used; their checksums are not compared.
        numpy: read numpy's numbers, too.

    Raises:
        InputError: missing, empty, damaged, of another kind, or holding code.
    """
    path = Path(path)
    begin = _begin(path)
    if begin.startswith(ARCHIVE):
        compare(path, tensors=not mmap)
    elif not begin.startswith(PICKLE):
        raise _foreign(path)
    try:
        with _calling(STAND_INS if numpy else []), warnings.catch_warnings(action="ignore"):
            saved = torch.load(
                path, "cpu", weights_only=True, mmap=mmap and begin.startswith(ARCHIVE)
            )
    except Exception as error:  # bytes of unknown origin: torch fails on them in every way
        raise _refused(path, error) from error
    if not isinstance(saved, dict):
        raise InputError(f"{path} holds a {type(saved).__name__}; a dict of tensors is needed")
    return saved


def compare(path: Path, *, tensors: bool = True) -> None:
    """Read an archive through and compare its checksums, if it has any.

    Args:
        path: the file.
        tensors: those of the tensors too, and not those of what describes them alone.

    Raises:
        InputError: an archive that is cut short, was changed, or is none of ``torch.save``.
    """
    if not _begin(path).startswith(ARCHIVE):
        raise _foreign(path)
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
            _check_kind(path, entries)
            for entry in entries if _marked(entries) else []:
                if tensors or entry.filename.endswith("/data.pkl"):
                    _read_through(archive, entry)
    except InputError:
        raise
    except Exception as error:  # as above: zipfile, too, fails in every way
        raise _damaged(path, error) from error


@contextmanager
def checksums() -> Iterator[None]:
    """During the block ``torch.save`` writes checksums, whatever it was told before."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(True)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


def has_checksums(path: Path) -> bool:
    """Whether damage to a file would be noticed: torch can be told to write no checksums."""
    if not _begin(path).startswith(ARCHIVE):
        return False
    with ZipFile(path) as archive:
        return _marked(archive.infolist())


def _marked(entries: list[ZipInfo]) -> bool:
    return any(entry.CRC for entry in entries)


def _begin(path: Path) -> bytes:
    """The first bytes of a file that there is and that may be read."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; name a file in it")
        if not path.is_file():  # a pipe or a device would be waited for
            why = "is no file, but a pipe or a device" if path.exists() else "does not exist"
            raise InputError(f"{path} {why}")
        with path.open("rb") as file:
            begin = file.read(4)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read: {reason or type(error).__name__}") from error
    if not begin:
        raise InputError(f"{path} is empty; copy or download it again")
    return begin


def _check_kind(path: Path, entries: list[ZipInfo]) -> None:
    """Refuse an archive of another program, and one that unpacks to more than it is."""
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        raise InputError(
            f"{path} is refused: it holds code (a TorchScript program), not only values and "
            "tensors; save its weights alone: torch.save(net.state_dict(), 'weights.pth')"
        )
    if "data.pkl" not in names:
        raise _foreign(path)
    if "version" not in names:  # which torch writes beside it and asks for
        raise _damaged(path, ValueError("its entry 'version' is missing"))
    packed = any(entry.compress_type != ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise InputError(f"{path} is refused: it unpacks to more than it is; torch.save packs none")


def _read_through(archive: ZipFile, entry: ZipInfo) -> None:
    """The archive compares the checksum when it comes to the end."""
    with archive.open(entry) as file:
        while file.read(CHUNK):
            pass


def _foreign(path: Path) -> InputError:
    return InputError(f"{path} is no checkpoint: no file that torch.save wrote")


def _damaged(path: Path, error: BaseException) -> InputError:
    short = "not a zip file" in str(error)
    reason = "its end is missing" if short else printable(error, 200) or type(error).__name__
    return InputError(f"{path} is damaged ({reason}); copy or download it again")


def _in_our_words(said: str) -> str:
    """What torch says of an archive, without what is meant for its own programmers."""
    if (lost := MISSING.search(said)) is not None:
        return f"its entry {lost[1] or lost[2]!r} is missing"
    first = said.strip().split("\n")[0]
    return first.split("(Could this error message")[0].strip()


def _refused(path: Path, error: BaseException) -> InputError:
    """What torch says, in words that help."""
    words = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in words:
        return InputError(f"{path} is refused: it asks for more memory than there is")
    if isinstance(error, _NoValueError):
        return InputError(f"{path} is refused: it holds {words}")
    if "magic number" in words:
        return _foreign(path)
    if not isinstance(error, pickle.UnpicklingError):
        return _damaged(path, RuntimeError(_in_our_words(words) or type(error).__name__))
    if (code := CODE.search(words)) is not None:
        return InputError(
            f"{path} is refused: it holds code ({printable(code[1], 80)}), not only values and "
            "tensors; whoever trusts it can save its weights alone: "
            "torch.save(net.state_dict(), 'weights.pth')"
        )
    return _foreign(path)
