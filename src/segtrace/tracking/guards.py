"""What the arguments of ``explain``, ``FlowCallback`` and ``score_planted`` may be."""

from collections.abc import Iterator, Mapping, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segtrace.data.probes import Probes
from segtrace.errors import Guard, InputError, shown, wrong
from segtrace.network import guards
from segtrace.network.guards import a_whole, an_image, instance, optional
from segtrace.tracking.explained import Settings


def a_loader(name: str, value: Any) -> None:
    """Batches that can be read twice."""
    wanted = "batches (image, label) or {'image': …, 'label': …}, e.g. a DataLoader"
    readable = hasattr(value, "__iter__") or hasattr(value, "__getitem__")
    if isinstance(value, str | bytes | Mapping | Tensor | type) or not readable:
        raise wrong(name, value, wanted)
    if isinstance(value, Iterator):
        raise InputError(
            f"{name} is {shown(value)}, which can be read once; slices are chosen in one reading "
            "and kept in another: give the loader itself, or list(…) of it"
        )
    if isinstance(value, Sized) and not len(value):
        raise InputError(f"{name} is empty; give at least one batch (image, label)")


def a_path(name: str, value: Any) -> None:
    """A file or folder by its name."""
    if not isinstance(value, str | Path) or not str(value):
        raise wrong(name, value, "the name of a file or folder, as text or Path")


def slices_or_count(name: str, value: Any) -> Any:
    """Chosen slices, their labels as the channel numbers they hold; or how many to choose."""
    if isinstance(value, Probes):
        return value if value.labels is None else _whole(name, value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(name, value, "a number of slices, or Probes")
    return guards.a_count(name, value)


def _whole(name: str, probes: Probes) -> Probes:
    found = guards.labels(f"{name}.labels", probes.labels)
    return probes if found is probes.labels else replace(probes, labels=found)


def an_interval(name: str, value: Any) -> None:
    """A number of epochs, or ``auto``."""
    if not isinstance(value, str):
        a_whole(name, value)
    elif value != "auto":
        raise wrong(name, value, "a number of epochs, or 'auto'")


def intervals(name: str, value: Any) -> None:
    """Name -> number of epochs."""
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a mapping name -> epochs, e.g. {'grad_pam': 5}")
    for one, epochs in value.items():
        guards.a_name(f"a name in {name}", one)
        a_whole(f"{name}[{one!r}]", epochs)


def a_network_class(name: str, value: Any) -> None:
    """A class of networks, not a network."""
    if not (isinstance(value, type) and issubclass(value, nn.Module)):
        raise wrong(name, value, "a class of networks, a subclass of torch.nn.Module")


def text(name: str, value: Any) -> None:
    """Text, which may be empty."""
    if not isinstance(value, str):
        raise wrong(name, value, "text")


ARGUMENTS: Mapping[str, Guard] = {
    "loader": a_loader,
    "labels": guards.channels,
    "organs": optional(guards.channels),
    "out": optional(a_path),
    "folder": optional(a_path),
    "checkpoint": a_path,
    "slices": guards.a_count,
    "epoch": optional(guards.from_zero),
    "settings": instance(Settings, "of segtrace.tracking.explained"),
    "probes": slices_or_count,
    "every_n_epochs": an_interval,
    "cut_every": optional(a_whole),
    "draw_every": optional(intervals),
    "training_slices": optional(an_image),
    "rule": guards.a_rule,
    "why": guards.a_name,
}
"""Name of an argument -> its guard, where attribution has none or another."""

held = guards.holding({**guards.ARGUMENTS, **ARGUMENTS})
