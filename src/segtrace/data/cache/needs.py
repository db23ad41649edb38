"""What prepared slices take of a disk: told before the first is written, or refused."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from segtrace.errors import InputError, why
from segtrace.progress import say

HEADER = 128
"""Bytes before the numbers of an array's file."""


def entry_bytes(
    slices: int, rows: int, columns: int, channels: int = 1, image: DTypeLike = np.float32
) -> int:
    """Bytes of the two arrays of a case: its images, and its labels of one byte a pixel.

    >>> entry_bytes(100, 224, 224)
    25088256
    """
    return slices * rows * columns * (channels * np.dtype(image).itemsize + 1) + 2 * HEADER


def check_room(folder: Path, needed: int, what: str) -> None:
    """Say how much will be written, and how much could be.

    Args:
        folder: the cache; it need not exist yet.
        needed: bytes.
        what: is written.

    Raises:
        InputError: more is needed than is free.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        raise InputError(f"{folder}: cannot be looked into ({why(error)})") from error
    if needed > free:
        raise InputError(
            f"{folder}: {what} take {in_words(needed)}, and {in_words(free)} are free; free some, "
            "or give data.cache_dir=<a folder on another disk>"
        )
    say(f"Cache: {what} take {in_words(needed)} in {folder}; {in_words(free)} are free.")


def in_words(size: int) -> str:
    """Bytes in the unit in which they are read best.

    >>> in_words(3 * 2**30), in_words(2**20)
    ('3.00 GiB', '1.0 MiB')
    """
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"
