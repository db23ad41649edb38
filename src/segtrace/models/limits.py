"""A network built from a file's numbers takes no more memory than the file warrants."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules import module as registry

from segtrace.errors import InputError

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
