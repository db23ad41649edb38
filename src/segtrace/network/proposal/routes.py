"""Edges of a network that nobody has described: what enters its decoder stages.

A join is looked for in the graph: a call that takes a tensor made of the encoder alone beside one
from below, a concatenation or a sum of two such. What is found counts if nothing else of the image
enters the stage once both are cut.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import Tensor, nn

from segtrace.errors import InputError
from segtrace.network.altering import altering
from segtrace.network.edges import Edge
from segtrace.network.graph import gradients_of, walk
from segtrace.network.hooks import record
from segtrace.network.joints import settled
from segtrace.network.logits import sent
from segtrace.network.proposal.calls import Call, Pass
from segtrace.network.proposal.levels import Levels, nodes_of
from segtrace.network.stages import Stage

MOST = 8
"""Joins that are tried for one stage."""
JOINS = {"CatBackward0": "cat", "AddBackward0": "add"}
"""Nodes of the graph that join tensors."""


@dataclass(frozen=True)
class _Finder:
    """Looks for what enters one decoder stage."""

    seen: Pass
    levels: Levels
    number: int  # of the stage, from 1; one more than there are for the head

    @property
    def stage(self) -> str:
        """The last decoder block may be the head."""
        return f"dec{self.number}" if self.number <= len(self.levels.decoder) else "head"

    @property
    def below(self) -> str:
        return f"dec{self.number - 1}" if self.number > 1 else f"enc{len(self.levels.encoder)}"

    def candidates(self) -> Iterator[tuple[Edge, ...]]:
        """Edges that may be all that enters, the likeliest first."""
        named = self.levels.named
        begin, end = named[self.below].end, named[self.stage].end
        for call in self.seen.calls:
            if begin <= call.start < end and call.once and call.path:
                yield from self._beside(call)
                for at, passed in call.arguments.items():
                    yield from self._joined(call, at, passed.node)

    def _beside(self, call: Call) -> Iterator[tuple[Edge, ...]]:
        """Of a call that takes skip and up as arguments of their own."""
        nodes = {at: passed.node for at, passed in call.arguments.items()}
        skips = [at for at, node in nodes.items() if self._is_skip(node)]
        ups = [at for at, node in nodes.items() if self._is_up(node)]
        if skips and len(ups) == 1:
            found = [
                self._edge(f"skip_{self.number}", call, at, self._source(nodes[at]), order=i)
                for i, at in enumerate(skips, 1)
            ]
            module = self._module_of(nodes[ups[0]], within=call)
            up = self._edge(f"up_{self.number}", call, ups[0], self.below)
            yield *found, up if module is None else self._output(up.name, module, self.below)

    def _joined(self, call: Call, at: int | str, node: Any) -> Iterator[tuple[Edge, ...]]:
        """Of an argument that holds both."""
        joined = None if node is None else JOINS.get(node.name())
        if joined is None:
            return
        parts = [one for one, _ in node.next_functions]
        skips = [one for one in parts if self._is_skip(one)]
        ups = [one for one in parts if self._is_up(one)]
        if not skips or len(ups) != 1:
            return
        up_module = self._module_of(ups[0], within=call)
        found = []
        for i, one in enumerate(skips, 1):
            lateral, source = self._module_of(one, lateral=True), self._source(one)
            name = _numbered(f"skip_{self.number}", i)
            if lateral is not None:
                found.append(self._output(name, lateral, source))
            elif up_module is not None or (joined == "cat" and source):
                found.append(Edge(name, self.stage, call.path, at, joined, up_module, source))
        name = f"up_{self.number}"
        if up_module is not None:
            found.append(self._output(name, up_module, self.below))
        else:
            beside = self._put_out_by(skips[0])
            if beside is not None and len(skips) == 1:
                found.append(Edge(name, self.stage, call.path, at, joined, beside, self.below))
        yield tuple(found)

    def _edge(self, name: str, call: Call, at: int | str, source: str, order: int = 1) -> Edge:
        return Edge(_numbered(name, order), self.stage, call.path, at, source=source)

    def _output(self, name: str, module: str, source: str) -> Edge:
        return Edge(name, self.stage, module, source=source)

    def _origins(self, node: Any) -> set[str]:
        """The nearest stages from which it was made, and ``image``."""
        stages = nodes_of(self.levels.named)
        found = set()
        for one in walk(node, stop=lambda one: one in stages):
            if one in stages:
                found.add(stages[one])
            elif getattr(one, "variable", None) is self.seen.leaf:
                found.add("image")
        return found

    def _is_skip(self, node: Any) -> bool:
        """Whether it was made of encoder stages above the bottleneck, or of the image, alone."""
        above = {f"enc{i}" for i in range(1, len(self.levels.encoder))}
        origins = self._origins(node)
        return bool(origins) and origins <= {*above, "image"}

    def _is_up(self, node: Any) -> bool:
        return self.below in self._origins(node)

    def _source(self, node: Any) -> str:
        """The encoder stage that it was made of; the deepest of several, none of the image."""
        return max(self._origins(node) - {"image"}, key=lambda name: int(name[3:]), default="")

    def _module_of(
        self, node: Any, within: Call | None = None, lateral: bool = False
    ) -> str | None:
        """The module whose very output it is, if that can be cut without cutting more.

        Args:
            node: of the tensor.
            within: the call that takes it, for what comes from below: of a module that ran since.
            lateral: for what comes from the encoder: a module that leads nowhere else.
        """
        named = self.levels.named
        if node in nodes_of(named):
            return None
        begin = named[self.below].end if within is not None else 0
        bottleneck = named[f"enc{len(self.levels.encoder)}"].output
        if lateral and bottleneck and any(one is node for one in walk(bottleneck.node)):
            return None
        return self._put_out_by(node, begin)

    def _put_out_by(self, node: Any, begin: int = 0) -> str | None:
        """The outermost module that runs once, begins no earlier, and puts out this tensor."""
        return next(
            (
                call.path
                for call in self.seen.calls[1:]
                if call.once and call.start >= begin and call.output and call.output.node is node
            ),
            None,
        )


def _numbered(name: str, order: int) -> str:
    return name if order == 1 else f"{name}_{order}"


def routes(
    net: nn.Module, seen: Pass, levels: Levels, stages: Sequence[Stage]
) -> tuple[tuple[Edge, ...], list[str]]:
    """The edges into each decoder stage, and a sentence for each where they cannot be told.

    Args:
        net: the network, undisturbed.
        seen: what a pass showed.
        levels: its stages.
        stages: the same, by their names.
    """
    found: list[Edge] = []
    notes = []
    for number in range(1, len(levels.decoder) + 2):
        finder = _Finder(seen, levels, number)
        joins = [edges for edges in islice(finder.candidates(), MOST) if edges]
        whole = (edges for edges in joins if _are_all(net, edges, stages, finder.stage, seen.leaf))
        if edges := next(whole, None):
            found += edges
        elif finder.stage == "head":
            continue
        elif joins:
            notes.append(
                f"{finder.stage}: what enters it from the encoder and from {finder.below} cannot "
                "be told apart, so no edge is proposed; name them by hand where you know them"
            )
        else:
            notes.append(
                f"{finder.stage}: no join of the encoder with what {finder.below} puts out"
            )
    return tuple(found), notes


def _are_all(
    net: nn.Module, edges: Sequence[Edge], stages: Sequence[Stage], stage: str, leaf: Tensor
) -> bool:
    """Whether nothing of the image enters a stage once these edges are cut."""
    (place,) = [one for one in stages if one.name == stage]
    try:
        whole = settled(net, edges, leaf, stages)
        with altering(net, dict.fromkeys(whole, Tensor.detach)), record(net, [place]) as passed:
            sent(net, leaf)
    except InputError:
        return False
    (left,) = gradients_of(passed.passed[stage].sum(), [leaf])
    return left is None or not left.any()
