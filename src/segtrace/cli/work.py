"""Around the work of a script: signals, full disks and slow defaults, once its options stand."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from segtrace.cli import start_up
from segtrace.cli.endings import listening, told
from segtrace.processes import keep_to_allotment
from segtrace.report.checksums import hasten_tensorboard
from segtrace.training.construction import running


@contextmanager
def at_work() -> Iterator[None]:
    """Inside the block a script is stopped, or refused by Lightning, with one line."""
    # A trained network on real CT is several times slower while tiny numbers are kept exact.
    torch.set_flush_denormal(True)
    keep_to_allotment()
    hasten_tensorboard()
    start_up.over()
    with listening(), told(), running():
        yield
