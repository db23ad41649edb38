"""Tasks that another process can be given."""

import errno
import os
import signal
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from segtrace.errors import users_code
from segtrace.progress import say
from segtrace.report.files import writing


@dataclass(frozen=True)
class Squares:
    """Squares numbers; of a negative one it is killed, one above 100 finds the disk
    full, and at 77 the user's code has a fault.
    """

    weights: torch.Tensor

    def __call__(self, number: int) -> tuple[int, int, bool, float]:
        if number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if number > 100:
            with writing(Path("squares.txt")):
                raise OSError(errno.ENOSPC, "No space left on device")
        if number == 77:
            with users_code("my_module:square"):
                raise KeyError("weights")
        if number == 0:
            time.sleep(0.5)  # the others are done first
            warnings.warn("nothing to square", stacklevel=1)
        say(f"squaring {number}")
        flushes = sys.float_info.min / 2 == 0
        return number**2, torch.get_num_threads(), flushes, float(self.weights.sum())
