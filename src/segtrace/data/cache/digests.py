"""SHA-256 of what files hold, without reading again those that cannot have changed."""

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from segtrace.plain_files import check_plain

Signature = tuple[int, ...]

_SETTLED = 2.0  # seconds; the clock of a file system may tick as coarsely


def content_hash(path: Path) -> str:
    """Of the whole file, read in pieces.

    Raises:
        OSError: it cannot be read, or is no plain file.
    """
    check_plain(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def signature(path: Path) -> Signature | None:
    """What changes whenever a file's content does; ``None`` where the system cannot tell.

    Size, both times and the number of the file. A program can set the time of the last change
    (``touch -r``, ``cp -p``), but not that of the last change of the file's entry, which comes with
    it. Windows keeps no such time; and a file that was written just now may yet be written within
    the same tick of the clock.
    """
    status = path.stat()
    newest = max(status.st_mtime, status.st_ctime)
    if os.name != "posix" or time.time() - newest < _SETTLED:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class Digests:
    """Hashes of files, remembered under their signatures."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Signature], str] = {}

    def of(self, path: Path) -> str:
        """The file's hash.

        Raises:
            OSError: it cannot be read.
        """
        before = signature(path)
        if before is not None and (known := self._known.get((_name(path), before))):
            return known
        digest = content_hash(path)
        if before is not None and before == signature(path):
            self._known[_name(path), before] = digest
        return digest

    def learn(self, rows: Any) -> None:
        """Take over what :meth:`rows` gave; anything else is passed over."""
        for row in rows if isinstance(rows, list) else ():
            match row:
                case [str(name), [*numbers], str(digest)] if all(
                    type(number) is int for number in numbers
                ):
                    self._known[name, tuple(numbers)] = digest

    def rows(self, paths: Iterable[Path]) -> list[Sequence[Any]]:
        """What is remembered of these files as they are now, for JSON."""
        named = [(_name(path), signature(path)) for path in paths]
        return [
            [name, list(sign), self._known[name, sign]]
            for name, sign in named
            if sign is not None and (name, sign) in self._known
        ]


def _name(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (links are followed by what reads the file)
