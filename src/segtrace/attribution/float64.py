"""Let a network compute in float64, and leave it in its own precision."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segtrace.errors import InputError
from segtrace.network.contents import Contents, is_held
from segtrace.network.logits import sent

_PRECISIONS = re.compile(r"[Dd]ouble|[Ff]loat|dtype|scalar type")
"""How torch says that two tensors have different precisions."""
MORE = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
}
INSTEAD = {Tensor.float: Tensor.double, Tensor.half: Tensor.double, Tensor.bfloat16: Tensor.double}


@contextmanager
def in_float64(net: nn.Module, x: Tensor) -> Iterator[None]:
    """During the block the network computes in float64; afterwards it holds its own tensors again.

    Its tensors are never written: float64 copies stand in the places of all floating ones, the same
    copy wherever the same tensor stood, and what the network keeps during the block goes with them.
    What it makes anew is float64 as well, also where it asks for less.

    Args:
        net: the network, undisturbed.
        x: what it takes, in its own precision. It runs once as it is, so that what functions keep
            for the next call (``lru_cache``), which nobody can take from them again, is its own.

    Raises:
        InputError: a network that holds floating tensors where they cannot be found.
    """
    with torch.no_grad():
        sent(net, x)
    contents, raised = Contents.of(net), _Raised()
    scripted = [module for module in contents.modules if isinstance(module, torch.jit.ScriptModule)]
    wrapped = [(held, dict(held.items())) for m in scripted for held in (m._parameters, m._buffers)]
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        for held, before in contents.attributes:
            own = {name: value for name, value in before.items() if is_held(name)}
            held.update({name: raised(value) for name, value in own.items() if name != "_modules"})
        for held, before in wrapped:
            _fill(held, {name: raised(tensor) for name, tensor in before.items()})
        with _NoLess():
            yield
    except RuntimeError as error:
        if _PRECISIONS.search(str(error)) is None:
            raise
        line = str(error).strip().split("\n")[0]
        raise InputError(
            f"the network does not run in float64, in which its gradients are checked ({line}); "
            "let it hold all of its tensors and modules as attributes, in buffers and module lists"
        ) from error
    finally:
        torch.set_default_dtype(default)
        contents.put_back()
        for held, before in wrapped:
            _fill(held, before)


def _fill(held: Any, tensors: Mapping[str, Tensor | None]) -> None:
    for name, tensor in tensors.items():  # no dictionary: what it stands for lies in C++
        held[name] = tensor


class _NoLess(TorchFunctionMode):
    """Where torch is asked by name for less than float64, it gives float64."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What torch calls in the place of each of its functions."""
        named = {name: _no_less(value) for name, value in (kwargs or {}).items()}
        return INSTEAD.get(func, func)(*map(_no_less, args), **named)


def _no_less(value: Any) -> Any:
    return MORE.get(value, value) if isinstance(value, torch.dtype) else value


class _Raised:
    """Floating tensors as float64, alone and in containers; everything else as it is."""

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}
        self._kept: list[Any] = []  # so that no number is given twice

    def __call__(self, value: Any) -> Any:
        make = self._how(value)
        if make is None:
            return value
        if id(value) not in self._known:
            self._kept.append(value)
            self._known[id(value)] = make(value)
        return self._known[id(value)]

    def _how(self, value: Any) -> Callable[[Any], Any] | None:
        if isinstance(value, nn.Parameter):
            return lambda one: nn.Parameter(double(one), requires_grad=False)
        if isinstance(value, Tensor):
            return lambda one: double(one).clone()  # the network may write into it
        if isinstance(value, dict):
            return self._dict
        if isinstance(value, list):
            return self._list
        if isinstance(value, tuple):
            return self._tuple
        return None

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        inner = [self(one) for one in value]
        if all(a is b for a, b in zip(inner, value, strict=True)):
            return value  # a torch.Size stays one
        make: Callable[[Any], tuple[Any, ...]] = getattr(type(value), "_make", tuple)
        return make(inner)

    def _dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        found = copy(value)
        self._known[id(value)] = found  # it may hold itself
        for key, inner in value.items():
            found[key] = self(inner)
        return found

    def _list(self, value: list[Any]) -> list[Any]:
        found = copy(value)
        self._known[id(value)] = found
        found[:] = map(self, value)
        return found


def double(tensor: Tensor) -> Tensor:
    """The values in float64 or complex128; whole numbers as they are; without a graph."""
    tensor = tensor.detach()
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor
