"""Stages: named places in a network, each the output of one module."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from segtrace.errors import InputError, unknown
from segtrace.network import guards
from segtrace.network.known.record import Known
from segtrace.network.known.table import NETWORKS, find

_TOKENS = re.compile(r"tokens(?:\((\d+), *(\d+)(?:, *(\d+))?\))?")


@guards.fields(name=guards.a_name, module=guards.a_name, layout=guards.a_name)
@dataclass(frozen=True)
class Stage:
    """A named place in a network: the output of one module.

    Attributes:
        name: ``enc1`` …, ``dec1`` … (counted from the bottleneck up), ``head``, or the user's.
        module: its dotted path, as ``named_modules`` says it.
        layout: ``nchw`` (channels second), ``nhwc`` (channels last), or ``tokens(h, w)``: a
            sequence (N, T, K) that is an h x w grid row by row, a leading class token dropped;
            ``tokens`` alone is a square grid.
    """

    name: str
    module: str
    layout: str = "nchw"

    def __post_init__(self) -> None:
        check_layout(self.layout, f"stage {self.name!r}")

    def channels_first(self, tensor: Tensor) -> Tensor:
        """The stage's tensor as ``(N, K, *cells)``: a view, so gradients pass through."""
        return channels_first(tensor, self.layout, f"stage {self.name!r}")

    def to_plain(self) -> dict[str, str]:
        """Plain values for a checkpoint."""
        return {"module": self.module, "layout": self.layout}


def check_layout(layout: str, place: str) -> None:
    """Refuse what is no layout.

    Raises:
        InputError: names the place, and what is allowed.
    """
    if layout not in ("nchw", "nhwc") and not _TOKENS.fullmatch(layout):
        raise InputError(
            f"{place} has layout {layout!r}; allowed are nchw, nhwc, tokens (a square grid) and "
            "tokens(h, w), e.g. tokens(14, 14)"
        )


def channels_first(tensor: Tensor, layout: str, place: str) -> Tensor:
    """A place's tensor as ``(N, K, *cells)``: a view, so gradients pass through.

    Args:
        tensor: as the network lays it out.
        layout: see :class:`Stage`.
        place: what it is and its name, for messages.

    Raises:
        InputError: tokens that are not as many as the grid has cells.
    """
    if layout == "nhwc":
        return tensor.movedim(-1, 1)
    grid = _TOKENS.fullmatch(layout)
    if grid is None:
        return tensor
    if tensor.ndim != 3:
        raise InputError(
            f"{place} has shape {tuple(tensor.shape)}; {layout} needs (N, tokens, channels)"
        )
    n, tokens, channels = tensor.shape
    cells = [int(size) for size in grid.groups() if size] or _square(tokens, place)
    count = math.prod(cells)
    if tokens not in (count, count + 1):
        raise InputError(
            f"{place} has {tokens} tokens; {layout} needs {count}, "
            f"or {count + 1} with a class token"
        )
    return tensor[:, tokens - count :].movedim(-1, 1).reshape(n, channels, *cells)


def _square(tokens: int, place: str) -> list[int]:
    side = math.isqrt(tokens)
    if side * side not in (tokens, tokens - 1):
        raise InputError(
            f"{place} has {tokens} tokens, which are no square grid; give its layout, "
            "tokens(h, w), or a square image"
        )
    return [side, side]


StagesLike = Mapping[str, Any] | Sequence[str] | None


@guards.held()
def resolve(net: nn.Module, stages: StagesLike = None) -> tuple[Stage, ...]:
    """The stages meant, checked against the network.

    Args:
        net: the network itself, not a wrapper.
        stages: name -> module path, or -> ``{"module": …, "layout": …}``; or names out of the
            table of known networks; or ``None`` for all that the table knows.

    Raises:
        InputError: an unknown network, stage or module.
    """
    if stages is None or not isinstance(stages, Mapping):
        table = _known(net)
        names = list(table) if stages is None else list(stages)
        for name in names:
            if name not in table:
                raise unknown("stage", name, table, "this network")
        stages = {name: table[name] for name in names}
    if not stages:
        raise InputError("no stage is named; give at least one")
    return tuple(_stage(net, name, place) for name, place in stages.items())


def known(net: nn.Module) -> tuple[Stage, ...]:
    """The stages that the table knows of a network; none where it does not know the network."""
    try:
        return tuple(_known(net).values())
    except InputError:
        return ()


def known_of(net: nn.Module) -> Known:
    """What the table knows of this network.

    Raises:
        InputError: a network that is not in the table; says how to name places by hand.
    """
    known = find(net)
    if known is None:
        raise not_in_table(net)
    return known


NAMING = (
    "stages={'enc1': 'path.of.a.module', …}, or say stages='proposed' to take what "
    "print(segtrace.describe(net, image)) proposes"
)
"""How a user names stages."""


AS_IT_WAS = "give the nn.Module as it was before torch.jit.script or torch.jit.trace"
"""What to do about a scripted module."""


def not_in_table(net: nn.Module, naming: str = NAMING, found: str = "") -> InputError:
    """The error of a network whose places must be named; says how, and what there is.

    Args:
        net: the network.
        naming: how a user names them.
        found: why none are proposed; empty where they have not been looked for.
    """
    if isinstance(net, torch.jit.ScriptModule):
        return InputError(
            f"no hook reaches into a network that torch.jit has scripted; {AS_IT_WAS}"
        )
    cls = type(net)
    tree = [
        f"{path} ({type(module).__name__})"
        for path, module in net.named_modules()
        if path and path.count(".") < 2
    ]
    more = f" and {len(tree) - 40} more" if len(tree) > 40 else ""
    names = [known.name for known in NETWORKS]
    own = f" (this one is {cls.__module__}'s)" if cls.__name__ in names else ""
    what = f"the places of {cls.__name__} are not in the table ({', '.join(names)}){own}"
    if find(net) is not None:
        kind = type(getattr(net, "encoder", net)).__name__
        what = f"the encoder of {cls.__name__} ({kind}) is not in the table"
    if found:
        naming = f"{NAMING.split(', or')[0]}, for none can be proposed: {found}"
    return InputError(
        f"{what}; name them: {naming}; its modules are " + ", ".join(tree[:40]) + more
    )


def _known(net: nn.Module) -> dict[str, Stage]:
    """The stages of a network in the table."""
    known = known_of(net)
    found: dict[str, list[str]] = {"enc": [], "dec": [], "head": []}
    for kind, pattern in known.stages:
        found[kind] += matching(net, pattern)
    found["enc"] = found["enc"][: _depth(net, known)]
    # Nested decoders come shallowest first; the deepest has the longest path.
    found["dec"].sort(key=lambda path: -path.count("."))
    if not found["enc"]:
        raise not_in_table(net)
    named = {
        kind if kind == "head" else f"{kind}{number}": path
        for kind, paths in found.items()
        for number, path in enumerate(paths, 1)
    }
    return {name: Stage(name, path, layout_of(net, known, path)) for name, path in named.items()}


def _depth(net: nn.Module, known: Known) -> int | None:
    """How many encoder stages run; ``None`` for all."""
    found: Any = net
    for name in known.depth.split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, int) else None


def matching(net: nn.Module, pattern: str) -> list[str]:
    """The paths of its modules that a pattern of the table is meant for."""
    pattern = pattern if ":" in pattern else rf"{pattern}:\w+"
    return [
        path
        for path, module in net.named_modules()
        if re.fullmatch(pattern, f"{path}:{type(module).__name__}")
    ]


def layout_of(net: nn.Module, known: Known, path: str) -> str:
    """How a known network lays out what passes a place."""
    for pattern, layout in known.layouts.items():
        if re.fullmatch(pattern, path):
            return layout.format_map(vars(net))
    return "nchw"


def _stage(net: nn.Module, name: str, place: Any) -> Stage:
    if isinstance(place, Stage):
        stage = place
    elif isinstance(place, str):
        stage = Stage(name, place)
    elif isinstance(place, Mapping) and "module" in place and set(place) <= {"module", "layout"}:
        stage = Stage(name, **place)
    else:
        raise InputError(
            f"stage {name!r} is {place!r}; give a module path, or a mapping module: …, layout: …"
        )
    check_module(net, stage.module, f"stage {name!r}")
    return stage


def check_module(net: nn.Module, path: str, what: str) -> None:
    """Refuse the path of a module that the network does not have, or at which nobody can listen.

    Raises:
        InputError: names the path and the nearest ones that exist, or the scripted module.
    """
    modules = dict(net.named_modules(remove_duplicate=False))
    paths = [name for name in modules if name]
    if path not in modules or not path:
        nearest = _within_or_around(path, paths) or get_close_matches(path, paths, n=3)
        tops = [name for name, _ in net.named_children()]
        raise InputError(
            f"{what}: no module {path!r}; this network has {', '.join(tops)} and what is in them"
            + (f"; did you mean {', '.join(nearest)}?" if nearest else "")
        )
    refuse_scripted(modules, path, what)


def _within_or_around(path: str, paths: Sequence[str]) -> list[str]:
    """The path that is meant where a wrapper's name is there too much, or is lacking."""
    parts = path.split(".")
    inner = [".".join(parts[first:]) for first in range(1, len(parts))]
    found = [name for name in inner if name in paths]
    return found[:1] or [name for name in paths if path and name.endswith(f".{path}")][:3]


def refuse_scripted(modules: Mapping[str, nn.Module], path: str, what: str) -> None:
    """Refuse a module at which nobody can listen; see :func:`scripted`.

    Raises:
        InputError: it is such a one.
    """
    above = scripted(modules, path)
    if above is not None:
        raise InputError(
            f"{what}: {f'module {above!r}' if above else 'the network'} is scripted by "
            f"torch.jit ({path!r} cannot be looked at); {AS_IT_WAS}"
        )


def scripted(modules: Mapping[str, nn.Module], path: str) -> str | None:
    """Which module, itself or one around it, torch.jit has scripted, so that no hook is called.

    Args:
        modules: path -> module, all of a network.
        path: of one of them.
    """
    parts = path.split(".")
    for above in (".".join(parts[:count]) for count in range(len(parts) + 1)):
        module = modules[above]
        traced = path and above == path and isinstance(module, torch.jit.TopLevelTracedModule)
        if isinstance(module, torch.jit.ScriptModule) and not traced:
            return above
    return None


def why_idle(net: nn.Module) -> str:
    """Behind "did not run": why a module of this network may stand there and never be called."""
    if not any(isinstance(module, GraphModule) for module in net.modules()):
        return ""
    return (
        ": torch.fx or torch.export has written the network out, operation by operation, so that "
        "modules are passed by; give the nn.Module as it was before"
    )


def runs_twice(place: str, module: str) -> InputError:
    """The error of a place that is passed more than once: none of the passes is the one meant.

    Args:
        place: what it is and its name, in words.
        module: its path.
    """
    return InputError(
        f"{place} ({module}) runs more than once in a forward pass; name a module that runs once"
    )
