"""Files that have an end: whoever reads a pipe or a device, behind a link say, waits for ever."""

import errno
from pathlib import Path


def check_plain(path: Path | str) -> None:
    """Refuse to open what is there and is neither a file nor a folder; links to files are files.

    Raises:
        OSError: a pipe, a socket or a device.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "not a plain file", str(path))
