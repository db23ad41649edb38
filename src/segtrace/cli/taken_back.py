"""The folder of a run that was refused before anything was run: nothing of it stays."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from segtrace.names import CONFIG, LOCK

OF_NOTHING = (CONFIG, LOCK, "tensorboard/events.out.tfevents.*")
"""What lies there before the first result: options, a lock, a logger's page of hyper-parameters."""
SWEEP = "multirun.yaml"
"""What Hydra keeps of several runs, beside their folders."""


def take_back(made: Sequence[Path]) -> None:
    """Take away a folder that was empty when the run began, unless there is a result in it.

    Args:
        made: that folder, and those above it that were perhaps made for it, which go as well where
            they are empty then; none where it was not empty.
    """
    if not made:
        return
    folder, *above = made
    if _others(folder) or folder.is_symlink() or folder.resolve() == Path.cwd().resolve():
        return
    with suppress(OSError):  # what somebody else puts there meanwhile stays
        for path in _of_nothing(folder):
            path.unlink(missing_ok=True)
        for inner in sorted(folder.rglob("*"), reverse=True):
            inner.rmdir()
        folder.rmdir()
        if [path.name for path in folder.parent.iterdir()] == [SWEEP]:
            (folder.parent / SWEEP).unlink()
            folder.parent.rmdir()
    for empty in above:
        with suppress(OSError):
            empty.rmdir()


def untouched(folder: Path) -> bool:
    """Whether nothing lies there but what lies there before the first result."""
    return not _others(folder)


def _others(folder: Path) -> set[Path]:
    files = {path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}
    return files - _of_nothing(folder)


def _of_nothing(folder: Path) -> set[Path]:
    return {path for pattern in OF_NOTHING for path in folder.glob(pattern)}
