"""The configuration of a run that goes on: its own, but for what may change.

What its ``config.yaml`` holds is data: nothing in it is resolved, and a class that it names is
made only if the command line or a YAML file of our own names it too.
"""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from segtrace.checkpoint.mapping_file import read_mapping
from segtrace.cli.command_line import parse
from segtrace.cli.limits import leaves
from segtrace.errors import InputError, shown
from segtrace.names import CONFIG
from segtrace.training.construction import in_yaml

MAY_CHANGE = (
    "trainer.max_epochs", "trainer.max_steps", "trainer.max_time",
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy",
    "trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps",
    "trainer.profiler", "callbacks.progress",
    "data.root", "data.lists", "data.cache_dir", "data.num_workers", "test",
)  # fmt: skip
"""How long, where and beside what a training runs: what it is does not depend on them."""
BROUGHT = ("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy")
"""Those of them that a group such as ``trainer=gpu`` changes too."""
WHOLE = "experiment"
"""The group whose options reach all others."""
MISSING = "???"
SHOWN = 3
"""Differences that a message lists."""

Plain = dict[str, Any]


def read_config(folder: Path) -> Plain:
    """What the run was asked for, plain values.

    Raises:
        InputError: a file that is not readable, or was not written by ``train.py``.
    """
    path = folder / CONFIG
    found = read_mapping(path, str(path))
    if not {"seed", "data", "model", "trainer"} <= found.keys():
        raise InputError(f"{path} was not written by train.py; name the folder of a run of it")
    for where, value in leaves(found):
        if isinstance(value, str) and "${" in value:
            raise InputError(f"{path}: {where}={value!r}; nothing in it is resolved: remove it")
    return found


def gone_on(
    folder: Path,
    composed: Plain,
    typed: Sequence[str],
    groups: Collection[str],
    known: Collection[str],
) -> Plain:
    """The run's own configuration, with what was typed and may change.

    Args:
        folder: of the run.
        composed: what the command line amounts to, with the defaults; plain values.
        typed: the overrides of the command line.
        groups: names of option groups.
        known: classes of our own YAML files.

    Raises:
        InputError: something that was typed is not as in the run and must not change; a class, or
            a folder outside the run's, that the user has to name again.
    """
    own = _moved(read_config(folder), composed, folder)
    _check_named_again(own, composed, folder, known)
    merged, different = deepcopy(own), []
    for path, by_name in _typed_paths(typed, groups, composed):
        asked, has = _at(composed, path), _at(own, path)
        if by_name and may_change(path):
            _put(merged, path, asked)
        elif asked != has and (by_name or asked not in (None, MISSING)):
            different.append(f"{path}={in_yaml(asked)} (the run has {in_yaml(has)})")
    if different:
        more = len(different) - SHOWN
        listed = ", ".join(different[:SHOWN]) + (f" and {more} more" if more > 0 else "")
        raise InputError(
            f"{folder} goes on as it began, so not with {listed}; leave that out, or begin another "
            f"run in another folder. What may change: {', '.join(MAY_CHANGE)}"
        )
    return merged


def settled(config: Mapping[str, Any], folder: Path) -> Plain:
    """Path -> value of all that must not change, wherever the run's folder lies.

    Args:
        config: plain values.
        folder: of the run.
    """
    return {
        path: value.replace(str(folder), "…") if isinstance(value, str) else value
        for path, value in leaves(config)
        if path != "resume" and not may_change(path)
    }


def targets_in(sources: Collection[Path]) -> set[str]:
    """The classes that the YAML files in some folders name."""
    files = [file for source in sources for file in sorted(source.rglob("*.yaml"))]
    return {target for file in files for target in _targets(yaml.safe_load(file.read_text()))}


def _targets(node: Any) -> Iterator[str]:
    for where, value in leaves(node):
        if where.split(".")[-1] == "_target_" and isinstance(value, str):
            yield value


def _moved(own: Plain, composed: Plain, folder: Path) -> Plain:
    """The configuration with its own folder where that lies now.

    Where it lay before is told by the places that lie in it by default, if all of them agree.
    """
    before = set()
    for path, value in leaves(composed):
        rest, stored = str(value)[len(str(folder)) :], _at(own, path)
        if _is_within(value, folder) and isinstance(stored, str) and stored.endswith(rest):
            before.add(stored.removesuffix(rest))
    if len(before) != 1:
        return own
    moved: Plain = _replaced(own, before.pop(), str(folder))
    return moved


def _replaced(node: Any, old: str, new: str) -> Any:
    if isinstance(node, dict):
        return {key: _replaced(value, old, new) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, old, new) for value in node]
    if isinstance(node, str) and (node == old or node.startswith(f"{old}/")):
        return new + node.removeprefix(old)
    return node


def _check_named_again(own: Plain, composed: Plain, folder: Path, known: Collection[str]) -> None:
    allowed = {*known, *_targets(composed)}
    for path, value in leaves(own):
        if path.split(".")[-1] == "_target_" and value not in allowed:
            raise InputError(f"{folder / CONFIG} {_of_unknown(path, value)}")
        if _is_elsewhere(path, value, folder) and _at(composed, path) != value:
            raise InputError(
                f"{folder / CONFIG} writes to {value}, outside the run; if that is right, name it "
                f"again: {path}={value}"
            )


def _of_unknown(path: str, value: Any) -> str:
    """What is said of a class that the file alone names; nothing of it is imported to say so.

    One that may be the user's own can be named again. Python's own modules hold no part of a
    training, but much that runs whatever it is handed.
    """
    names = value.split(".") if isinstance(value, str) else []
    if len(names) < 2 or not all(map(str.isidentifier, names)):
        return f"names {shown(value)} as {path}, which is no class; mend it, or train anew"
    if names[0] in sys.stdlib_module_names:
        return (
            f"names {value!r} as {path}, which is of Python itself and no part of a training: "
            "somebody has changed this file; train anew, or go on from a copy that you trust"
        )
    place, listed, _ = path.partition("[")
    again = f"name it again: {path}={value}"
    if listed:  # no option ends with an index
        again = f"type the whole list again, {place}=[…]"
    return (
        f"names {value!r}, which nothing here knows, and what a file names is not imported; "
        f"if you know it, {again}"
    )


def _is_elsewhere(path: str, value: Any, folder: Path) -> bool:
    """Whether a callback or logger writes to another folder."""
    written = path.split(".")[0] in ("callbacks", "logger") and isinstance(value, str)
    return written and Path(value).is_absolute() and not _is_within(value, folder)


def _is_within(value: Any, folder: Path) -> bool:
    return isinstance(value, str) and folder in (Path(value), *Path(value).parents)


def _typed_paths(
    typed: Sequence[str], groups: Collection[str], composed: Plain
) -> Iterator[tuple[str, bool]]:
    """(path, whether it was typed itself) of what the command line asks for.

    Of a group all options count that it brings, and of an experiment everything, but for what may
    change: it says where to run, not how long, or from where.
    """
    for override in map(parse, typed):
        key = override.key_or_group
        if key == "resume" or key.startswith("hydra"):
            continue
        if key not in groups or override.is_delete():
            yield key.replace("/", "."), True
            continue
        brought = [path for path, _ in leaves(composed) if key in (WHOLE, path.split(".")[0])]
        for path in brought:
            if path in BROUGHT or not (may_change(path) or path == "resume"):
                yield path, path in BROUGHT


def may_change(path: str) -> bool:
    """Whether a run that goes on may have another value there."""
    return any(path == name or path.startswith(f"{name}.") for name in MAY_CHANGE)


def _at(node: Any, path: str) -> Any:
    """What stands at ``a.b[0]``; ``None`` where nothing does."""
    for part in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(node, dict):
            node = {str(key): value for key, value in node.items()}.get(part)
        elif isinstance(node, list) and part.isdigit():
            node = node[int(part)] if int(part) < len(node) else None
        else:
            return None
    return node


def _put(node: Plain, path: str, value: Any) -> None:
    *above, last = path.split(".")
    for part in above:
        node = node.setdefault(part, {})
    node[last] = value
