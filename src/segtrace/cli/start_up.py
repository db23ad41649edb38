"""While a script imports its packages, which takes seconds: Ctrl-C, and no search for garbage.

Ctrl-C is answered by one line, and no traceback. Imported before all else, it imports the standard
library alone; :func:`segtrace.cli.entry.start` takes over.
"""

import gc
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from segtrace.processes import end_with
from segtrace.progress import clear

SIGNALS = {signal.SIGINT: "stopped by Ctrl-C", signal.SIGTERM: "stopped by SIGTERM"}
if hasattr(signal, "SIGHUP"):  # not on Windows
    SIGNALS[signal.SIGHUP] = "stopped by SIGHUP, as its terminal was closed"
NOTHING = "nothing has begun"
FIRST = "SEGTRACE_FIRST_PROCESS"
"""Where a process that is started to help in a training finds the number of the first one."""
made: list[Path] = []
"""Folders that were made meanwhile, for what has not begun."""
_before: dict[signal.Signals, Any] = {}
"""What was done before at a signal that is heard here."""


def say(message: str) -> None:
    """One line to the user, in the place of one that counts along."""
    clear()
    with suppress(OSError):  # a terminal that was closed
        print(f"{Path(sys.argv[0]).name}: {message}\n", end="", file=sys.stderr, flush=True)


def helps() -> bool:
    """Whether the first process of a training has started this one."""
    return os.environ.get(FIRST) == str(os.getppid())


def is_explaining() -> bool:
    """Whether ``explain.py`` runs, by that name or as ``segtrace-explain``."""
    return Path(sys.argv[0]).stem.endswith("explain")


def called(name: str) -> str:
    """How one of the two scripts is called by whoever called this one.

    Args:
        name: ``train`` or ``explain``.
    """
    own = Path(sys.argv[0])
    return f"segtrace-{name}" if own.stem.startswith("segtrace-") else f"python {name}.py"


def _leave(number: int, frame: FrameType | None) -> None:
    """At once: an exception might be caught, or dropped, by whatever is being imported."""
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the others of a training only help it
        with suppress(OSError):  # it holds something
            for folder in made:
                folder.rmdir()
        say(f"{SIGNALS[signal.Signals(number)]}; {NOTHING}")
    os._exit(128 + number)


def _listen() -> None:
    if helps():  # the first one is told, and ends the others
        end_with(os.getppid())
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        return
    for number in SIGNALS:
        # What the process was started with to ignore, in the background say, it goes on to ignore.
        if signal.getsignal(number) != signal.SIG_IGN:
            _before[number] = signal.signal(number, _leave)


def imported() -> None:
    """Search for garbage from here on, and only among what is made from here on.

    Packages make a million objects that stay, and next to no garbage: to go through them again and
    again takes a quarter of what importing them takes of the CPU.
    """
    if not gc.isenabled():  # in a sweep the first run has done it
        gc.freeze()
        gc.enable()


def over() -> None:
    """Leave the signals to whoever listens next."""
    while _before:
        signal.signal(*_before.popitem())


# Not in the worker of a loader, nor in a process that has long begun: a test, a notebook.
if sys.modules.get("__mp_main__") is not sys.modules["__main__"]:
    # Started for a pool, and reads the script once more.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the first is told, which ends this one
elif multiprocessing.parent_process() is None and "torch" not in sys.modules:
    _listen()
    gc.disable()  # until all is imported
