"""Edges: what enters a decoder stage, ``skip_i`` from the encoder and ``up_i`` from below.

An edge is a place where a cut acts on one route alone: changing the output of an encoder stage
would change its skip and everything below it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, cat, nn
from torch.utils.hooks import RemovableHandle

from segtrace.attribution import guards
from segtrace.attribution import stages as stages_of
from segtrace.attribution.networks import JUNCTIONS
from segtrace.attribution.stages import Stage
from segtrace.errors import InputError, unknown

Alteration = Callable[[Tensor], Tensor]


@guards.fields(
    name=guards.a_name,
    stage=guards.a_name,
    module=guards.a_name,
    argument=guards.optional(guards.a_name_or_number),
)
@dataclass(frozen=True)
class Edge:
    """A place where one tensor enters a decoder stage.

    Attributes:
        name: ``skip_1``, ``up_1`` … (numbered as the decoder stages), or the user's.
        stage: the stage that it enters.
        module: dotted path of the module whose output it is; with ``argument``, whose input.
        argument: which positional argument (a number) or keyword (a name) of ``module`` it is.
        joined: where that argument holds another edge as well: ``cat`` (this edge's channels
            first, then the other's) or ``add`` (their sum).
        beside: the module whose output that other edge is; needed with ``joined``.
        source: the stage that it comes from, for people to read; may be empty.
    """

    name: str
    stage: str
    module: str
    argument: int | str | None = None
    joined: str | None = None
    beside: str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.joined not in (None, "cat", "add"):
            raise unknown("way of joining", self.joined, ("cat", "add"))
        if self.joined and (self.beside is None or self.argument is None):
            raise InputError(
                f"edge {self.name!r} is joined by {self.joined}; give argument, beside"
            )

    def to_plain(self) -> dict[str, Any]:
        """Plain values for a checkpoint; ``resolve`` reads them back."""
        return {key: value for key, value in asdict(self).items() if key != "name"}


EdgesLike = Mapping[str, Any] | Sequence[str] | None


@guards.held()
def resolve(net: nn.Module, edges: EdgesLike = None) -> tuple[Edge, ...]:
    """The edges meant, checked against the network.

    Args:
        net: the network itself, not a wrapper.
        edges: name -> :class:`Edge` or its plain values; or names out of the table of known
            networks; or ``None`` for all that the table knows.

    Raises:
        InputError: an unknown network, edge or module.
    """
    if edges is None or not isinstance(edges, Mapping):
        known = {edge.name: edge for edge in _known(net)}
        names = list(known) if edges is None else list(edges)
        for name in names:
            if name not in known:
                raise unknown("edge", name, known, "this network")
        return tuple(known[name] for name in names)
    return tuple(_edge(net, name, place) for name, place in edges.items())


def _edge(net: nn.Module, name: str, place: Any) -> Edge:
    if isinstance(place, Edge):
        edge = place
    else:
        fields = set(Edge.__dataclass_fields__) - {"name"}
        if not isinstance(place, Mapping) or not {"stage", "module"} <= set(place) <= fields:
            raise InputError(
                f"edge {name!r} is {place!r}; give stage: …, module: … and, where it is an input "
                f"of that module, argument: …; known are {', '.join(sorted(fields))}"
            )
        edge = Edge(name, **place)
    for path in (edge.module, edge.beside):
        if path is not None:
            stages_of.check_module(net, path, f"edge {name!r}")
    return edge


def _known(net: nn.Module) -> Iterator[Edge]:
    """Skip and up of every decoder stage; dec_i takes its skip from the i-th encoder from below."""
    cls = stages_of.class_in(JUNCTIONS, net)
    junction = JUNCTIONS[cls]
    stages = stages_of.resolve(net)
    encoders = [s.name for s in stages if s.name.startswith("enc")]
    decoders = [s for s in stages if s.name.startswith("dec")]
    if cls == "UNet":  # its last decoder block is the head
        decoders.append(stages[-1])
    for i, stage in enumerate(decoders, 1):
        parent, _, last = stage.module.rpartition(".")
        words = {"stage": stage.module, "parent": parent, "last": last}
        up = junction.up.format(**words)
        if i < len(encoders):  # FlexibleUNet's last decoder stage has no skip
            yield Edge(
                f"skip_{i}",
                stage.name,
                junction.skip.format(**words),
                junction.argument,
                junction.joined,
                up if junction.joined else None,
                encoders[-1 - i],
            )
        below = decoders[i - 2].name if i > 1 else encoders[-1]
        yield Edge(f"up_{i}", stage.name, up, source=below)


@contextmanager
def altering(net: nn.Module, alterations: Mapping[Stage | Edge, Alteration]) -> Iterator[None]:
    """Change what passes through places of the network during the block.

    Args:
        net: the network.
        alterations: place -> function of the tensor there; one that returns the very tensor it
            was given only looks at it.
    """
    with ExitStack() as stack:
        # An edge that is joined with another one must see what became of the other.
        for place in sorted(alterations, key=_is_joined):
            for handle in _hooks(net, place, alterations[place]):
                stack.callback(handle.remove)
        yield


def _is_joined(place: Stage | Edge) -> bool:
    return isinstance(place, Edge) and place.joined is not None


def _hooks(
    net: nn.Module, place: Stage | Edge, alteration: Alteration
) -> Iterator[RemovableHandle]:
    module = net.get_submodule(place.module)
    if isinstance(place, Stage) or place.argument is None:
        yield module.register_forward_hook(
            lambda _module, _inputs, output: alteration(_tensor(output, place))
        )
        return
    edge, other = place, _Latest()
    if edge.beside is not None:
        yield net.get_submodule(edge.beside).register_forward_hook(other)

    def on_input(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        arguments: Any = dict(kwargs) if isinstance(edge.argument, str) else list(args)
        try:
            argument = arguments[edge.argument]
        except (IndexError, KeyError):
            raise InputError(
                f"edge {edge.name!r}: {edge.module} is called without argument "
                f"{edge.argument!r}; positional ones count from 0, keywords go by their names"
            ) from None
        arguments[edge.argument] = _altered(edge, argument, other, alteration)
        return (args, arguments) if isinstance(arguments, dict) else (tuple(arguments), kwargs)

    yield module.register_forward_pre_hook(on_input, with_kwargs=True)


class _Latest:
    """A forward hook that keeps the latest output."""

    output: Tensor

    def __call__(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.output = output


def _altered(edge: Edge, argument: Any, other: _Latest, alteration: Alteration) -> Tensor:
    """The argument with the edge's part of it altered."""
    argument = _tensor(argument, edge)
    if edge.joined is None:
        return alteration(argument)
    if edge.joined == "cat":
        own = argument.shape[1] - other.output.shape[1]
        before, beside = argument[:, :own], argument[:, own:]
    else:
        before, beside = argument - other.output, other.output
    after = alteration(before)
    if after is before:  # taking a sum apart and together again would round
        return argument
    return cat([after, beside], 1) if edge.joined == "cat" else after + beside


def _tensor(value: Any, place: Stage | Edge) -> Tensor:
    if not isinstance(value, Tensor):
        raise InputError(
            f"{place.name!r} ({place.module}) holds a {type(value).__name__}; it must be a tensor"
        )
    return value
