"""Edges: what enters a decoder stage, ``skip_i`` from the encoder and ``up_i`` from below.

An edge is a place where a cut acts on one route alone: changing the output of an encoder stage
would change its skip and everything below it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor, nn

from segtrace.errors import InputError, unknown
from segtrace.network import guards
from segtrace.network import stages as stages_of
from segtrace.network.known.record import Junction
from segtrace.network.stages import Stage

Span = tuple[int, int]
"""First channel, and the one after the last."""

NAMING = (
    "edges={'skip_1': {'stage': 'dec1', 'module': 'path.of.a.module', 'argument': 1}, …}, "
    "or edges={} for stages alone, or take segtrace.describe(net, image).sites"
)
"""How a user names edges."""


@guards.fields(
    name=guards.a_name,
    stage=guards.a_name,
    module=guards.a_name,
    argument=guards.optional(guards.a_name_or_number),
    layout=guards.a_name,
)
@dataclass(frozen=True)
class Edge:
    """A place where one tensor enters a decoder stage.

    Attributes:
        name: ``skip_1``, ``up_1`` … (numbered as the decoder stages), or the user's.
        stage: the stage that it enters.
        module: dotted path of the module whose output it is; with ``argument``, whose input.
        argument: which positional argument (a number) or keyword (a name) of ``module`` it is.
        joined: where that argument holds another edge as well: ``cat`` (side by side, in whatever
            order) or ``add`` (their sum).
        beside: the module whose output that other edge is; needed with ``joined``, but for what
            is concatenated with the very output of its source.
        source: the stage that it comes from, or the path of a module; may be empty. What the edge
            carries is held against it once, see :func:`segtrace.network.joints.settled`.
        part: the channels of the argument that are this edge's, as found there; ``None`` before.
        layout: as a stage's.
    """

    name: str
    stage: str
    module: str
    argument: int | str | None = None
    joined: str | None = None
    beside: str | None = None
    source: str = ""
    part: Span | None = None
    layout: str = "nchw"

    def __post_init__(self) -> None:
        stages_of.check_layout(self.layout, f"edge {self.name!r}")
        if self.part is not None:  # out of a file it comes as a list
            object.__setattr__(self, "part", tuple(self.part))
        if self.joined not in (None, "cat", "add"):
            raise unknown("way of joining", self.joined, ("cat", "add"))
        told = self.beside is not None or (self.joined == "cat" and bool(self.source))
        if self.joined and (self.argument is None or not told):
            other = ", or the source" if self.joined == "cat" else ""
            raise InputError(
                f"edge {self.name!r} is joined by {self.joined}; give argument, beside{other}"
            )

    def channels_first(self, tensor: Tensor) -> Tensor:
        """The edge's tensor as ``(N, K, *cells)``: a view."""
        return stages_of.channels_first(tensor, self.layout, f"edge {self.name!r}")

    @property
    def axis(self) -> int:
        """The axis of the channels in the tensor as the network lays it out."""
        return 1 if self.layout == "nchw" else -1

    def not_joined(self, argument: Tensor) -> InputError:
        """The error of a concatenation that holds neither the edge nor what is beside it."""
        channels = argument.shape[self.axis]
        named = [f"{self.beside}"] * bool(self.beside)
        named += [f"the source {self.source!r}"] * bool(self.source)
        return InputError(
            f"edge {self.name!r}: neither half of the {channels} channels that enter "
            f"{self.module} as argument {self.argument!r} is what {', or '.join(named)} puts out"
            + "; name as beside the module whose output is joined there as it is"
        )

    def to_plain(self) -> dict[str, Any]:
        """Plain values for a checkpoint; ``resolve`` reads them back."""
        return {key: value for key, value in asdict(self).items() if key != "name"}


EdgesLike = Mapping[str, Any] | Sequence[str] | None


@guards.held(edges=guards.named_or_resolved)
def resolve(net: nn.Module, edges: EdgesLike = None) -> tuple[Edge, ...]:
    """The edges meant, checked against the network.

    Args:
        net: the network itself, not a wrapper.
        edges: name -> :class:`Edge` or its plain values; or names out of the table of known
            networks; or edges that are resolved, beside which stages are passed over; or ``None``
            for all that the table knows.

    Raises:
        InputError: an unknown network, edge or module.
    """
    if edges is None or not isinstance(edges, Mapping):
        names = None if edges is None else list(edges)
        if names and all(isinstance(one, Stage | Edge) for one in names):
            return tuple(_checked(net, edge) for edge in names if isinstance(edge, Edge))
        table = {edge.name: edge for edge in _known(net)}
        names = list(table) if names is None else names
        for name in names:
            if name not in table:
                raise unknown("edge", name, table, "this network")
        return tuple(table[name] for name in names)
    return tuple(_edge(net, name, place) for name, place in edges.items())


def known(net: nn.Module) -> tuple[Edge, ...]:
    """The edges that the table knows of a network; none where it does not know the network."""
    try:
        return tuple(_known(net))
    except InputError:
        return ()


def edgeless(net: nn.Module) -> str:
    """Why no edges are known of a network that has none, in words that end a line."""
    if not stages_of.known(net):
        return f"{type(net).__name__} is in no table; name them, {NAMING}"
    return f"{stages_of.known_of(net).edgeless}; its stages can be cut"


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
    return _checked(net, edge)


def _checked(net: nn.Module, edge: Edge) -> Edge:
    check(net, edge)
    return edge


def check(net: nn.Module, place: Stage | Edge) -> None:
    """Refuse a place that lies in another network than this one.

    Raises:
        InputError: a module that the network does not have or that is scripted.
    """
    for path in (place.module, getattr(place, "beside", None)):
        if path is not None:
            stages_of.check_module(net, path, in_words(place))


def in_words(place: Stage | Edge) -> str:
    """What a place is, and its name."""
    return f"{type(place).__name__.lower()} {place.name!r}"


def _known(net: nn.Module) -> Iterator[Edge]:
    """Skip and up of every decoder stage; dec_i takes its skip from the i-th encoder from below."""
    try:
        known = stages_of.known_of(net)
    except InputError:
        raise stages_of.not_in_table(net, NAMING) from None
    stages = stages_of.resolve(net)
    encoders = [s for s in stages if s.name.startswith("enc")]
    decoders = [s for s in stages if s.name.startswith("dec")]
    if known.last_joins:
        decoders.append(stages[-1])
    names = [stage.name for stage in encoders]
    # The last decoder stages may have none: FlexibleUNet's last one, say.
    sources = names[-2::-1] if known.sources is None else known.sources
    below = encoders[-1]
    for i, stage in enumerate(decoders):
        junction = known.junctions[min(i, len(known.junctions) - 1)] if known.junctions else None
        if junction is not None:
            source = sources[i] if i < len(sources) else ""
            if isinstance(source, int):  # so many stages above the bottleneck
                source = names[-1 - source] if source < len(names) else ""
            edges = _joined(junction, stage, below, i, source if source in names else "")
            for edge in edges:
                layout = stages_of.layout_of(net, known, edge.module)
                yield _checked(net, replace(edge, layout=layout))
        below = stage
    for entry in known.entering:
        for path in stages_of.matching(net, entry.module):
            yield _checked(
                net, Edge(entry.name, entry.stage, path, entry.argument, source=entry.source)
            )


def _joined(junction: Junction, stage: Stage, below: Stage, i: int, source: str) -> Iterator[Edge]:
    """Skip, where it has a source, and up of a decoder stage."""
    parent, _, last = stage.module.rpartition(".")
    above, dot, _ = parent.rpartition(".")
    words = {
        "stage": stage.module,
        "parent": parent,
        "last": last,
        "root": above + dot,
        "below": below.module,
        "count": i,
    }
    up, skip = junction.up.format(**words), junction.skip.format(**words)
    if source:
        beside = (junction.beside or junction.up).format(**words) if junction.joined else None
        yield Edge(
            f"skip_{i + 1}", stage.name, skip, junction.argument, junction.joined, beside, source
        )
    yield Edge(f"up_{i + 1}", stage.name, up, junction.up_argument, source=below.name)


def argument_of(edge: Edge, args: tuple, kwargs: dict) -> Tensor:
    """The argument that the edge is, or is a part of, in a call of its module.

    Raises:
        InputError: a call without it, or with something else than a tensor there.
    """
    arguments: Any = kwargs if isinstance(edge.argument, str) else args
    try:
        return tensor_of(arguments[edge.argument], edge)
    except (IndexError, KeyError):
        raise InputError(
            f"edge {edge.name!r}: {edge.module} is called without argument "
            f"{edge.argument!r}; positional ones count from 0, keywords go by their names"
        ) from None


def tensor_of(value: Any, place: Stage | Edge) -> Tensor:
    """What a place holds.

    Raises:
        InputError: something else than a tensor.
    """
    if not isinstance(value, Tensor):
        raise InputError(
            f"{place.name!r} ({place.module}) holds a {type(value).__name__}; it must be a tensor"
        )
    return value
