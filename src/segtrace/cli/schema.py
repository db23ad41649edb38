"""Check a configuration against the constructors it names, before any work."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, get_type_hints

from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from segtrace.cli.command_line import quoted
from segtrace.errors import InputError, unknown
from segtrace.training.construction import in_yaml, reason

CHECKED = ("segtrace", "pytorch_lightning", "lightning", "torch", "monai")
"""Packages whose constructors are the schema; a class of the user's own stays open."""

INJECTED = {
    "segtrace.training.module.SegmentationModule": {"organs", "description", "inferer"},
    "segtrace.training.callbacks.flow.FlowCallback": {
        "probes",
        "settings",
        "stages",
        "edges",
        "organs",
        "training_slices",
    },
}
"""Arguments that the scripts supply themselves, so that a configuration must not."""

SEVERAL = ("callbacks", "logger", "explainers")
"""Groups of which any number may be named, each a class with its options."""

OPEN = ("model.net", "model.stages", "model.edges")
"""Places where any network, with any arguments, may stand."""

IN_WORDS = {"bool_parsing": "give true or false", "bool_type": "give true or false"}
"""What pydantic finds -> what to give instead."""

LATER = ("model.optimizer", "model.scheduler")
"""Places of functions that the module calls, with what it alone has."""
CALLED = ("data", "model", "explain", "trainer", "study")
"""Keys under which a class and its options lie."""
PARTS = (*CALLED, *SEVERAL, "probes")
"""Keys under which options lie, and not a value."""


def plainly(config: DictConfig, *, whole: bool = True) -> dict[str, Any]:
    """The configuration as plain dicts and lists, interpolations resolved.

    Args:
        config: as Hydra composed it.
        whole: refuse it where a value is missing that must be given.

    Raises:
        InputError: a value that must be given and is not.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing and whole:
        raise InputError(f"{missing[0]} must be given: say {missing[0]}=…")
    plain = OmegaConf.to_container(config, resolve=True)
    if not isinstance(plain, dict):
        raise InputError(f"the configuration is a {type(plain).__name__}; a mapping is needed")
    return {str(key): value for key, value in plain.items()}


def check(
    config: Mapping[str, Any],
    known: Collection[str],
    optional: Collection[str] = (),
    bare: Collection[str] = (),
) -> None:
    """Hold every part of a configuration against the signature of what it would call.

    Args:
        config: the configuration, resolved, as plain dicts.
        known: the keys that may stand on its top level.
        optional: those of them that may be missing.
        bare: those that hold options of no class.

    Raises:
        InputError: a key that no constructor takes, or that is not there; a value of the wrong
            kind: one line with the place, the value and what was allowed.
    """
    for key in config:
        if key not in known:
            raise unknown("option", key, known)
    for key in known:
        _check_part(config, key, key in optional, key in CALLED and key not in bare)
    for group in SEVERAL:
        for name, node in (config.get(group) or {}).items():
            _check_entry(f"{group}.{name}", node, _asking(config, group, name))
    if "net" in (config.get("model") or {}):
        _check_network(config["model"]["net"])
    for where, node in _targets(config):
        _check_node(where, node)


def _check_part(config: Mapping[str, Any], key: str, optional: bool, called: bool) -> None:
    """It is there, and where options should lie under it, they do."""
    value: Any = config.get(key)
    if value is None and optional:
        return
    if key not in config:
        raise InputError(f"{key} is needed; leave {key}=null, or ~{key}, out")
    if key in PARTS and not isinstance(value, Mapping):
        raise InputError(f"{key}={value!r}; give its options one by one, {key}.…=…; see --help")
    if called and "_target_" not in value:
        raise InputError(f"{key} names no class; leave ~{key}, or ~{key}._target_, out")


def _check_network(node: Any) -> None:
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise InputError("model.net names no class; give model.net._target_=package.Class")


def _asking(config: Mapping[str, Any], group: str, name: str) -> str:
    """How the explainer is asked for that was given options alone."""
    if group != "explainers":
        return ""
    nodes = config[group].items()
    asked = [one for one, node in nodes if isinstance(node, Mapping) and "_target_" in node]
    return f"name it in 'explainer=[{','.join([*asked, name])}]', or "


def _check_entry(where: str, node: Any, asking: str = "") -> None:
    """A callback or logger names its class; null leaves it out."""
    if node is None:
        return
    if not isinstance(node, Mapping):
        raise InputError(f"{where}={node!r}; name its class, {where}._target_=…, or give null")
    if "_target_" not in node:
        raise InputError(f"{where} has no class; {asking}give {where}._target_=…, or {where}=null")


def _targets(value: Any, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a ``_target_``, and where it stands; networks are left open."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield where, value
        for key, inner in value.items():
            place = f"{where}.{key}" if where else str(key)
            if place not in OPEN:
                yield from _targets(inner, place)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _targets(inner, f"{where}[{i}]")


def _check_node(where: str, node: Mapping[str, Any]) -> None:
    target = str(node["_target_"])
    try:
        called: Callable[..., Any] = get_object(target)
    except (HydraException, ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{where}: cannot import {target!r}: {reason(error)}") from error
    if target.split(".")[0] not in CHECKED:
        return
    parameters = _parameters(called, target)
    hints = _hints(called)
    for key, value in node.items():
        if key == "_partial_" and type(value) is not bool:
            raise InputError(f"{where}._partial_={value!r}; give true or false")
        if key in ("_target_", "_partial_", "_convert_") or f"{where}.{key}" in OPEN:
            continue
        if key not in parameters:
            raise unknown("option", f"{where}.{key}", [f"{where}.{name}" for name in parameters])
        if not _has_target(value):
            _check_value(f"{where}.{key}", value, hints.get(key, Any))
    partial = bool(node.get("_partial_"))
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and name not in node and not partial
    ]
    if missing and where in LATER:
        raise InputError(
            f"{where}: {missing[0]} is not known before the network is built; say "
            f"{where}._partial_=true"
        )
    if missing:
        raise InputError(f"{where}: {missing[0]} is missing; say {where}.{missing[0]}=…")


def _parameters(called: Callable[..., Any], target: str) -> dict[str, inspect.Parameter]:
    """What may be given: ``**options`` stand for the optional arguments of the class above."""
    found: dict[str, inspect.Parameter] = {}
    for depth, function in enumerate(_constructors(called)):
        parameters = inspect.signature(function).parameters.values()
        for parameter in parameters:
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and (depth == 0 or parameter.default is not parameter.empty):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            break
    hidden = INJECTED.get(target, set()) | {"self"}
    return {name: parameter for name, parameter in found.items() if name not in hidden}


def _constructors(called: Callable[..., Any]) -> list[Callable[..., Any]]:
    if not inspect.isclass(called):
        return [called]
    return [vars(cls)["__init__"] for cls in called.__mro__ if "__init__" in vars(cls)]


def _hints(called: Callable[..., Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for function in reversed(_constructors(called)):
        try:
            hints |= get_type_hints(function, include_extras=True)
        except (NameError, TypeError):  # a hint that exists for type checkers alone
            continue
    return hints


def _has_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(_has_target(inner) for inner in value.values())
    return isinstance(value, list) and any(_has_target(inner) for inner in value)


def _check_value(where: str, value: Any, hint: Any) -> None:
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticSchemaGenerationError:
        return
    except Exception as error:  # pydantic refuses a config beside some kinds of hints
        if "config" not in str(error):
            raise
        adapter = TypeAdapter(hint)
    try:
        found = adapter.validate_python(value)
    except ValidationError as error:
        if words := [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, str)]:
            raise InputError(f"{where}={in_yaml(value)}; give {words[-1]}") from error
        first = error.errors()[0]
        place = "".join(f".{part}" for part in first["loc"] if isinstance(part, str | int))
        message = IN_WORDS.get(first["type"]) or first["msg"][0].lower() + first["msg"][1:]
        typed = f"; as text: '{where}={quoted(str(value))}'" if _is_no_text(value, message) else ""
        raise InputError(
            f"{where}={value!r}: {message}{f' (at {place})' if place else ''}{typed}"
        ) from error
    # Nothing converts the value later: text that looks like a number stays text.
    if isinstance(value, bool | str) and type(found) is not type(value):
        raise InputError(f"{where}={value!r}: input should be of type {type(found).__name__}")


def _is_no_text(value: Any, message: str) -> bool:
    """Whether a name that looks like a number was given where text is wanted."""
    return type(value) in (int, float, bool) and "string" in message
