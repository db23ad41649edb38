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
        tensors: buffers, and other tensors that are no parameters and no results.
    """

    modules: tuple[nn.Module, ...]
    attributes: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
    containers: tuple[tuple[Any, Any], ...]
    tensors: tuple[Tensor, ...]

    @classmethod
    def of(cls, net: nn.Module) -> "Contents":
        """Those of the network as it is."""
        found = _Found()
        found.walk(net)
        attributes = tuple((held, dict(held)) for held in map(vars, found.modules))
        containers = tuple((c, copy(c)) for c in found.containers if not isinstance(c, tuple))
        return cls(tuple(found.modules), attributes, containers, tuple(found.tensors))

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


class _Found:
    """What a walk over a network meets, each thing once."""

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.containers: list[Any] = []
        self.tensors: list[Tensor] = []
        self._seen: set[int] = set()

    def walk(self, net: nn.Module) -> None:
        waiting: list[Any] = [*net.modules()]  # scripted ones hold theirs elsewhere
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if kind in PLAIN or id(value) in self._seen:
                continue
            self._seen.add(id(value))
            if issubclass(kind, nn.Module):
                self.modules.append(value)
                waiting += [inner for name, inner in vars(value).items() if is_held(name)]
            elif issubclass(kind, CONTAINERS):
                self.containers.append(value)
                waiting += value.values() if issubclass(kind, dict) else value
            elif issubclass(kind, Tensor) and _writable(value):
                self.tensors.append(value)


def is_held(name: str) -> bool:
    """Whether an attribute of a module is what it holds, and not who listens to it."""
    return "_hooks" not in name


def _writable(tensor: Tensor) -> bool:
    """Whether a pass may write into it; into parameters it must not, and a result is made anew."""
    return tensor.grad_fn is None and not isinstance(tensor, nn.Parameter)


def _same(now: Any, before: Any) -> bool:
    """Whether two containers hold the very same things in the same order."""
    if len(now) != len(before):
        return False
    if not before:
        return True
    if isinstance(now, dict) and not _same(list(now), list(before)):
        return False
    one, other = ((c.values() if isinstance(c, dict) else c) for c in (now, before))
    return all(a is b for a, b in zip(one, other, strict=True))
