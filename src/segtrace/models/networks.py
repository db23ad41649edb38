"""Build the networks that a checkpoint may ask for, from their table.

A checkpoint holds the key and plain arguments. Nothing else that it names is looked up, imported or
called; a network outside the table is for the user to name, see
:func:`segtrace.checkpoint.loading.load`.
"""

import math
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from segtrace.errors import InputError, is_out_of_memory, printable, unknown, warned_if_done
from segtrace.models.arguments import checked
from segtrace.models.limits import within
from segtrace.models.table import NETWORKS, PATHS


def key_of(cls: type) -> str | None:
    """The key of a class; ``None`` for one outside the table."""
    return PATHS.get(f"{cls.__module__}.{cls.__qualname__}")


def plainly(key: str, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The arguments, as far as a checkpoint may decide them.

    Raises:
        InputError: no such network; an argument that it does not take, or of no allowed kind.
    """
    if key not in NETWORKS:
        raise unknown("network", printable(key, 80), NETWORKS, "the table of known networks")
    known = NETWORKS[key]
    decided = {name: value for name, value in given.items() if name not in known.fixed}
    return {**checked(known.arguments, decided, f"{where}: {key}"), **known.fixed}


def build(key: str, given: Mapping[str, Any], where: str, most: int) -> nn.Module:
    """A network of the table.

    Args:
        key: its name in the table.
        given: its arguments.
        where: where they stand, for messages.
        most: bytes that its weights may take.

    Raises:
        InputError: see :func:`plainly`; arguments that the class refuses; a network that is larger.
    """
    arguments = plainly(key, given, where)
    known = NETWORKS[key]
    cls = getattr(import_module(known.module), known.name)
    return called(cls, arguments, f"{where}: {key}", most)


def called(
    cls: type[nn.Module], arguments: Mapping[str, Any], where: str, most: float = math.inf
) -> nn.Module:
    """A network of this class.

    Args:
        cls: the class.
        arguments: all by name.
        where: where they stand, for messages.
        most: bytes that its weights may take.

    Raises:
        InputError: whatever the class raises, since the arguments are a file's or the user's.
    """
    try:
        with warned_if_done(), within(most, where):
            net = cls(**arguments)
    except InputError:
        raise
    except Exception as error:  # a constructor may fail in any way on values it does not expect
        line = printable(str(error).strip().split("\n")[0], 300).rstrip(".") or type(error).__name__
        if is_out_of_memory(error):
            line = "it would take more memory than there is"
        elif (blamed := _blamed(cls, arguments, most, where)) is not None:
            given = printable(repr(arguments[blamed]), 80)
            line = f"{blamed}={given}: {line}; it works without {blamed}"
        raise InputError(f"{where}: {line}") from error
    return net


def _blamed(
    cls: type[nn.Module], arguments: Mapping[str, Any], most: float, where: str
) -> str | None:
    """The argument without which the class would make a network; ``None`` for no single one."""
    for blamed in arguments:
        others = {name: value for name, value in arguments.items() if name != blamed}
        try:
            with warnings.catch_warnings(action="ignore"), within(most, where):
                cls(**others)
        except Exception:  # as above
            continue
        return blamed
    return None
