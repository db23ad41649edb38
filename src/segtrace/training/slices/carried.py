"""Random state that a loader carries with it, and what keeps it as it was."""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import (
    BuiltinMethodType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch

from segtrace.network.undisturbed import unchanged_generators

GENERATORS = (torch.Generator, np.random.RandomState, np.random.Generator, random.Random)
PLAIN = (str, bytes, int, float, complex, type(None), torch.Tensor, np.ndarray, type, ModuleType)
"""What holds no generator, and is not looked into."""
CONTAINERS = (dict, list, tuple, set, frozenset, deque)
LARGE = 1_000
MOST = 200_000
"""Objects that are looked at: a loader may hold its whole data set in a list."""


@contextmanager
def unchanged_by_reading(loader: object) -> Iterator[None]:
    """Inside the block the loader may be read; whatever draws for it stands as before afterwards.

    Global generators, and those that the loader, its samplers, its data set and their transforms
    own, share by class or take from their module: a training may draw from the same ones.
    """
    with ExitStack() as stack:
        stack.enter_context(unchanged_generators())
        for generator in generators_of(loader):
            stack.callback(_restorer(generator))
        yield


def generators_of(owner: object) -> list[Any]:
    """The generators that an object can reach over what it holds, each once."""
    found: list[Any] = []
    waiting, seen = deque([owner]), {id(owner)}
    while waiting and len(seen) < MOST:
        here = waiting.popleft()
        if isinstance(here, GENERATORS):
            found.append(here)
            continue
        for other in _held(here):
            if not isinstance(other, PLAIN) and id(other) not in seen:
                seen.add(id(other))
                # A table of samples is looked at last, what is done to them first.
                (waiting.appendleft if _size(other) < LARGE else waiting.append)(other)
    return found


def _size(here: object) -> int:
    return len(here) if isinstance(here, CONTAINERS) else 0


def _held(here: object) -> Iterable[object]:
    """What an object holds: items, attributes, and what its code refers to."""
    if isinstance(here, dict):
        yield from here.values()
    elif isinstance(here, CONTAINERS):
        yield from here
    elif isinstance(here, partial):
        yield from (here.func, here.args, here.keywords)
    elif isinstance(here, MethodType | BuiltinMethodType):
        yield from (here.__self__, getattr(here, "__func__", None))
    elif isinstance(here, FunctionType):
        yield from _named_in(here)
    else:
        yield from getattr(here, "__dict__", {}).values()
        for cls in type(here).__mro__:
            yield from _of_class(cls, here)


def _of_class(cls: type, here: object) -> Iterator[object]:
    """What all objects of a class share, what its methods name, and what it keeps in slots."""
    for name, value in vars(cls).items():
        if isinstance(value, staticmethod | classmethod):
            yield value.__func__
        elif isinstance(value, FunctionType):
            yield value
        elif isinstance(value, property):
            yield value.fget
        elif isinstance(value, MemberDescriptorType):
            yield getattr(here, name, None)
        elif not hasattr(type(value), "__get__"):
            yield value


def _named_in(function: FunctionType) -> Iterator[object]:
    """What a function closes over, its defaults, and what it names of its own module.

    That are generators and functions; anything else there may be half the program.
    """
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a name that is not bound yet
            yield cell.cell_contents
    yield from function.__defaults__ or ()
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        ours = isinstance(value, FunctionType) and value.__module__ == function.__module__
        if ours or isinstance(value, GENERATORS):
            yield value


def _names(code: CodeType) -> Iterator[str]:
    """Of globals, in a function's code and in what is defined inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _restorer(generator: Any) -> Callable[[], object]:
    """What puts a generator back to where it stands now."""
    if isinstance(generator, torch.Generator):
        return partial(generator.set_state, generator.get_state().clone())
    if isinstance(generator, np.random.RandomState):
        return partial(generator.set_state, generator.get_state(legacy=False))
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        return partial(setattr, bits, "state", bits.state)
    if isinstance(generator, random.SystemRandom):  # has no state: what it gives is nobody's
        return lambda: None
    return partial(generator.setstate, generator.getstate())
