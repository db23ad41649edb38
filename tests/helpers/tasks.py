"""Tasks that another process can be given."""

import os
import signal
import sys
import time
import warnings
from dataclasses import dataclass

import torch

from segtrace import InputError
from segtrace.progress import say


@dataclass(frozen=True)
class Squares:
    """Squares numbers; of a negative one it is killed, and of one above 100 it refuses."""

    weights: torch.Tensor

    def __call__(self, number: int) -> tuple[int, int, bool, float]:
        if number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if number > 100:
            raise InputError(f"{number} is too large")
        if number == 0:
            time.sleep(0.5)  # the others are done first
            warnings.warn("nothing to square", stacklevel=1)
        say(f"squaring {number}")
        flushes = sys.float_info.min / 2 == 0
        return number**2, torch.get_num_threads(), flushes, float(self.weights.sum())
