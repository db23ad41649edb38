"""A folder taken for one process: locked while it is written, and nothing in it overwritten."""

import json
import os
import socket
import weakref
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO

import yaml

from segtrace.errors import InputError
from segtrace.names import CONFIG, LOCK
from segtrace.plain_files import check_own, check_plain
from segtrace.progress import is_first, say
from segtrace.report.files import check_writable

try:
    import fcntl
except ImportError:  # not on every system
    fcntl = None  # type: ignore[assignment]

BEGINS = "process "
"""Of what a lock says."""
BY_HYDRA = "hydra.run.dir=…"
"""How a user of the scripts names a folder."""
ASKED = {"seed", "data", "model", "trainer", "callbacks"}
"""Keys of a configuration of ``train.py``, by which another program's is told from it."""
WHEREVER = ("processes",)
"""Options on which no result depends."""
SHOWN = 3
"""Options that a message lists."""
INSIDE = ("checkpoints", "flow", "tensorboard")
"""Folders in a run's own, in which nothing else is looked for than the run's."""
TRAINED = ("checkpoints/*.ckpt", "flow/*", "tensorboard/events*", "dice*.csv")
EXPLAINED = (
    "manifest.json", "*/manifest.json", "*/*/manifest.json", "images.csv", "verdicts.csv",
    "*/verdicts.csv", "*/evaluation.csv", "*/*/evaluation.csv", "maps.npz", "measures.csv",
    "seeds.csv", "index.html",
)  # fmt: skip
"""Files of which one is among the results, whatever was asked for."""
FILES = (
    CONFIG, "dice.csv", "dice_test.csv", "images.csv", "index.html", "manifest.json", "maps.npz",
    "measures.csv", "seeds.csv", "verdicts.csv",
)  # fmt: skip
"""What the scripts write, hours later perhaps, into the folder itself."""


class Lock(AbstractContextManager["Lock"]):
    """A file that one process holds, and that the system gives back when the process ends.

    However it ends: a lock that is left behind by a process that was killed holds nobody up.

    Args:
        folder: what is taken; made where it does not exist.
        named: how the user names another.

    Raises:
        InputError: another process has it; it cannot be written, or holds a folder in the place
            of a file that is to be.
    """

    def __init__(self, folder: Path, named: str = BY_HYDRA) -> None:
        check_writable(folder)
        if taken := next((name for name in FILES if (folder / name).is_dir()), None):
            raise InputError(
                f"{folder / taken} is a folder, and a file of this name is to be written; move it "
                f"away, or name another folder, {named}"
            )
        self.path = folder / LOCK
        self._file = _held(self.path, named)
        _held_here.add(self)
        # At the latest when the interpreter ends; not in a worker process, which has a copy.
        self.release = weakref.finalize(self, _release, self._file, self.path, os.getpid())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.release()


_held_here: "weakref.WeakSet[Lock]" = weakref.WeakSet()


def _let_go() -> None:
    """In a fork: a worker that outlives the process, which may be killed, holds nothing for it."""
    for lock in _held_here:
        lock._file.close()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_let_go)

Held = Lock | nullcontext[None]
"""What stands for a folder that is taken."""


def taken(
    folder: Path,
    script: str,
    instead: str = "",
    named: str = BY_HYDRA,
    goes_on: str | None = None,
) -> Held:
    """The folder for new results, held until it is released or its process ends.

    A process that only helps another, in a training of several, has nothing to hold.

    Args:
        folder: where results are to go.
        script: ``train`` or ``explain``: whose configuration may be replaced by a new one as long
            as there are no results.
        instead: what else the user may have wanted.
        named: how the user names another folder.
        goes_on: a configuration: where the folder holds just this one, its results may go on, in
            however many processes.

    Raises:
        InputError: another process writes there; results of either script are there; the
            configuration of the other one; it lies in the folder of a training; it cannot be
            written.
    """
    if not is_first():
        return nullcontext()
    run = run_above(folder)
    if run is not None and (script == "train" or _is_its_own(folder, run)):
        raise InputError(
            f"{folder} is inside the folder of another run, {run}, and nothing is overwritten or "
            f"mixed; name another folder, {named}"
        )
    lock = Lock(folder, named)
    differing = None if goes_on is None else _differing(kept_in(folder), goes_on)
    if differing == []:
        return lock
    found = result_in(folder)
    if found is None and kind_of(folder) not in (None, script):
        found = folder / CONFIG
    if found is not None:
        lock.release()
        if differing and kind_of(folder) == script:
            raise InputError(
                f"{folder} holds results of other options, {', '.join(differing[:SHOWN])}, and "
                "nothing is overwritten or mixed; with those the same command goes on there; or "
                f"name another folder, {named}"
            )
        raise InputError(
            f"{folder} holds results already ({found.relative_to(folder)}), and nothing is "
            f"overwritten; name another folder, {named}{instead and f'; {instead}'}"
        )
    return lock


def result_in(folder: Path) -> Path | None:
    """A file there that one of the scripts left as a result; ``None`` where there is none."""
    matches = (path for pattern in (*TRAINED, *EXPLAINED) for path in sorted(folder.glob(pattern)))
    return next(matches, None)


def run_above(folder: Path) -> Path | None:
    """The folder of a training that this one lies in; ``None`` where it lies in none."""
    return next((above for above in folder.resolve().parents if _is_training(above)), None)


def _is_its_own(folder: Path, run: Path) -> bool:
    return folder.resolve().relative_to(run).parts[0] in INSIDE


def _is_training(folder: Path) -> bool:
    return kept_in(folder).keys() >= ASKED


def kind_of(folder: Path) -> str | None:
    """Which script's configuration lies there: ``train``, ``explain``, or ``None``."""
    found = kept_in(folder)
    return ("train" if "callbacks" in found else "explain") if found else None


def _differing(kept: dict[str, object], text: str) -> list[str]:
    """The options that are others there than in a configuration, with their values there."""
    asked = yaml.safe_load(text) or {}
    names = [name for name in {**kept, **asked} if name not in WHEREVER]
    return [line for name in names for line in _others(name, kept.get(name), asked.get(name))]


def _others(path: str, kept: object, asked: object) -> list[str]:
    if isinstance(kept, dict) and isinstance(asked, dict):
        return [
            line
            for name in {**kept, **asked}
            for line in _others(f"{path}.{name}", kept.get(name), asked.get(name))
        ]
    return [] if kept == asked else [f"{path}={json.dumps(kept, ensure_ascii=False, default=str)}"]


def _text_in(folder: Path) -> str:
    """The text of the configuration that lies there; empty where there is none."""
    try:
        check_plain(folder / CONFIG)
        return (folder / CONFIG).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def kept_in(folder: Path) -> dict[str, object]:
    """The configuration that lies there; empty where there is none."""
    try:
        found = yaml.safe_load(_text_in(folder))
    except (ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _held(path: Path, named: str) -> IO[str]:
    while True:
        file = _opened(path, named)
        if not _lock(file, path, named) or _is_there(file, path):
            break
        file.close()  # whoever had it has taken it away meanwhile
    file.truncate(0)
    file.write(f"{BEGINS}{os.getpid()} on {socket.gethostname()}, since {datetime.now():%c}\n")
    file.flush()
    return file


def _opened(path: Path, named: str) -> IO[str]:
    """A lock, or what becomes one; a file of somebody's own, and what a link leads to, stays."""
    check_own(path, f"another folder, {named}")
    file = path.open("a+", encoding="utf-8")
    file.seek(0)
    if file.readline(len(BEGINS)) not in ("", BEGINS):
        file.close()
        raise InputError(
            f"{path} is no lock of segtrace's; move it away, or name another folder, {named}"
        )
    return file


def _lock(file: IO[str], path: Path, named: str) -> bool:
    """Whether the file is locked now; where the system has no locks, say so and go on."""
    if fcntl is None:
        say(f"{path.parent} cannot be locked on this system: let no other process write there")
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise InputError(
            f"{path.parent} is being written by {holder}; wait for its end, or name another "
            f"folder, {named}"
        ) from None
    except OSError as error:
        say(f"{path.parent} cannot be locked ({error.strerror}): let no other process write there")
        return False
    return True


def _is_there(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _release(file: IO[str], path: Path, owner: int) -> None:
    if os.getpid() != owner:
        return
    if not file.closed and _is_there(file, path):
        path.unlink()
    file.close()
