"""Plain values: text, numbers, switches, functions, and several of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from numbers import Integral, Real
from typing import Any

from segtrace.errors import wrong

MANY = 2**31
"""More than there is of anything that is counted here."""


def a_name(name: str, value: Any) -> None:
    """Text that is not empty."""
    if not isinstance(value, str) or not value:
        raise wrong(name, value, "a name, as text")


def a_text(name: str, value: Any) -> None:
    """Text, which may be empty."""
    if not isinstance(value, str):
        raise wrong(name, value, "text")


def a_name_or_number(name: str, value: Any) -> None:
    """A keyword, or the number of a positional argument."""
    if not isinstance(value, str) and (not is_whole(value) or value < 0):
        raise wrong(name, value, "a keyword, as text, or a number from 0")


def names(name: str, value: Any) -> None:
    """Several names; one alone is put into a list by its user, or its letters would be names."""
    if isinstance(value, str):
        raise wrong(name, value, f"a list, [{value!r}]")
    once = isinstance(value, Iterator)  # it would be empty the second time
    if once or not isinstance(value, Iterable) or hasattr(value, "__array__"):
        raise wrong(name, value, "a list of names")
    for one in value:
        a_name(f"a name in {name}", one)


def a_whole(name: str, value: Any) -> None:
    """A whole number of either sign."""
    if not is_whole(value):
        raise wrong(name, value, "a whole number")


def a_count(name: str, value: Any) -> None:
    """A whole number from 1."""
    if not is_whole(value) or not 1 <= value < MANY:
        raise wrong(name, value, f"a whole number from 1 and below {MANY}")


def from_zero(name: str, value: Any) -> None:
    """A whole number from 0: a seed, an epoch."""
    if not is_whole(value) or not 0 <= value < 2**63:
        raise wrong(name, value, "a whole number from 0")


def a_number(name: str, value: Any) -> None:
    """A number, whole or not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong(name, value, "a number")


def numbers(name: str, value: Any) -> None:
    """Name -> number."""
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a mapping name -> number")
    for one, number in value.items():
        a_number(f"{name}[{one!r}]", number)


def a_range(name: str, value: Any) -> tuple[float, float]:
    """Two finite numbers that rise, as they are."""
    wanted = "lower and upper end, two finite numbers, or None (YAML: null)"
    pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not pair or any(isinstance(one, bool) or not isinstance(one, Real) for one in value):
        raise wrong(name, value, wanted)
    low, high = map(float, value)
    if not (isfinite(low) and isfinite(high) and low < high):
        raise wrong(name, value, wanted)
    return low, high


def ends(name: str, value: Any) -> None:
    """(start, stop), whole numbers."""
    if not (isinstance(value, Sequence) and len(value) == 2 and all(map(is_whole, value))):
        raise wrong(name, value, "(start, stop), whole numbers")


def a_switch(name: str, value: Any) -> None:
    """True or False, not something that is taken for one."""
    if not isinstance(value, bool):
        raise wrong(name, value, "True or False")


def a_function(name: str, value: Any) -> None:
    """Something to call that is no class."""
    if not is_function(value):
        raise wrong(name, value, "a function")


def a_function_or_none(name: str, value: Any) -> None:
    """Something to call, or ``None``."""
    if value is not None and not is_function(value):
        raise wrong(name, value, "a function, or None")


def is_whole(value: Any) -> bool:
    """Whether it is a whole number; a switch is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_function(value: Any) -> bool:
    """Whether it is something to call that is no class."""
    return callable(value) and not isinstance(value, type)
