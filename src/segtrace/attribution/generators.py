"""Random state that other code shares, and what keeps it as it was."""

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Inside the block anything may draw; afterwards every global generator stands where it stood.

    Those of Python, of torch on the CPU and on every CUDA device in use, and of NumPy, also after
    an exception. Usable as a decorator.
    """
    # Not imported here: what NumPy's generator would give is nobody's before somebody loads it.
    numpy = sys.modules.get("numpy.random")
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=_devices()))
        stack.callback(random.setstate, random.getstate())
        if numpy is not None:
            stack.callback(numpy.set_state, numpy.get_state(legacy=False))
        yield


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
