"""What is proposed for a network that is in no table: stages and edges, to be seen and pasted."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from segtrace.errors import InputError
from segtrace.network.edges import Edge
from segtrace.network.guards import PROPOSED
from segtrace.network.logits import Output
from segtrace.network.proposal.calls import Pass
from segtrace.network.proposal.levels import Levels
from segtrace.network.proposal.routes import routes
from segtrace.network.stages import Stage, not_in_table, scripted
from segtrace.network.undisturbed import undisturbed

FEWEST = 2
"""Resolutions that a network must have for stages to be told apart."""
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
"""Text that YAML and Hydra read as text without quotes, but for a few words."""
WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"}
"""Those that either reads as something else, in whatever case."""


@dataclass(frozen=True)
class Proposal:
    """A guess: look at it before it is believed.

    Attributes:
        network: name of the class.
        stages: ``enc1`` … the bottleneck, ``dec1`` …, ``head``.
        edges: ``skip_i`` and ``up_i`` of the decoder stages at which they can be told.
        cells: of each stage, by its name.
        notes: what could not be found, in sentences.
    """

    network: str
    stages: tuple[Stage, ...]
    edges: tuple[Edge, ...]
    cells: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """What is proposed, on one line."""
        stages = ", ".join(
            f"{stage.name} {stage.module} ({'x'.join(map(str, self.cells[stage.name]))})"
            for stage in self.stages
        )
        edges = ", ".join(edge.name for edge in self.edges) or "no edges"
        return (
            f"the places of {self.network} are a proposal: {stages}; {edges}; to see and change "
            "them: print(segtrace.describe(net, image))"
        )

    def __str__(self) -> str:
        stages, edges = dict(_places(self.stages)), dict(_places(self.edges))
        lines = ["Proposed: are these cells, strides and edges what you expect?"]
        lines += [f"Not found: {note}." for note in self.notes]
        lines += ["For explain.py, stages.yaml:", *_yaml(stages)]
        lines += ["and edges.yaml:", *_yaml(edges)] if edges else []
        options = (f"model.stages={_flow(stages)}", f"model.edges={_flow(edges)}")
        train = " ".join(map(shlex.quote, options))
        lines += [f"For train.py: {train}"]
        lines += ["In Python:", f"stages = {stages!r}", f"edges = {edges!r}"]
        return "\n".join(lines)


def _places(places: tuple[Stage, ...] | tuple[Edge, ...]) -> Iterator[tuple[str, Any]]:
    """Name -> what a user types for it."""
    for place in places:
        told = {
            key: value
            for key, value in asdict(place).items()
            if key not in ("name", "part") and value not in (None, "", "nchw")
        }
        yield place.name, told["module"] if set(told) == {"module"} else told


def _yaml(places: Mapping[str, Any]) -> list[str]:
    return [f"  {name}: {_flow(place)}" for name, place in places.items()]


def _flow(value: Any) -> str:
    """A plain value as YAML and Hydra both read it, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    text = str(value)
    bare = not isinstance(value, str) or (PLAIN.fullmatch(text) and text.lower() not in WORDS)
    return text if bare else json.dumps(text, ensure_ascii=False)


def propose(net: nn.Module, x: Tensor, output: Output | None = None) -> Proposal:
    """Stages and edges of a network, from one pass of its first slice.

    Stages are the last modules of each resolution before it changes: of the encoder as long as it
    falls, of the decoder as it rises again; the head puts out the logits.

    Args:
        net: the network itself, not a wrapper; it is left as it was.
        x: (N, C, *image), as the network takes it.
        output: picks the logits from what the network returns.

    Raises:
        InputError: a network whose resolution does not change; see
            :func:`segtrace.network.logits.logits_of`.
    """
    with undisturbed(net, x.device):
        seen = Pass.of(net, x, output)
        levels = Levels.of(seen)
        if levels is None or len(levels.encoder) + len(levels.decoder) < FEWEST:
            raise not_in_table(net, found="its modules put out no grids of several resolutions")
        named = levels.named
        stages = tuple(
            Stage(name, call.path, call.output.layout)
            for name, call in named.items()
            if call.output is not None
        )
        edges, notes = routes(net, seen, levels, stages)
    if not levels.decoder:
        notes.append("no decoder: resolution does not rise again in a module before the head")
    notes += _unheard(net)
    if not levels.is_exact:
        notes.append(
            f"no module puts out the logits themselves; head is {levels.head.path}, from which "
            "they are made"
        )
    cells = {name: call.output.cells or () for name, call in named.items() if call.output}
    return Proposal(type(net).__name__, stages, edges, cells, tuple(notes))


def _unheard(net: nn.Module) -> list[str]:
    """A sentence for each part of the network in which nothing can be looked at."""
    modules = dict(net.named_modules(remove_duplicate=False))
    deaf = dict.fromkeys(above for path in modules if path and (above := scripted(modules, path)))
    return [f"{path}, which torch.jit has scripted: no hook reaches into it" for path in deaf]


def proposed(
    net: nn.Module, x: Tensor, stages: Any, edges: Any, output: Output | None
) -> tuple[Any, Any, Proposal | None]:
    """Stages and edges, where a proposal is asked for those; else as they are.

    Args:
        net: the network itself.
        x: (N, C, *image).
        stages: as :func:`segtrace.trace` takes them, or ``"proposed"``.
        edges: the same.
        output: picks the logits from what the network returns.

    Raises:
        InputError: proposed edges beside stages of the user's own; see :func:`propose`.
    """
    if stages != PROPOSED:
        if edges == PROPOSED:
            raise InputError(
                "edges='proposed' lie between proposed stages; say stages='proposed' too, or name "
                "the edges"
            )
        return stages, edges, None
    found = propose(net, x, output)
    return (
        {stage.name: stage for stage in found.stages},
        {edge.name: edge for edge in found.edges} if edges == PROPOSED else edges,
        found,
    )
