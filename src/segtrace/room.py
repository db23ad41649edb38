"""Room: bytes in words, and what is needed against what is free, in memory or on a disk."""

import shutil
from pathlib import Path
from typing import Literal

from segtrace.errors import InputError, why


def in_words(size: float) -> str:
    """Bytes in the unit in which they are read best.

    >>> in_words(3 * 2**29), in_words(37.4 * 2**20), in_words(2**18), in_words(2**14)
    ('1.5 GiB', '37 MiB', '0.2 MiB', '16 KiB')
    """
    if size >= 2**30:
        return f"{size / 2**30:.1f} GiB"
    if size < 2**20 / 10:
        return f"{size / 2**10:.0f} KiB"
    return f"{size / 2**20:.{0 if size >= 10 * 2**20 else 1}f} MiB"


def on_disk(folder: Path) -> int:
    """Free bytes where a folder lies, or will lie.

    Raises:
        InputError: the system does not let it be looked into.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        return shutil.disk_usage(there).free
    except OSError as error:
        raise InputError(f"{folder}: cannot be looked into ({why(error)})") from error


def check(
    needed: float | None,
    free: float | None,
    what: str,
    remedy: str,
    of: Literal["memory", "disk"] = "memory",
) -> None:
    """Refuse what there is not the room for.

    Args:
        needed: bytes; ``None`` where they cannot be counted, and nothing is refused.
        free: bytes; ``None`` where the system does not say it, likewise.
        what: takes them, with its verb.
        remedy: what takes less, or where there is more.
        of: what they are of.

    Raises:
        InputError: more is needed than is free.
    """
    if needed is not None and free is not None and needed > free:
        raise InputError(
            f"{what} {in_words(needed)} of {of}, and {in_words(free)} are free; {remedy}"
        )
