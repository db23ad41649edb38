"""What a script says while it works: one line a step, with the time gone by and what is left.

In a terminal a line below counts along, and is gone when the step is done; a file gets none.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import mean, median_low
from typing import TypeVar

T = TypeVar("T")

BEGAN = time.monotonic()
"""When the scripts' clock began: they import this first."""
LONG = 20.0
"""Seconds left from which even a file is told, once the pace is known."""
RANKS = "lightning_utilities.core.rank_zero"
"""Where Lightning keeps the number of a process, once it is imported."""
_shown = 0
"""Letters of the line that counts along."""
_heard: list[str] | None = None
"""What was said since another process is to say it."""
_once: set[str] = set()
"""What is not said again."""


@dataclass(frozen=True)
class Progress:
    """How far a piece of work has come.

    Attributes:
        done: of the parts, forward passes of one image say.
        total: parts in all.
        seconds: since the start.
        left: seconds still needed, as far as the parts so far can tell.
    """

    done: int
    total: int
    seconds: float
    left: float


OnProgress = Callable[[Progress], None]


def is_first() -> bool:
    """Whether this process is the one that writes; the others of a training only help it."""
    return not getattr(getattr(sys.modules.get(RANKS), "rank_zero_only", None), "rank", 0)


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(7), clock(83.4), clock(3600)
    ('0:07', '1:23', '1:00:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def say(words: str, left: float | None = None) -> None:
    """Print a line once, however many processes train side by side.

    Args:
        words: what is done now, or was found.
        left: seconds still needed, where that is known.
    """
    if _heard is not None:
        _heard.append(words)
    elif is_first():
        clear()
        print(f"{_line(words, left)}\n", end="", flush=True)  # at once: a signal may come between


def say_once(words: str) -> None:
    """As :func:`say`, but once in a process: data may be opened again for another part."""
    if words not in _once:
        _once.add(words)
        say(words)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Inside the block nothing is printed: what is said is listed, for another process to say."""
    global _heard
    said: list[str] = []
    _heard = said
    try:
        yield said
    finally:
        _heard = None


def clear() -> None:
    """Take away the line that counts along, if one stands there."""
    global _shown
    if _shown:
        with suppress(OSError):  # a terminal that was closed
            print(f"\r{' ' * _shown}\r", end="", file=sys.stderr, flush=True)
    _shown = 0


def counted(count: int, what: str) -> str:
    """``1 case``, ``3 cases``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def count(words: str, progress: Progress) -> None:
    """Let the line in the terminal say how far the work has come; a file is told nothing."""
    global _shown
    if _heard is None and is_first() and sys.stderr.isatty():
        clear()
        line = _line(f"{words}: {progress.done} of {progress.total}", progress.left)
        print(line, end="", file=sys.stderr, flush=True)
        _shown = len(line)


@contextmanager
def step(*parts: str, shown: bool = True) -> Iterator[OnProgress]:
    """What to hand to a long piece of work as its ``progress``; one line for each of its parts.

    Args:
        parts: what is done, in words; the work begins at 0 again with every part.
        shown: say nothing otherwise.
    """
    coming, words = iter(parts), ""

    def tell(progress: Progress) -> None:
        nonlocal words
        if progress.done == 0:
            words = next(coming, words)
        if shown and progress.done == 0:
            say(words, progress.left)
        elif shown:
            count(words, progress)

    try:
        yield tell
    finally:
        clear()


def over(items: Iterable[T], words: str, total: int | None = None) -> Iterator[T]:
    """The items, which take about as long each; a line, and another where it takes long.

    Args:
        items: of which each is worked on before the next is asked for.
        words: what is done with them.
        total: how many; needed of what has no length. Of none nothing is said.
    """
    number = len(items) if total is None and isinstance(items, Sized) else total or 0
    if number:
        say(words)
    began = time.monotonic()
    try:
        for done, item in enumerate(items, 1):
            yield item
            seconds = time.monotonic() - began
            left = seconds / done * (number - done)
            if done == 1 and left > LONG:
                say(f"{words}: {done} of {number}", left)
            count(words, Progress(done, number, seconds, left))
    finally:
        clear()


class Steps:
    """Steps that take about as long each: what is left is read off those before.

    Args:
        total: how many there will be.
        processes: that take a step each, so that steps end several at a time.
    """

    def __init__(self, total: int, processes: int = 1) -> None:
        self._total = total
        self._usual = median_low if processes == 1 else mean  # a few do more than the others
        self._began: list[float] = []

    def next(self, words: str) -> None:
        """Say that the next one begins."""
        left = None
        if 0 < len(self._began) < self._total:
            ends = [*self._began[1:], time.monotonic()]
            took = [end - began for began, end in zip(self._began, ends, strict=True)]
            left = self._usual(took) * (self._total - len(took))
        say(words, left)
        self._began.append(time.monotonic())


def _line(words: str, left: float | None) -> str:
    ending = "" if left is None else f", about {clock(left)} left"
    return f"[{clock(time.monotonic() - BEGAN)}] {words}{ending}"
