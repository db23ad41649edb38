"""What prepared slices take of a disk: told before the first is written, or refused."""

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from segtrace import room
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
    free = room.on_disk(folder)
    remedy = "free some, or give data.cache_dir=<a folder on another disk>"
    room.check(needed, free, f"{folder}: {what} take", remedy, "disk")
    said = f"Cache: {what} take {room.in_words(needed)} in {folder}"
    say(f"{said}; {room.in_words(free)} are free.")
