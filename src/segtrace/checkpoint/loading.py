"""Checkpoints that describe themselves: what they hold, how they are written and read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from hydra.utils import get_object
from torch import Tensor, nn

from segtrace.axes import are_volumes
from segtrace.checkpoint.description import FOREIGN, KEY, KNOWN, Description, understood
from segtrace.checkpoint.own_network import network_class
from segtrace.checkpoint.plain import numbers, stored, tensors_of
from segtrace.checkpoint.reading import has_checksums, read
from segtrace.errors import InputError, printable
from segtrace.models import networks, table
from segtrace.models.limits import check_pass

DESCRIPTION = KEY
"""The key under which a checkpoint describes itself, in plain values and tensors."""
HYDRA = ("_target_", "_convert_", "_recursive_")
"""Keys of a configuration's recipe that are no arguments; its values are plain already."""
ROOM, SLACK = 4, 64 * 2**20
"""A network may take so many times what the file stores of it (half precision, say), and so many
bytes more (what is worked out anew)."""


@dataclass(frozen=True)
class Checkpoint:
    """A network and all that is needed to repeat its explanation.

    Attributes:
        net: the network with its weights, in evaluation mode and in its memory format.
        description: see ``SegmentationModule``: network, stages, organs, preprocessing, probes,
            explain, epoch, …
        path: the file.
        notes: what a user should know of the file, in sentences.
    """

    net: nn.Module
    description: Description
    path: Path
    notes: tuple[str, ...] = ()

    @property
    def epoch(self) -> int:
        """Finished passes."""
        return int(self.description["epoch"])


def load(path: Path | str, net: str | type[nn.Module] | None = None) -> Checkpoint:
    """Read a checkpoint that ``train.py`` wrote.

    Nothing that the file names is imported, resolved or called: its network is one of
    :data:`segtrace.models.table.NETWORKS`, or of a class that the user names.

    Args:
        path: the file.
        net: the class of the network, or its ``module:Class``, for one outside that table.

    Raises:
        InputError: a file that is missing, damaged, foreign, or holds code instead of values;
            a network that is not in the table; weights that do not fit the network described; a
            pass of its slices that takes more memory than there is.
    """
    path = Path(path)
    saved = read(path)
    description = _description(saved, path)
    state = saved.get("state_dict")
    if not isinstance(state, dict):
        raise InputError(f"{path} holds no weights (state_dict); is it a checkpoint of train.py?")
    weights = tensors_of(state, "net.", str(path))
    most = ROOM * stored(weights.values()) + SLACK
    built = _network(description["network"], path, net, most)
    if description["memory_format"] == "channels_last":
        built = in_channels_last(built)
    fill(built, weights, path)
    built.eval()
    if (shape := _shape_of(description)) is not None:
        check_pass(built, shape, str(path))
    return Checkpoint(built, description, path, tuple(_notes(description, path)))


def describe(path: Path | str) -> Description:
    """What a checkpoint says of itself; its tensors stay on the disk until they are used.

    Raises:
        InputError: see :func:`load`.
    """
    return _description(read(Path(path), mmap=True), Path(path))


def _description(saved: Mapping[str, Any], path: Path) -> Description:
    found = saved.get(DESCRIPTION)
    if not isinstance(found, dict):
        raise InputError(
            f"{path} is no checkpoint of train.py (it does not describe its network); for a "
            "network of your own give net=module:builder weights=… stages=…"
        )
    return understood(found, path)


def _shape_of(description: Description) -> tuple[int, ...] | None:
    """Of what a pass is shown: the slices that a checkpoint brings, or one of its volumes.

    Without them, of one as it is prepared; ``None`` where the file does not say how.
    """
    prepared, probes = description.get("preprocessing", {}), description.get("probes", {})
    if (images := probes.get("images")) is not None:
        return tuple((1, *images.shape[1:]) if are_volumes(images) else images.shape)
    size = prepared.get("size")
    cells = prepared.get("patch", [])[::-1] if size is None else [size, size]
    return (1, prepared.get("channels", 1), *cells) if cells else None


def _notes(description: Description, path: Path) -> list[str]:
    notes = []
    if description.unknown:
        version = description.get("version", "unknown")
        notes.append(
            "holds what this segtrace does not know and leaves out: "
            f"{', '.join(description.unknown[:5])} (written by segtrace {version})"
        )
    if not has_checksums(path):
        notes.append("has no checksums, so damage to the file would not be noticed")
    return notes


def _network(
    recipe: Mapping[str, Any], path: Path, net: str | type[nn.Module] | None, most: int
) -> nn.Module:
    """The network of a description: of the table, or of the class that the user names."""
    given = {name: value for name, value in recipe.items() if name not in (KNOWN, FOREIGN)}
    where = f"{path}: network"
    if net is not None:
        cls = network_class(net)
        return networks.called(cls, _keywords(given, where), f"{where}: {cls.__name__}", most)
    if KNOWN in recipe:
        return networks.build(str(recipe[KNOWN]), given, where, most)
    raise InputError(
        f"{path} is of the network {printable(str(recipe.get(FOREIGN)), 80)!r}, which is none of "
        f"the known ones ({', '.join(table.NETWORKS)}), and nothing that a file names is "
        f"imported; if you know this class and trust it, name it yourself: "
        f"explain.py {named(path, recipe)}"
    )


def named(path: Path, recipe: Mapping[str, Any]) -> str:
    """What explains a checkpoint: ``checkpoint=…``, and ``net=…`` for a class outside the table."""
    if KNOWN in recipe:
        return f"checkpoint={path}"
    module, _, cls = str(recipe.get(FOREIGN)).rpartition(".")
    plain = all(part.isidentifier() for part in (*module.split("."), cls))
    return f"checkpoint={path} net={f'{module}:{cls}' if plain else 'my_package:MyNet'}"


def recorded(recipe: Mapping[str, Any], net: nn.Module) -> dict[str, Any]:
    """How a checkpoint describes the network that a configuration's recipe built.

    A network of the table by its key; any other, and one with arguments that no checkpoint may
    give, by the name of its class.
    """
    given = {name: value for name, value in recipe.items() if not name.startswith("_")}
    key = networks.key_of(type(net))
    if key is not None:
        try:
            return {KNOWN: key, **networks.plainly(key, given, "model.net")}
        except InputError:
            pass  # more than a file may ask for: the user will have to name the class again
    return {FOREIGN: str(recipe["_target_"]), **given}


def in_channels_last(net: nn.Module) -> nn.Module:
    """The network with its 2-D weights laid out for channels-last convolutions."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return net


def class_of(target: str, where: str) -> type[nn.Module]:
    """The class of networks that the user's configuration names.

    Raises:
        InputError: no such class, or of something else.
    """
    try:
        cls = get_object(target)
    except (HydraException, ImportError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: cannot import {target!r}: {_first_line(error)}") from error
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise InputError(f"{where}: {target!r} is no network; a subclass of nn.Module is needed")
    return cls


def build(recipe: Mapping[str, Any], where: str = "model.net") -> nn.Module:
    """The network that the user's configuration names: ``_target_``, a class, and its arguments.

    Raises:
        InputError: no such class, no network class, or arguments it does not take.
    """
    target = str(recipe.get("_target_"))
    cls = class_of(target, where)
    given = {name: value for name, value in recipe.items() if name not in HYDRA}
    return networks.called(cls, _keywords(given, f"{where}: {target}"), f"{where}: {target}")


def _keywords(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Arguments by name.

    Raises:
        InputError: one that is no name, or holds a class to be called.
    """
    for name in given:
        if not name.isidentifier() or name.startswith("_"):
            raise InputError(f"{where}: {printable(name, 80)!r} is no argument; give them by name")
    if _has_nested_target(list(given.values())):
        raise InputError(f"{where}: the arguments must be plain values")
    return dict(given)


def fill(net: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load the weights, all of them.

    Raises:
        InputError: names missing, left over, of another shape, or without numbers; the first few
            are listed, and how many fit.
    """
    own = net.state_dict()
    shared = [name for name in own if name in weights]
    misfits = {
        "missing": [name for name in own if name not in weights],
        "unexpected": [name for name in weights if name not in own],
        "of another shape": [name for name in shared if own[name].shape != weights[name].shape],
        "not of plain numbers": [name for name in shared if not _like(own[name], weights[name])],
    }
    found = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for kind, names in misfits.items()
        if names
    ]
    if found:
        wrong = {name for names in misfits.values() for name in names}
        raise InputError(
            f"{path} does not fit {type(net).__name__}: {'; '.join(found)}; "
            f"{len(own.keys() - wrong)} of {len(own)} fit: build the network as it was trained"
        )
    net.load_state_dict(dict(weights))


def _like(own: Tensor, weight: Tensor) -> bool:
    """Not sparse, quantised, complex, or a shape without numbers, which would change nothing."""
    return numbers(weight) and own.is_complex() == weight.is_complex()


def _has_nested_target(value: object) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or _has_nested_target(list(value.values()))
    return isinstance(value, list | tuple) and any(_has_nested_target(item) for item in value)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
