"""Files that have an end: whoever reads a pipe or a device, behind a link say, waits for ever."""

import errno
from pathlib import Path

from segtrace.errors import InputError


def check_plain(path: Path | str) -> None:
    """Refuse to open what is there and is neither a file nor a folder; links to files are files.

    Raises:
        OSError: a pipe, a socket or a device.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "not a plain file", str(path))


def check_own(path: Path, instead: str = "another folder") -> None:
    """Refuse to write what a run has not written itself: its files lie in its folder.

    Args:
        path: a file, or what becomes one.
        instead: what to name in its place.

    Raises:
        InputError: a link, wherever it leads; a folder, a pipe, a socket or a device.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(f"{path} is no plain file; take it away, or name {instead}")
