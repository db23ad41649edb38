"""A network of a file's numbers takes no more memory than the file warrants, and there is."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules import module as registry

from segtrace.errors import InputError
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
    needed, free = activations(net, shape), free_memory()
    if needed is not None and free is not None and needed > free:
        count, *size = shape
        raise InputError(
            f"{where}: a pass of its {count} slices of {' x '.join(map(str, size))} takes about "
            f"{needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free; explain it "
            "on a larger machine, or on fewer slices of a data set, data=… probes.n=1"
        )


def activations(net: nn.Module, shape: Sequence[int]) -> int | None:
    """Bytes that a pass holds until its gradient is taken, beside the weights; none are taken.

    Args:
        net: the network; left as it is.
        shape: (N, C, H, W) of the slices.

    Returns:
        ``None`` for a network that asks for values, and not for shapes alone.
    """
    held: dict[int, int] = {}

    def hold(tensor: Tensor) -> Tensor:
        if _memory(tensor) not in weights:
            held[_memory(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    # In the copy each tensor is a shape alone, also what is reached by two paths.
    shapes: dict[int, Tensor] = {id(one): one.to("meta") for one in net.buffers()}
    for one in net.parameters():
        shapes[id(one)] = nn.Parameter(one.to("meta"), one.requires_grad)
    weights = {_memory(tensor) for tensor in shapes.values()}
    kind = next((one.dtype for one in net.parameters() if one.is_floating_point()), None)
    image = torch.empty(tuple(shape), dtype=kind, device="meta", requires_grad=True)
    try:
        with torch.enable_grad(), saved_tensors_hooks(hold, lambda tensor: tensor):
            graph = copy.deepcopy(net, dict(shapes))(image)
    except Exception:  # a class of the user's own may fail in any way where there are no values
        return None
    del graph  # until here what it holds had an address of its own
    return sum(held.values())


def _memory(tensor: Tensor) -> int:
    """The same of two tensors that share memory."""
    return int(tensor.untyped_storage()._cdata)
