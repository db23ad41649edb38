"""Folders that are whole or not there: made under another name, renamed when complete."""

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HERE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_NAME = re.compile(r"\.partial-([0-9a-f]{8})-(\d+)-\w+")
TRIES = 4
"""To take a name that several processes want at once."""
_ABANDONED = 24 * 3600.0  # seconds, for a draft of which nobody knows whether it is being written


@contextmanager
def draft(
    final: Path, sound: Callable[[Path], bool] = Path.is_dir, mode: int = 0o777
) -> Iterator[Path]:
    """A new folder beside ``final`` that takes its name when the block has ended well.

    After an exception nothing of it is left. Where another process was first, its folder stays.

    Args:
        final: the folder to be; its parents are made.
        sound: whether what has that name meanwhile is as good as the draft; if not, it is
            replaced, as is a file.
        mode: who may read it, before the user's mask.

    Raises:
        OSError: nothing can be written there.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    sweep(final.parent)
    partial = _new(final.parent, mode)
    try:
        yield partial
        _publish(partial, final, sound)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _new(folder: Path, mode: int = 0o700) -> Path:
    path = folder / f".partial-{_HERE}-{os.getpid()}-{secrets.token_hex(4)}"
    path.mkdir(mode)
    return path


def _publish(partial: Path, final: Path, sound: Callable[[Path], bool]) -> None:
    for tries in reversed(range(TRIES)):
        try:
            partial.replace(final)
            return
        except OSError:
            there = os.path.lexists(final)  # or another process has just taken it aside
            if not tries and not there:
                raise
        if there and final.is_dir() and sound(final):
            return
        aside = _new(final.parent)
        with suppress(FileNotFoundError):
            final.replace(aside / "old")  # into a folder goes a file as well
        shutil.rmtree(aside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove the drafts that processes left behind which were killed; never those of living ones.

    A draft of another computer, or one without a process in its name, goes after a day.
    """
    if not folder.is_dir():
        return
    for path in folder.glob(".partial-*"):
        if path.is_dir() and not _alive(path):
            shutil.rmtree(path, ignore_errors=True)


def _alive(path: Path) -> bool:
    found = _NAME.fullmatch(path.name)
    if found and found[1] == _HERE and os.name == "posix":
        return _runs(int(found[2]))
    try:
        return time.time() - path.stat().st_mtime < _ABANDONED
    except FileNotFoundError:
        return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
