"""The processes of a training meet, however long the first of them has worked alone."""

import time
from datetime import timedelta

import torch.distributed as dist

PATIENCE = timedelta(days=7)
"""No explanation of an epoch takes as long; whoever has died is noticed at once."""
PAUSE = 0.02
"""Seconds between two looks."""


class Meeting:
    """Where the processes of a training wait for one another, whatever its time-out is.

    A process that waits in a sum of gradients, say, ends the training when the time-out of the
    process group is over (Lightning's: 30 minutes), though the first one is still explaining. Here
    they wait in a group of their own. Signals are answered meanwhile.

    All processes must make one, and wait, at the same places.
    """

    def __init__(self) -> None:
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self._group = dist.new_group(backend="gloo", timeout=PATIENCE) if several else None

    def wait(self) -> None:
        """Until all are here.

        Raises:
            RuntimeError: one of them has died.
        """
        if self._group is None:
            return
        arrived = dist.barrier(self._group, async_op=True)
        while not arrived.is_completed():
            time.sleep(PAUSE)
        arrived.wait()
