"""The arguments of a network, held against its class before any data is read."""

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from segtrace.checkpoint.loading import HYDRA, class_of
from segtrace.cli.command_line import parse
from segtrace.errors import InputError, unknown
from segtrace.progress import is_first, say

NET = "model.net"
_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def of_its_class(
    net: Mapping[str, Any], typed: Sequence[str], conf: Collection[Path]
) -> dict[str, Any]:
    """The network with the arguments that its class takes.

    Where the command line names another class than the option of ``model`` does, what that option
    says besides, and the class does not take, is left out, which is told. A class of any arguments
    gets them all.

    Args:
        net: ``_target_`` and arguments, plain values.
        typed: the overrides of the command line.
        conf: folders of YAML files, whose networks are what a user may choose instead.

    Raises:
        InputError: no class of networks; an argument that it does not take; one that is missing.
            With what to type.
    """
    target = str(net["_target_"])
    cls = class_of(target, NET)
    parameters = inspect.signature(cls).parameters
    kinds = [parameter.kind for parameter in parameters.values()]
    strange = [name for name in net if name not in (*HYDRA, *parameters)]
    if inspect.Parameter.VAR_KEYWORD in kinds:
        strange = []
    named = {*_named(typed)}
    for name in strange:
        if name in named or "_target_" not in named:
            allowed = [f"{NET}.{other}" for other in parameters]
            raise unknown("argument", f"{NET}.{name}", allowed, target)
    needed = [n for n, p in parameters.items() if p.default is p.empty and p.kind not in _OPEN]
    if missing := [name for name in needed if name not in net]:
        ready = [f"model={name}" for name in _ready(cls, conf)]
        one_by_one = " ".join(f"{NET}.{name}=…" for name in missing)
        raise InputError(
            f"{NET}: {target} needs {', '.join(missing)}; say {', or '.join([*ready, one_by_one])}"
        )
    if strange and is_first():
        say(f"{NET}: {target} takes no {', '.join(strange)}; left out.")
    return {name: value for name, value in net.items() if name not in strange}


def _named(typed: Sequence[str]) -> Iterator[str]:
    """The parts of the network that were typed, one by one or as a mapping."""
    for override in map(parse, typed):
        key, value = override.key_or_group, override.value()
        if key.startswith(f"{NET}."):
            yield key.removeprefix(f"{NET}.").split(".")[0]
        elif key == NET and isinstance(value, dict):
            yield from map(str, value)


def _ready(cls: type[nn.Module], conf: Collection[Path]) -> Iterator[str]:
    """The options of ``model`` whose network is of this class, by whatever path it is named."""
    for file in (file for folder in conf for file in sorted((folder / "model").glob("*.yaml"))):
        node = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("net") or {}
        with suppress(InputError):
            if class_of(str(node.get("_target_")), str(file)) is cls:
                yield file.stem
