"""A network of the user's own: named on the command line, and filled from any file of weights."""

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segtrace.errors import InputError

CONTAINERS = ("state_dict", "model_state_dict", "model", "network_weights")
"""Where training programs put the weights in their files."""
WRAPPED = re.compile(
    r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.|(?<=\.)module\."
)
"""What ``torch.compile``, FSDP, checkpointing and DDP put into names, whatever part they wrap; of
DDP not in front of all names, where it is exchanged like any other word."""
AVERAGED = "n_averaged"
"""A buffer of ``AveragedModel`` itself, whatever it averages."""
COUNTED = "num_batches_tracked"
"""A buffer that files of before torch 0.4.1 lack, and no evaluation reads."""


def named(name: str, option: str = "net") -> Any:
    """What the user named, imported: ``module:name``.

    Args:
        name: as it was typed, never out of a file that is read.
        option: under which it was given.

    Raises:
        InputError: nothing of that name can be imported, or it cannot be called.
    """
    module, colon, inner = name.partition(":")
    if not colon:
        raise InputError(f"{option}={name}; give module:function, e.g. my_module:build")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), inner)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{option}={name}: {error}") from error
    if not callable(found):
        wanted = "builds the network" if option == "net" else "picks the logits"
        raise InputError(f"{option}={name}: {inner} is not callable; name what {wanted}")
    return found


def network_class(net: str | type[nn.Module]) -> type[nn.Module]:
    """A class of networks, which the arguments of a file may be handed to.

    Raises:
        InputError: see :func:`named`; something that is no such class, which is not called.
    """
    cls = named(net) if isinstance(net, str) else net
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise InputError(
            f"net={net} is no class of networks; beside checkpoint=… name a subclass of nn.Module, "
            "e.g. net=my_package:MyNet"
        )
    return cls


def built(builder: str) -> nn.Module:
    """The network that a builder returns.

    Raises:
        InputError: see :func:`named`; a builder that returns something else.
    """
    net = named(builder)()
    if not isinstance(net, nn.Module):
        raise InputError(f"net={builder} returns a {type(net).__name__}; a network is needed")
    return net


def fitted(saved: Mapping[str, Any], net: nn.Module) -> dict[str, Tensor]:
    """The network's own part of a saved state dict, under the network's own names.

    Wrappers (DDP, ``torch.compile``, a Lightning module, a module that picks the logits) put the
    same words before every name: of those in the file, or of those of the network. The words under
    which most names fit are exchanged. Counts of batches that an old file lacks stay as they are.
    """
    state = net.state_dict()
    own = {WRAPPED.sub("", name): name for name in state}
    found = max(
        (_renamed(tensors, own) for tensors in _containers(saved)),
        key=lambda renamed: len(own.keys() & renamed.keys()),
    )
    if not own.keys() & found.keys():
        return found
    counted = {name: value for name, value in state.items() if name.endswith(f".{COUNTED}")}
    renamed = {own.get(name, name): tensor for name, tensor in found.items()}
    return counted | {n: t for n, t in renamed.items() if n in state or n != AVERAGED}


def _containers(saved: Mapping[str, Any], depth: int = 2) -> Iterator[dict[str, Tensor]]:
    """The tensors of every dict in the file, those under a usual key first."""
    usual = [key for key in CONTAINERS if isinstance(saved.get(key), Mapping)]
    if depth:
        for key in [*usual, *(key for key in saved if key not in usual)]:
            if isinstance(saved[key], Mapping):
                yield from _containers(saved[key], depth - 1)
    yield {
        WRAPPED.sub("", name): value
        for name, value in saved.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _renamed(tensors: Mapping[str, Tensor], own: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors under the words that most of the network's names begin with."""
    theirs, ours = max(
        _beginnings(tensors, own),
        key=lambda pair: (
            sum(_exchanged(name, *reversed(pair)) in tensors for name in own),
            -len(pair[0]) - len(pair[1]),
        ),
    )
    return {
        _exchanged(name, theirs, ours) or name: tensor
        for name, tensor in tensors.items()
        if name.startswith(theirs)
    }


def _exchanged(name: str, old: str, new: str) -> str | None:
    return new + name.removeprefix(old) if name.startswith(old) else None


def _beginnings(tensors: Mapping[str, Tensor], own: Mapping[str, str]) -> set[tuple[str, str]]:
    """Pairs of words, in the file and in the network, before names that end alike."""
    names = list(own)
    found = {("", "")}
    for name in names[:: max(1, len(names) // 4)]:
        for other in tensors:
            alike = _common_end(other.split("."), name.split("."))
            if alike:
                end = ".".join(name.split(".")[-alike:])
                found.add((other.removesuffix(end), name.removesuffix(end)))
    return found


def _common_end(one: list[str], other: list[str]) -> int:
    """How many of the last words are the same."""
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
