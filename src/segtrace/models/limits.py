"""A network of a file's numbers takes no more memory than the file warrants, and there is."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules import module as registry

from segtrace import room
from segtrace.axes import sized
from segtrace.errors import InputError
from segtrace.memory import bytes_of_pass
from segtrace.processes import free_memory

MODULES = 20_000
"""Parts of a network; the largest of the table has some 3000."""


@contextmanager
def within(most: float, where: str) -> Iterator[None]:
    """During the block no more than ``most`` bytes of weights may be registered.

    A weight is counted before it is filled: until then it takes no memory.

    Raises:
        InputError: more, or more parts than any network has.
    """
    counted = _Counted(most, where)
    handles = [
        registry.register_module_parameter_registration_hook(counted.tensor),
        registry.register_module_buffer_registration_hook(counted.tensor),
        registry.register_module_module_registration_hook(counted.part),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Counted:
    def __init__(self, most: float, where: str) -> None:
        self.most, self.where = most, where
        self.bytes = self.parts = 0

    def tensor(self, _module: nn.Module, _name: str, tensor: Tensor | None) -> None:
        if tensor is None:
            return
        self.bytes += tensor.numel() * tensor.element_size()
        if self.bytes > self.most:
            raise InputError(
                f"{self.where}: its arguments describe weights of more than "
                f"{math.ceil(self.most / 2**20)} MiB, which the file does not hold"
            )

    def part(self, _module: nn.Module, _name: str, _part: nn.Module | None) -> None:
        self.parts += 1
        if self.parts > MODULES:
            raise InputError(
                f"{self.where}: its arguments describe a network of more than {MODULES} parts"
            )


def check_pass(net: nn.Module, shape: Sequence[int], where: str) -> None:
    """Refuse to send slices through a network for which there is not the memory.

    Args:
        net: the network, in evaluation mode.
        shape: (N, C, H, W) of the slices.
        where: what it came out of, for messages.

    Raises:
        InputError: a pass would take more than is free. Nothing is said of a network whose pass
            cannot be counted, or where the system does not say what is free.
    """
    count, *size = shape
    room.check(
        bytes_of_pass(net, shape),
        free_memory(),
        f"{where}: a pass of its {count} slices of {sized(size)} takes about",
        "explain it on a larger machine, or on fewer slices of a data set, data=… probes.n=1",
    )
