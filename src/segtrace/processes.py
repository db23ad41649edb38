"""The share of the machine that a command has, and its tasks side by side."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from segtrace.errors import InputError
from segtrace.progress import hearing, say

Item = TypeVar("Item")
Found = TypeVar("Found")

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
PAUSE = 0.5
"""Seconds between two looks at whether another process is still there."""
_task: Callable[[Any], Any]
"""What a process that takes tasks does with each."""


def allotted() -> int:
    """Cores that this process may use: by affinity, by its control group's quota, by SLURM."""
    by_slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    limits = [by_affinity(), _by_quota(), int(by_slurm) if by_slurm.isdecimal() else 0]
    return min(limit for limit in limits if limit)


def keep_to_allotment(processes: int = 1) -> None:
    """Let torch take no more threads than this process has cores, shared by some processes.

    Never more than it would take by itself, and what ``OMP_NUM_THREADS`` says stays.
    """
    import torch

    torch.set_num_threads(threads_of_each(processes))


def threads_of_each(processes: int) -> int:
    """Threads of each of some processes, see :func:`keep_to_allotment`."""
    import torch

    now = torch.get_num_threads()
    return now if "OMP_NUM_THREADS" in os.environ else max(1, min(now, allotted() // processes))


def by_affinity() -> int:
    """Cores that the system lets this process run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _by_quota() -> int:
    """Whole cores by the quota of the control group, or of one above it; 0 where there is none."""
    quotas = [quota for folder in _own_groups() if (quota := _quota(folder))]
    return max(1, int(min(quotas))) if quotas else 0


def _own_groups() -> list[Path]:
    """The folders of the control group of this process, and of those above it."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        return []
    own = [CGROUPS / line.split(":", 2)[2].strip("/") for line in lines if line.startswith("0::")]
    folders = [above for folder in own for above in (folder, *folder.parents)]
    return [*folders, CGROUPS]  # in a container its own group is the root of what it sees


def _quota(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # none, or "max"
        return 0.0


def free_memory() -> int | None:
    """Bytes that this process can still take: by the system, and by its control group's limit.

    ``None`` where the system does not say.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        system = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return min([1024 * system, *_by_limit()])


def _by_limit() -> list[int]:
    """What the limits of the control group, and of those above it, leave."""
    found = []
    for folder in _own_groups():
        try:
            most, used = ((folder / f"memory.{name}").read_text() for name in ("max", "current"))
            found.append(max(0, int(most) - int(used)))
        except (OSError, ValueError):  # none, or "max"
            continue
    return found


def end_with(parent: int) -> None:
    """Let this process end as soon as the one that started it is gone, whatever ended that."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(PAUSE)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


@contextmanager
def in_threads(
    task: Callable[[Item], Found], items: Sequence[Item], threads: int
) -> Iterator[Iterator[Found]]:
    """What the task makes of each item, in their order.

    For what unpacks, hashes and counts, which other threads need not wait for: they begin at once,
    where a process is seconds importing its packages.

    Args:
        task: with fewer than two threads, or items, it is called here.
        items: of each task one.
        threads: how many take tasks, each with :func:`threads_of_each` of torch's own.
    """
    threads = min(threads, len(items))
    if threads < 2:
        yield map(task, items)
        return
    import torch

    before = torch.get_num_threads()
    share = threads_of_each(threads)
    pool = ThreadPoolExecutor(threads, "task", torch.set_num_threads, (share,))
    try:
        yield pool.map(task, items)
    finally:
        pool.shutdown(cancel_futures=True)  # waits for tasks that were begun
        torch.set_num_threads(before)  # also of threads to come


@contextmanager
def side_by_side(
    task: Callable[[Item], Found],
    items: Sequence[Item],
    processes: int,
    instead: str,
) -> Iterator[Iterator[Found]]:
    """What the task makes of each item, in their order; what it says is said then.

    Args:
        task: with fewer than two processes, or items, it is called here.
        items: of each task one.
        processes: how many take tasks, each with :func:`threads_of_each`.
        instead: how the user asks for one process.

    Raises:
        InputError: a process was ended; the task cannot be sent to another one. What the task
            raises.
    """
    processes = min(processes, len(items))
    if processes < 2:
        yield map(task, items)
        return
    others = set(multiprocessing.active_children())
    # Spawned, since a fork of a process in which torch has threads may hang.
    begin = (_sent(task, instead), threads_of_each(processes), flushes_denormals(), os.getpid())
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, begin)
    try:
        yield map(_told, pool.map(_heard, items))
    except BrokenProcessPool as error:
        raise InputError(
            "a process that worked beside this one was ended, by a lack of memory perhaps; say "
            f"{instead}"
        ) from error
    finally:
        if sys.exc_info()[1] is not None:
            for worker in {*multiprocessing.active_children()} - others:
                worker.terminate()
        pool.shutdown(cancel_futures=True)


def _sent(task: Callable[..., Any], instead: str) -> bytes:
    """As bytes: multiprocessing would move tensors to shared memory, of which there may be none."""
    try:
        return pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"another process cannot be given this network, or what explains it ({error}); say "
            f"{instead}"
        ) from error


def flushes_denormals() -> bool:
    """Whether this thread takes numbers too small for their format for 0."""
    return sys.float_info.min / 2 == 0


def _begin(task: bytes, threads: int, flush: bool, parent: int) -> None:
    """Leave Ctrl-C to the process that waits, and do as that would."""
    global _task
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(flush)
    _task = pickle.loads(task)


Warned = list[tuple[str, type[Warning]]]


@dataclass(frozen=True)
class _Refused:
    """What the system refused a task; the cause, by which a full disk is known, is not pickled."""

    error: InputError
    cause: OSError


def _heard(item: Any) -> tuple[list[str], Warned, Any]:
    found: Any
    with hearing() as said, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = _task(item)
        except InputError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            found = _Refused(error, error.__cause__)
    return said, [(str(one.message), one.category) for one in warned], found


def _told(heard: tuple[list[str], Warned, Found | _Refused]) -> Found:
    said, warned, found = heard
    for words in said:
        say(words)
    for message, category in warned:
        warnings.warn(message, category, stacklevel=2)
    if isinstance(found, _Refused):
        raise found.error from found.cause
    return found
