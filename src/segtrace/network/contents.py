"""What the modules of a network hold, so that it can be put back after a pass.

A forward pass may leave things behind that are neither parameters nor buffers: a grid made on first
use, a weight computed from its parts (``weight_norm``), a count of calls. What is held is kept by
reference and put back by reference, module by module, so that it does not matter by how many paths
a module or a tensor can be reached.
"""

from copy import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

MANY = 10_000
"""A container of more things holds data, and is not looked into."""
LARGE = 2**22
"""Elements of a tensor that is no buffer beyond which its numbers are not kept a second time."""
CONTAINERS = (dict, list, tuple, set)
PLAIN = {bool, int, float, str, type(None)}


@dataclass(frozen=True)
class Contents:
    """What the modules of a network hold, by reference.

    Attributes:
        modules: all of them, each once: those that ``modules()`` says, and those in plain
            attributes and in the lists, tuples and dictionaries there.
        attributes: (a module's attributes, what they were).
        containers: (a dictionary, list or set among them, what was in it).
        empty: those that held nothing, as most do: hooks, say.
        tensors: buffers, and other tensors that are no parameters, no results and not large.
    """

    modules: tuple[nn.Module, ...]
    attributes: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
    containers: tuple[tuple[Any, Any], ...]
    empty: tuple[Any, ...]
    tensors: tuple[Tensor, ...]

    @classmethod
    def of(cls, net: nn.Module) -> "Contents":
        """Those of the network as it is."""
        found = _Found()
        found.walk(net)
        return cls(
            modules=tuple(found.modules),
            attributes=tuple((held, dict(held)) for held in map(vars, found.modules)),
            containers=tuple((container, copy(container)) for container in found.full),
            empty=tuple(found.empty),
            tensors=tuple(found.tensors),
        )

    def put_back(self) -> None:
        """Let the modules hold the same things again."""
        for held, before in self.attributes:
            held.update(before)
            for name in held.keys() - before.keys():
                del held[name]
        for container, before in self.containers:
            if not _same(container, before):
                container.clear()
                (container.extend if isinstance(container, list) else container.update)(before)
        for container in self.empty:
            if container:
                container.clear()


class _Found:
    """What a walk over a network meets, each thing once."""

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.full: list[Any] = []
        self.empty: list[Any] = []
        self.tensors: list[Tensor] = []
        self._seen: set[int] = set()
        self._waiting: list[Any] = []

    def walk(self, net: nn.Module) -> None:
        self._waiting = [*net.modules()]  # scripted ones hold theirs elsewhere
        while self._waiting:
            value = self._waiting.pop()
            kind = type(value)
            if kind in PLAIN or id(value) in self._seen:
                continue
            self._seen.add(id(value))
            if issubclass(kind, nn.Module):
                self._module(value)
            elif issubclass(kind, CONTAINERS):
                self._container(value)
            elif issubclass(kind, Tensor) and _writable(value):
                self.tensors.append(value)

    def _module(self, module: nn.Module) -> None:
        self.modules.append(module)
        new = [b for b in module._buffers.values() if b is not None and id(b) not in self._seen]
        self._seen.update(map(id, new))
        self.tensors += new
        for name, value in vars(module).items():
            if is_held(name):
                self._waiting.append(value)
            elif isinstance(value, dict):
                (self.full if value else self.empty).append(value)

    def _container(self, container: Any) -> None:
        if not isinstance(container, tuple):
            (self.full if container else self.empty).append(container)
        if len(container) <= MANY:
            self._waiting += container.values() if isinstance(container, dict) else container


def is_held(name: str) -> bool:
    """Whether an attribute of a module is what it holds, and not who listens to it."""
    return "_hooks" not in name


def _writable(tensor: Tensor) -> bool:
    """Whether a pass may write into it; into parameters it must not, and a result is made anew."""
    plain = tensor.grad_fn is None and not isinstance(tensor, nn.Parameter)
    return plain and tensor.numel() <= LARGE


def _same(now: Any, before: Any) -> bool:
    """Whether two containers hold the very same things in the same order."""
    if len(now) != len(before):
        return False
    if isinstance(now, dict) and not _same(list(now), list(before)):
        return False
    one, other = ((c.values() if isinstance(c, dict) else c) for c in (now, before))
    return all(a is b for a, b in zip(one, other, strict=True))
