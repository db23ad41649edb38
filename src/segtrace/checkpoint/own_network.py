"""A network of the user's own: named on the command line, and filled from any file of weights."""

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Size, Tensor, nn

from segtrace.errors import InputError, UsersCodeError, unknown, users_code

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
        InputError: nothing of that name can be imported, or it cannot be called; its module fails.
    """
    module, colon, inner = name.partition(":")
    if not colon or module.endswith(".py") or "/" in module:
        stem = Path(module).name.removesuffix(".py")
        module, _, last = stem.rpartition(".") if not colon else (stem, "", inner)
        like = f"{module}:{last}" if module and last else "my_module:build"
        raise InputError(
            f"{option}={name}; give module:function, e.g. {like}, typed where the module lies"
        )
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    home = _imported(module, f"{option}={name}")
    found = getattr(home, inner, None)
    if found is None:
        own = [
            key for key, value in vars(home).items() if getattr(value, "__module__", 0) == module
        ]
        raise unknown("function", inner, own, f"{option}={name}: {module}")
    if not callable(found):
        wanted = "builds the network" if option == "net" else "picks the logits"
        raise InputError(f"{option}={name}: {inner} is not callable; name what {wanted}")
    return found


def _imported(module: str, given: str) -> ModuleType:
    """A module; where it stands, but cannot be imported, that is told."""
    try:
        with users_code(f"{given}: importing {module}"):
            return importlib.import_module(module)
    except UsersCodeError as error:
        cause = error.__cause__
        absent = isinstance(cause, ModuleNotFoundError) and f"{module}.".startswith(
            f"{cause.name}."
        )
        if absent or isinstance(cause, ValueError):  # of a name that is none
            raise InputError(f"{given}: {cause}") from cause
        raise


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
        InputError: see :func:`named`; a builder that asks for arguments, raises, or returns
            something else.
    """
    build = named(builder)
    _check_no_arguments(builder, build)
    with users_code(f"net={builder}"):
        net = build()
    if not isinstance(net, nn.Module):
        raise InputError(f"net={builder} returns a {type(net).__name__}; a network is needed")
    return net


def _check_no_arguments(builder: str, build: Callable[..., Any]) -> None:
    """Refuse what asks for arguments, which nobody gives."""
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):  # written in another language
        return
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]
    if needed:
        module, _, inner = builder.partition(":")
        given = ", ".join(f"{name}=…" for name in needed)
        raise InputError(
            f"net={builder} needs {', '.join(needed)}, and is called with nothing; write into "
            f"{module.rpartition('.')[2]}.py def my_net(): return {inner}({given}), and say "
            f"net={module}:my_net"
        )


@dataclass(frozen=True)
class _Weights:
    """Tensors of a file under the network's names.

    Attributes:
        keys: that lead to the dict in which they lie.
        words: before their names there.
        tensors: name, without wrappers -> value.
    """

    keys: tuple[Any, ...]
    words: str
    tensors: dict[str, Tensor]

    def are_whole(self, shapes: Mapping[str, Size]) -> bool:
        """Whether they are all that a network has, of its shapes."""
        return all(
            name in self.tensors and self.tensors[name].shape == shape
            for name, shape in shapes.items()
        )

    def are_usual(self, other: "_Weights") -> bool:
        """Whether they lie under a usual key, where the way to others parts from theirs."""
        if self.keys == other.keys:
            return self.words.removesuffix(".") in ("", *CONTAINERS)
        pairs = zip(self.keys, (*other.keys, *[None] * len(self.keys)), strict=False)
        return next((one for one, two in pairs if one != two), None) in CONTAINERS

    @property
    def told(self) -> tuple[str, str]:
        """Where they are, in words, and as it is typed, of a file read as ``saved``."""
        place = "saved" + "".join(f"[{key!r}]" for key in self.keys)
        if not self.words:
            return place, place
        typed = f"{{k: v for k, v in {place}.items() if k.startswith({self.words!r})}}"
        return f"{place}, names with {self.words}*", typed


def fitted(saved: Mapping[str, Any], net: nn.Module) -> dict[str, Tensor]:
    """The network's own part of a saved state dict, under the network's own names.

    Wrappers (DDP, ``torch.compile``, a Lightning module, a module that picks the logits) put the
    same words before every name: of those in the file, or of those of the network. The words under
    which most names fit are exchanged. Counts of batches that an old file lacks stay as they are.

    Raises:
        InputError: two sets of weights that are not the same fit, and neither has a usual key.
    """
    state = net.state_dict()
    own = {WRAPPED.sub("", name): name for name in state}
    sets = [one for keys, tensors in _containers(saved) for one in _renamed(keys, tensors, own)]
    best = max(sets, key=lambda one: len(own.keys() & one.tensors.keys()))
    found = best.tensors
    if not own.keys() & found.keys():
        return found
    _check_alone(best, sets, {n: state[own[n]].shape for n in own if not n.endswith(COUNTED)})
    counted = {name: value for name, value in state.items() if name.endswith(f".{COUNTED}")}
    renamed = {own.get(name, name): tensor for name, tensor in found.items()}
    return counted | {n: t for n, t in renamed.items() if n in state or n != AVERAGED}


def _check_alone(best: _Weights, sets: Sequence[_Weights], shapes: Mapping[str, Size]) -> None:
    """Refuse to choose between weights that fit alike."""
    for other in sets if best.are_whole(shapes) else ():
        if (
            other.are_whole(shapes)
            and not all(_same(best.tensors[n], other.tensors[n]) for n in shapes)
            and not best.are_usual(other)
        ):
            (one, _), (two, typed) = best.told, other.told
            raise InputError(
                f"two sets of weights fit the network, {one} and {two}; save the one you mean "
                f"alone: saved = torch.load(…); torch.save({typed}, 'my.pth')"
            )


def _same(one: Tensor, other: Tensor) -> bool:
    plain = all(x.layout == torch.strided and not x.is_meta for x in (one, other))
    return plain and one.dtype == other.dtype and torch.equal(one, other)


def _containers(
    saved: Mapping[str, Any], keys: tuple[Any, ...] = (), depth: int = 2
) -> Iterator[tuple[tuple[Any, ...], dict[str, Tensor]]]:
    """The tensors of every dict in the file, after the keys to it, usual ones first."""
    usual = [key for key in CONTAINERS if isinstance(saved.get(key), Mapping)]
    if depth:
        for key in [*usual, *(key for key in saved if key not in usual)]:
            if isinstance(saved[key], Mapping):
                yield from _containers(saved[key], (*keys, key), depth - 1)
    yield (
        keys,
        {
            WRAPPED.sub("", name): value
            for name, value in saved.items()
            if isinstance(name, str) and isinstance(value, Tensor)
        },
    )


def _renamed(
    keys: tuple[Any, ...], tensors: Mapping[str, Tensor], own: Mapping[str, str]
) -> list[_Weights]:
    """The tensors under the words that most of the network's names begin with.

    Of several such words in the file the shortest come first, usual ones before them.
    """

    def rank(pair: tuple[str, str]) -> tuple[int, bool, int, str]:
        theirs, ours = pair
        fits = sum(_exchanged(name, ours, theirs) in tensors for name in own)
        is_usual = theirs.removesuffix(".") in ("", *CONTAINERS) and not ours
        return -fits, not is_usual, len(theirs) + len(ours), theirs

    ranks = {pair: rank(pair) for pair in _beginnings(tensors, own)}
    _, ours = best = min(ranks, key=lambda pair: ranks[pair])
    alike = (pair for pair in ranks if pair[1] == ours and ranks[pair][0] == ranks[best][0])
    return [
        _Weights(
            keys,
            theirs,
            {
                _exchanged(name, theirs, ours) or name: tensor
                for name, tensor in tensors.items()
                if name.startswith(theirs)
            },
        )
        for theirs, _ in sorted(alike, key=lambda pair: ranks[pair])
    ]


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
