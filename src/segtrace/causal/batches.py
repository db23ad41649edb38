"""Batches that fit into memory, and how far the work has come."""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from segtrace.errors import is_out_of_memory
from segtrace.network.logits import sent
from segtrace.progress import OnProgress, Progress

T = TypeVar("T")

SLICES = 8
"""Slices per pass where no gradient is held: on two cores a cut of 2 takes three times as long."""


@dataclass
class Batches:
    """Slices in batches whose size halves when memory runs out.

    Attributes:
        size: slices per batch; halved for good when one does not fit, which is said once.
    """

    size: int
    _said: bool = field(default=False, repr=False)

    def over(self, count: int, run: Callable[[slice], T]) -> Iterator[tuple[slice, T]]:
        """Run every part of ``count`` slices; (which, result), in order.

        Raises:
            RuntimeError: memory that does not suffice for a single slice.
        """
        first = 0
        while first < count:
            part = slice(first, min(first + self.size, count))
            try:
                result = run(part)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.size == 1:
                    raise
                self._halve()
                continue
            yield part, result
            first = part.stop

    def _halve(self) -> None:
        self.size = (self.size + 1) // 2
        if not self._said:
            self._said = True
            warnings.warn(
                f"memory ran out: going on with batches of {self.size} slices, fewer if need be",
                stacklevel=4,
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def seconds_per_slice(net: nn.Module, x: Tensor) -> float:
    """What one slice takes to go forward; passes that were not timed must have warmed up."""
    start = time.perf_counter()
    sent(net, x)
    return (time.perf_counter() - start) / len(x)


class Clock:
    """Tells a callback how far the work has come.

    Args:
        total: passes of one image to be done.
        first: seconds that one pass takes, measured beforehand: the estimate before the start.
        tell: called at once, and after every step.
        began: when the first pass did, by ``time.perf_counter``, where it is through; now.
    """

    def __init__(
        self, total: int, first: float, tell: OnProgress | None, began: float | None = None
    ) -> None:
        self.done, self.total, self._tell = 0, total, tell
        self._start = time.perf_counter() if began is None else began
        if tell is not None:
            tell(Progress(0, total, 0.0, first * total))

    def step(self, passes: int) -> None:
        """So many more passes are done."""
        self.done += passes
        if self._tell is not None:
            seconds = time.perf_counter() - self._start
            left = seconds / self.done * (self.total - self.done)
            self._tell(Progress(self.done, self.total, seconds, left))
