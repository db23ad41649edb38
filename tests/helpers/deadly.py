"""The scripts in forks of a process that has imported everything, killed where that is asked.

As a script it reads one request a line, JSON, and answers each by a line, see :class:`Nursery`. A
signal comes to a fork at one of its *steps*: before a file is opened for writing, renamed, cut or
removed, a folder is made, and before a write, or with half of it done where the signal kills.
"""

import builtins
import io
import json
import os
import resource
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

ROOT = Path(__file__).parents[2]
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")
"""What Python tells of before it is done, beside the opening of a file."""


class Nursery:
    """A process of which every run is a fork: the imports, most of a short run, are done once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def run(
        self,
        script: str,
        folder: Path,
        *arguments: str,
        at: Sequence[int] = (),
        into: str | None = None,
        after: float | None = None,
        number: int = signal.SIGKILL,
        worker_at: int | None = None,
        removing: Path | None = None,
        filling: Path | None = None,
    ) -> dict[str, Any]:
        """One run of train.py or explain.py.

        Args:
            script: which.
            folder: where it runs; what it does to files elsewhere is no step.
            arguments: its overrides.
            at: the signal comes at these steps, counted from 1.
            into: it comes before the first write into a file whose path holds this.
            after: it comes after so many seconds of CPU time.
            number: of the signal.
            worker_at: before this batch, of all that workers read, one of them is killed.
            removing: a folder that is taken away in the place of the signal.
            filling: a file that takes all room that its disk has, likewise.
        """
        asked = {"script": script, "folder": str(folder), "arguments": arguments, "at": [*at],
                 "into": into, "after": after, "number": number, "worker_at": worker_at,
                 "removing": removing and str(removing),
                 "filling": filling and str(filling)}  # fmt: skip
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


class Steps:
    """Counts what is done to files below a folder, and ends the process at one of these steps."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.folder, self.at, self.asked = asked["folder"], asked["at"], asked
        self.into = asked["into"]
        self.count, self.owner = 0, os.getpid()

    def listen(self) -> None:
        sys.addaudithook(self._hear)
        opened = io.open
        builtins.open = io.open = lambda *args, **kw: self._torn(opened(*args, **kw))

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        writes = (
            event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if (writes or event in CHANGES) and self._is_below(args[0]) and self.is_next():
            self.die(event, args[0])

    def _torn(self, file: Any) -> Any:
        return Torn(file, self) if file.writable() and self._is_below(file.name) else file

    def _is_below(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        return self._place(path).startswith(f"{self.folder}/")

    @staticmethod
    def _place(path: Any) -> str:
        return os.path.abspath(os.fspath(path))  # noqa: PTH100 (links stay links)

    def is_next(self) -> bool:
        if os.getpid() != self.owner:  # a process that only helps
            return False
        self.count += 1
        return self.count in self.at

    def is_into(self, path: Any) -> bool:
        """Once."""
        found = self.into is not None and self.into in self._place(path)
        self.into = None if found else self.into
        return found

    @property
    def kills(self) -> bool:
        asked = self.asked
        return asked["number"] == signal.SIGKILL and not (asked["removing"] or asked["filling"])

    def die(self, event: str, path: Any) -> None:
        place = self._place(path).removeprefix(f"{self.folder}/")
        os.write(2, f"\nkilled at {event} {place}\n".encode())
        if self.asked["removing"]:
            shutil.rmtree(self.asked["removing"])
        elif self.asked["filling"]:
            _fill(self.asked["filling"])
        else:
            os.kill(os.getpid(), self.asked["number"])


class Torn:
    """A file of which the half of a write is there when the process is killed at it."""

    def __init__(self, file: Any, steps: Steps) -> None:
        self._file, self._steps, self._name = file, steps, file.name

    def write(self, data: Any) -> int:
        if self._steps.is_next() or self._steps.is_into(self._name):
            if self._steps.kills:
                self._file.write(data[: len(data) // 2])
                self._file.flush()
            self._steps.die("write", self._name)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "Torn":
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._file.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._file)


def _run(asked: dict[str, Any], number: int) -> None:
    """The script, in a fork."""
    from segtrace.cli import start_up

    folder = Path(asked["folder"])
    os.chdir(folder)
    log = os.open(folder.with_name(f"{folder.name}.{number}.log"), os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if asked["after"] is not None:
        if (
            asked["number"] != signal.SIGKILL
        ):  # for that one the system ends the process: none hears
            signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), asked["number"]))
        signal.setitimer(signal.ITIMER_PROF, asked["after"])
    sys.argv = [str(ROOT / asked["script"]), *asked["arguments"]]
    start_up._listen()  # as a process does that begins
    steps = Steps(asked)
    steps.listen()
    if asked["worker_at"] is not None:
        _kill_worker(asked["worker_at"])
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(log, f"\nsteps {steps.count}\n".encode())


def _fill(path: str) -> None:
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    with suppress(OSError):
        while True:
            os.write(file, bytes(4096))
    os.close(file)


def _kill_worker(at: int) -> None:
    """Before the loaders give so many batches in all."""
    given, reads = iter(range(1, at + 1)), _MultiProcessingDataLoaderIter._next_data

    def killing(self: Any) -> Any:
        if next(given, None) == at:
            os.kill(self._workers[0].pid, signal.SIGKILL)
        return reads(self)

    _MultiProcessingDataLoaderIter._next_data = killing


def _answer(asked: dict[str, Any], number: int) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        sys.stdin.close()
        _run(asked, number)
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    folder = Path(asked["folder"])
    said = folder.with_name(f"{folder.name}.{number}.log").read_text(errors="replace")
    *_, place = ["", *(line for line in said.splitlines() if line.startswith("killed at "))]
    *_, steps = ["0", *(line[6:] for line in said.splitlines() if line.startswith("steps "))]
    return {
        "code": os.waitstatus_to_exitcode(status),
        "killed": os.WIFSIGNALED(status),
        "seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "steps": int(steps),
        "place": place.removeprefix("killed at "),
        "said": said,
    }


def _import_all() -> None:
    import hydra  # noqa: F401
    import matplotlib.font_manager
    import monai.networks.nets  # noqa: F401
    import pytorch_lightning  # noqa: F401
    from matplotlib.backends import backend_agg  # noqa: F401

    matplotlib.font_manager.findfont("DejaVu Sans")  # reads its list of fonts
    from segtrace.cli import work  # noqa: F401
    from segtrace.cli.train import announcement, run, summary, train_config  # noqa: F401
    from segtrace.data import modules  # noqa: F401
    from segtrace.models import networks  # noqa: F401


if __name__ == "__main__":
    _import_all()
    for number, line in enumerate(sys.stdin):
        print(json.dumps(_answer(json.loads(line), number)), flush=True)
