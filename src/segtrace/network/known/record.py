"""What is known of a network: plain data, one record a class.

The networks come in every depth, so a place is a pattern over the paths that ``named_modules``
says, which may end in ``:`` and the name of the class that stands there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Junction:
    """Where skip and up enter a decoder stage, in terms of that stage's path.

    ``{stage}`` stands for the stage's path, ``{parent}`` and ``{last}`` for its two halves, what
    stands before the parent is ``{root}`` with its dot, ``{below}`` is the path of the stage below,
    and ``{count}`` how many decoder stages lie below.

    Attributes:
        up: the module whose output is the up path, just before the two are joined; or, with
            ``up_argument``, whose input it is.
        skip: the module whose output is the skip, or, with ``argument``, whose input it is.
        argument: which argument of ``skip`` is the skip: its place, or its keyword.
        joined: ``cat`` or ``add`` where that argument is the skip and the up path in one.
        up_argument: which argument of ``up`` is the up path.
        beside: where ``joined``, the module whose output stands beside the skip; not given, ``up``.
    """

    up: str
    skip: str = "{stage}"
    argument: int | str | None = None
    joined: str | None = None
    up_argument: int | str | None = None
    beside: str | None = None


@dataclass(frozen=True)
class Entering:
    """An edge by itself, of a decoder stage that several encoder stages enter.

    Attributes:
        name: as :class:`segtrace.network.edges.Edge` has it; also what follows.
        stage: the stage that it enters.
        module: pattern of the module's path.
        argument: which of its arguments the edge is.
        source: the encoder stage that it comes from.
    """

    name: str
    stage: str
    module: str
    argument: int | str
    source: str


@dataclass(frozen=True)
class Known:
    """A network of the table.

    Attributes:
        name: what people call it.
        classes: module and name of its class. The name alone would not do: half the field has
            written a ``UNet``.
        stages: (kind, pattern) in the order of the stages. Encoder stages are counted downwards,
            decoder stages from the bottleneck up.
        junctions: how its decoder stages in turn are joined to skip and up path, the last one for
            all that follow; none for no edges, ``None`` for a stage without.
        sources: of each decoder stage in turn the encoder stage that its skip comes from, by name
            or by how many it lies above the bottleneck; empty where it has none; not given, the
            i-th takes it from the i-th above the bottleneck.
        entering: edges of which there are several into one stage, beside those of the junctions.
        edgeless: why it has no edges.
        output: where the logits are in what it returns, if that is no tensor: an index, a key or
            a field.
        resized: its logits are coarser than the image, and meant to be resized to it bilinearly.
        layouts: pattern of a place's path -> layout where it is not ``nchw``; braces name an
            attribute of the network.
        depth: attribute of the network that says how many of its encoder stages run; not given, or
            where the network has none, all do.
        last_joins: the last decoder block puts out the logits: it is the head, and has edges.
    """

    name: str
    classes: Sequence[str]
    stages: Sequence[tuple[str, str]]
    junctions: Sequence[Junction | None] = ()
    sources: Sequence[str | int] | None = None
    entering: Sequence[Entering] = ()
    edgeless: str = ""
    output: str | None = None
    resized: bool = False
    layouts: Mapping[str, str] = field(default_factory=dict)
    depth: str = ""
    last_joins: bool = False
