"""What an edge carries, looked at once: its place in what enters a decoder stage, and its source.

An edge that enters a stage as an argument is named by a position, and positions differ: one
network joins ``cat((skip, up))``, another ``cat((up, skip))``. So a random image is sent through
the network once, and an edge is what it carries: the part of the argument that its source put out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from segtrace.errors import InputError
from segtrace.network import stages as stages_of
from segtrace.network.edges import Edge, Span, argument_of, check
from segtrace.network.graph import Way, gradients_of, walk, way_from
from segtrace.network.logits import sent
from segtrace.network.stages import Stage

ROUNDING = 1e-4
"""A sum taken apart again is right to this share of its size."""

AnySite = TypeVar("AnySite", bound=Stage | Edge)


def settled(
    net: nn.Module, sites: Sequence[AnySite], x: Tensor, stages: Sequence[Stage] = ()
) -> tuple[AnySite, ...]:
    """The sites, with the part of its argument that each edge is; one pass, where one is needed.

    Args:
        net: the network itself, undisturbed.
        sites: stages and edges; those looked at before are taken as they are.
        x: (N, C, *image), as the network takes it; read for its shape.
        stages: which modules the edges' sources are, beside the stages among the sites and those of
            the table. A source may also be the path of a module; any other is for people alone.

    Raises:
        InputError: an edge that carries something else than its source puts out, or of which the
            source's part cannot be found; a site of another network; an edge into a module that
            runs more than once.
    """
    for site in sites:
        check(net, site)
    unsettled = [s for s in sites if isinstance(s, Edge) and s.argument is not None and not s.part]
    if not unsettled:
        return tuple(sites)
    known = {stage.name: stage.module for stage in stages_of.known(net)}
    known |= {s.name: s.module for s in (*stages, *sites) if isinstance(s, Stage)}
    sources = {edge: known.get(edge.source, edge.source) for edge in unsettled}
    others = [(edge, path) for edge in unsettled for path in (sources[edge], edge.beside) if path]
    look = _Look.at(net, unsettled, known, others, x)
    parts = {edge: look.part(edge, sources[edge]) for edge in unsettled}
    return tuple(replace(s, part=parts[s]) if s in parts else s for s in sites)


@dataclass(frozen=True)
class _Look:
    """What one pass showed. Modules that can be reached by two paths are one: they go by object.

    Attributes:
        leaf: the image.
        modules: path -> module, of the modules looked at.
        named: those of them that are stages, and their names.
        gates: node in the graph behind which all lies that a module put out -> the module.
        arguments: edge -> what entered.
        others: edge -> number or name of the other tensors of that call -> what they are.
        outputs: edge -> module -> what the modules had put out by then.
    """

    leaf: Tensor
    modules: dict[str, nn.Module]
    named: dict[nn.Module, str]
    gates: dict[Any, nn.Module] = field(default_factory=dict)
    arguments: dict[Edge, Tensor] = field(default_factory=dict)
    others: dict[Edge, dict[int | str, Tensor]] = field(default_factory=dict)
    outputs: dict[Edge, dict[nn.Module, Tensor]] = field(default_factory=dict)

    @classmethod
    def at(
        cls,
        net: nn.Module,
        edges: Sequence[Edge],
        known: Mapping[str, str],
        others: Iterable[tuple[Edge, str]],
        x: Tensor,
    ) -> "_Look":
        noise = torch.rand(x[:1].shape, generator=torch.Generator().manual_seed(0))
        there = dict(net.named_modules(remove_duplicate=False))
        for edge, path in others:
            if path in there:
                stages_of.refuse_scripted(there, path, f"edge {edge.name!r}")
        paths = sorted({*known.values(), *(path for _, path in others)} - {""})
        heard = [p for p in paths if p in there and stages_of.scripted(there, p) is None]
        modules = {path: there[path] for path in heard}
        named = {modules[path]: name for name, path in known.items() if path in modules}
        look, passed = cls(noise.to(x).requires_grad_(), modules, named), dict[nn.Module, Tensor]()
        with torch.enable_grad(), _learning(net), ExitStack() as stack:
            for module in dict.fromkeys(modules.values()):
                stack.callback(module.register_forward_hook(look._gate(passed)).remove)
            for edge in edges:
                module, watch = net.get_submodule(edge.module), look._watch(edge, passed)
                handle = module.register_forward_pre_hook(watch, with_kwargs=True)
                stack.callback(handle.remove)
            sent(net, look.leaf)
        return look

    def _gate(self, passed: dict[nn.Module, Tensor]) -> Callable[..., Tensor | None]:
        def on_return(module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor):
                return None
            passed[module] = output.clone()  # a node of its own in the graph
            self.gates[passed[module].grad_fn] = module
            return passed[module].clone()  # which the network may add to in place

        return on_return

    def _watch(self, edge: Edge, passed: dict[nn.Module, Tensor]) -> Callable[..., None]:
        def on_start(_module: nn.Module, args: tuple, kwargs: dict) -> None:
            if edge in self.arguments:
                raise stages_of.runs_twice(f"edge {edge.name!r}", edge.module)
            self.arguments[edge] = argument_of(edge, args, kwargs)
            calls = {**dict(enumerate(args)), **kwargs}
            tensors = {at: one for at, one in calls.items() if isinstance(one, Tensor)}
            self.others[edge] = {at: one for at, one in tensors.items() if at != edge.argument}
            self.outputs[edge] = dict(passed)

        return on_start

    def part(self, edge: Edge, source: str) -> Span:
        """The channels of the argument that are the edge's.

        Raises:
            InputError: see :func:`settled`.
        """
        if edge not in self.arguments:
            raise InputError(f"edge {edge.name!r}: {edge.module} did not run")
        argument = self.arguments[edge]
        beside, put_out = self._put_out(edge, edge.beside), self._put_out(edge, source)
        if edge.joined == "cat":
            found = _in_concatenation(edge, argument, beside, put_out)
        else:
            found = (0, argument.shape[edge.axis])
        if edge.joined == "add" and not _is_sum(argument, beside):
            raise InputError(
                f"edge {edge.name!r}: argument {edge.argument!r} of {edge.module} is no sum with "
                f"what {edge.beside} puts out; name as beside what is added there, or say "
                "joined: cat where it is concatenated"
            )
        if put_out is not None and not _carries(edge, argument, found, beside, put_out):
            self._check_origin(edge, source)
            self._check_way(edge, source, beside, put_out)
        return found

    def _put_out(self, edge: Edge, path: str | None) -> Tensor | None:
        module = self.modules.get(path or "")
        return None if module is None else self.outputs[edge].get(module)

    def _check_origin(self, edge: Edge, source: str) -> None:
        """What is not equal to the source's output may still be made from it, and nothing else."""
        beside = self.modules.get(edge.beside or "") if edge.joined else None
        origins = set(self._origins(self.arguments[edge], self.modules[source], beside)) - {beside}
        if origins != {self.modules[source]}:
            names: dict[nn.Module | None, str] = {None: "the image"}
            names.update((module, path) for path, module in self.modules.items())
            names.update(self.named.items())
            raise InputError(
                f"edge {edge.name!r}: what enters {edge.module} as argument {edge.argument!r} is "
                f"not what its source {edge.source!r} puts out; it comes from "
                f"{', '.join(sorted(names[module] for module in origins)) or 'elsewhere'}: name "
                "that as source, or another argument"
            )

    def _check_way(self, edge: Edge, source: str, beside: Tensor | None, put_out: Tensor) -> None:
        """Made from the source alone is another path as well; the nearest is meant."""
        others = dict(self.others[edge]) if beside is None else {f"beside {edge.beside}": beside}
        joined = None if beside is None else beside.grad_fn
        ways = {
            at: Way.ITSELF if _same(one, put_out) else way_from(put_out.grad_fn, one.grad_fn)
            for at, one in others.items()
            if set(self._origins(one, self.modules[source])) == {self.modules[source]}
        }
        if not ways:
            return
        nearest = min(ways, key=lambda at: ways[at])
        mine = way_from(put_out.grad_fn, self.arguments[edge].grad_fn, joined)
        if ways[nearest] < mine or ways[nearest] is mine is Way.WEIGHTED:
            told = nearest if beside is not None else f"as argument={nearest!r}"
            raise InputError(
                f"edge {edge.name!r}: what enters {edge.module} as argument {edge.argument!r} is "
                f"made from what its source {edge.source!r} puts out, and what enters "
                f"{told} is as near to it or nearer: name that one, or as source the module whose "
                "output is meant"
            )

    def _origins(self, made: Tensor, *sources: nn.Module | None) -> Iterator[nn.Module | None]:
        """The nearest stages or sources from which it was made; ``None`` for the image."""
        stops = {*self.named, *sources}
        gates = {node: module for node, module in self.gates.items() if module in stops}
        for node in walk(made.grad_fn, stop=lambda node: node in gates):
            if node in gates:
                yield gates[node]
            elif getattr(node, "variable", None) is self.leaf:
                yield None


@contextmanager
def _learning(net: nn.Module) -> Iterator[None]:
    """Let the graph hold the weights in the block, also those that are frozen."""
    frozen = [p for p in net.parameters() if not p.requires_grad and p.is_floating_point()]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _is_sum(argument: Tensor, beside: Tensor | None) -> bool:
    """Whether an argument changes by just as much as what is said to be added in it."""
    if beside is None or beside.shape != argument.shape:
        return False
    weights = torch.rand_like(argument)
    (found,) = gradients_of(argument, [beside], weights)
    return found is not None and torch.equal(found, weights)


def _carries(
    edge: Edge, argument: Tensor, part: Span, beside: Tensor | None, put_out: Tensor
) -> bool:
    """Whether the part is the source's very output; in a sum, up to rounding."""
    if edge.joined != "add" or beside is None:
        start, stop = part
        return torch.equal(argument.narrow(edge.axis, start, stop - start), put_out)
    before, size = argument - beside, float(argument.detach().abs().max())
    return before.shape == put_out.shape and torch.allclose(
        before, put_out, rtol=0, atol=ROUNDING * size
    )


def _in_concatenation(
    edge: Edge, argument: Tensor, beside: Tensor | None, put_out: Tensor | None
) -> Span:
    """The channels that are the source's output, or all but what stands beside."""
    own = [] if put_out is None else spans_of(argument, put_out, edge.axis)
    left = [] if beside is None else spans_beside(argument, beside, edge.axis)
    # Where both halves hold the same numbers, either may be the edge's: the first is.
    found = sorted(set(own) & set(left)) or sorted(own) or sorted(left)
    if not found:
        raise edge.not_joined(argument)
    return found[0]


def spans_of(whole: Tensor, part: Tensor, axis: int = 1) -> list[Span]:
    """Every span of channels of ``whole`` (N, K, *cells) that holds the very numbers of ``part``.

    Args:
        whole: a concatenation.
        part: what may stand in it.
        axis: of the channels.

    >>> whole = torch.tensor([[1.0, 2, 3, 1, 2]])
    >>> spans_of(whole, whole[:, 3:])
    [(0, 2), (3, 5)]
    """
    if part.ndim != whole.ndim:
        return []
    whole, part = whole.movedim(axis, 1), part.movedim(axis, 1)
    if part.shape[2:] != whole.shape[2:]:
        return []
    count = part.shape[1]
    starts = range(whole.shape[1] - count + 1)
    spans = [(start, start + count) for start in starts]
    return [span for span in spans if torch.equal(whole[:, slice(*span)], part)]


def spans_beside(whole: Tensor, part: Tensor, axis: int = 1) -> list[Span]:
    """What is left of ``whole`` beside a part that stands at one of its ends.

    >>> whole = torch.tensor([[1.0, 2, 3]])
    >>> spans_beside(whole, whole[:, 2:])
    [(0, 2)]
    """
    channels, found = whole.shape[axis], spans_of(whole, part, axis)
    left = [(0, start) for start, stop in found if stop == channels and start > 0]
    return left + [(stop, channels) for start, stop in found if start == 0 and stop < channels]
