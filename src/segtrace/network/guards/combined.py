"""Guards made of guards: where ``None`` may stand, where several are wanted, of one class."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from segtrace.errors import Guard, InputError, wrong


def optional(guard: Guard) -> Guard:
    """The same where ``None`` may stand."""

    def check(name: str, value: Any) -> Any:
        return None if value is None else guard(name, value)

    return check


def some(guard: Guard) -> Guard:
    """The same where at least one is needed."""

    def check(name: str, value: Any) -> Any:
        read = guard(name, value)
        if not len(value):
            raise InputError(f"{name} is empty; give at least one")
        return read

    return check


def each(guard: Guard, wanted: str) -> Guard:
    """Each of several passes the guard; an iterator is left to be read once."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, str | Tensor) or not isinstance(value, Iterable):
            raise wrong(name, value, wanted)
        if not isinstance(value, Iterator):
            for one in value:
                guard(f"one of {name}", one)

    return check


def instance(kind: type, words: str) -> Guard:
    """An object of a class of ours.

    Args:
        kind: the class.
        words: where such an object comes from.
    """

    def check(name: str, value: Any) -> None:
        if not isinstance(value, kind):
            raise wrong(name, value, f"a {kind.__name__}, {words}")

    return check
