"""A process group of this process alone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

LET_GO = 0.5
"""Seconds in which a thread of gloo lets go of what it has reduced."""


@contextmanager
def group_of_one(folder: Path) -> Iterator[None]:
    """Inside the block a network can be wrapped for several processes.

    A thread of gloo asks for the interpreter's lock to let go of the last reduction, and a wrapper
    that is dropped holds that lock while it waits for the thread: both would wait for ever.
    """
    store = dist.FileStore(str(folder / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        time.sleep(LET_GO)  # without the lock
        dist.destroy_process_group()
