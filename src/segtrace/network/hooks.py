"""Hooks: record what passes the sites of a network, or put something else in its place."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, autograd, cat, nn
from torch.utils.hooks import RemovableHandle

from segtrace.errors import InputError
from segtrace.network.edges import Edge, Span, argument_of, check, in_words, tensor_of
from segtrace.network.graph import INFERENCE
from segtrace.network.joints import spans_beside
from segtrace.network.logits import Output, logits_at
from segtrace.network.sites import Site
from segtrace.network.stages import Stage, runs_twice, why_idle

Alteration = Callable[[Tensor], Tensor]
"""The tensor that passes a site, as the network lays it out -> what passes on."""
Edit = Callable[[Tensor], Tensor]
"""The activation of a site, (N, K, *cells) whatever the layout -> another one of that shape."""
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""Axes of a tensor -> the layout with channels innermost."""


@dataclass(frozen=True)
class Record:
    """What passed the sites, by name, as the network lays it out, and its versions by then.

    A gradient taken at an edge's tensor is that of the edge alone.
    """

    passed: dict[str, Tensor]
    versions: dict[str, int]

    def overwritten(self) -> frozenset[str]:
        """The sites whose tensor was changed in place after it was recorded."""
        return frozenset(
            name for name, tensor in self.passed.items() if tensor._version != self.versions[name]
        )

    def _keep(self, site: Site, tensor: Tensor) -> None:
        if site.name in self.passed:
            raise runs_twice(in_words(site), site.module)
        self.passed[site.name] = tensor
        self.versions[site.name] = tensor._version


@contextmanager
def record(
    net: nn.Module, sites: Sequence[Site], cloned: frozenset[str] = frozenset()
) -> Iterator[Record]:
    """Record what passes the sites, by name, during the block; no result changes by a bit.

    Args:
        net: the network.
        sites: the places; edges as :func:`segtrace.network.joints.settled` returns them.
        cloned: sites behind which a copy is passed on, because the network overwrites in place
            what passes there, and the record would change with it.

    Raises:
        InputError: (in the forward pass) a site that is passed more than once or that holds no
            single tensor; both parts of one sum.
    """
    found = Record({}, {})
    _refuse_both_of_a_sum(sites)
    with ExitStack() as stack:
        # Stages first: at a module that is both, the stage is what the module itself put out.
        for site in sorted(sites, key=lambda site: isinstance(site, Edge)):
            copy = site.name in cloned
            if isinstance(site, Stage):
                hook = _recorder(site, found, copy)
                stack.callback(net.get_submodule(site.module).register_forward_hook(hook).remove)
            else:
                for handle in _hooks(net, site, _keeping(site, found, copy), standing=True):
                    stack.callback(handle.remove)
        yield found


def _recorder(stage: Stage, found: Record, copy: bool) -> Callable[..., Tensor | None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
        if not isinstance(output, Tensor):
            raise InputError(
                f"stage {stage.name!r} ({stage.module}) returns a {type(output).__name__}; "
                "name a module inside it that returns one tensor"
            )
        found._keep(stage, output)
        return output.clone() if copy else None

    return hook


def _keeping(edge: Edge, found: Record, copy: bool) -> Alteration:
    def keep(tensor: Tensor) -> Tensor:
        if tensor.is_inference():  # its copy would not say so
            raise InputError(INFERENCE)
        own = tensor.clone()  # other places may take in the same tensor, and have another gradient
        found._keep(edge, own)
        return own.clone() if copy else own

    return keep


class _Standing(autograd.Function):
    """A sum as it is, to the bit, whose gradient goes to one of its parts."""

    @staticmethod
    def forward(_ctx: Any, _part: Tensor, whole: Tensor) -> Tensor:
        return whole.clone()

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


@contextmanager
def altering(net: nn.Module, alterations: Mapping[Site, Alteration]) -> Iterator[None]:
    """Change what passes through places of the network during the block.

    Args:
        net: the network.
        alterations: place -> function of the tensor there; one that returns the very tensor it
            was given only looks at it.

    Raises:
        InputError: both parts of one sum, of which neither can be told while the other changes;
            a place in another network; (in the forward pass) one that is passed more than once.
    """
    for place in alterations:
        check(net, place)
    _refuse_both_of_a_sum(alterations)
    once = _Once()
    with ExitStack() as stack:
        stack.callback(net.register_forward_pre_hook(once.start).remove)
        stack.callback(net.register_forward_hook(once.end).remove)
        # An edge that is joined with another one must see what became of the other.
        for place in sorted(alterations, key=_is_joined):
            for handle in _hooks(net, place, once.held(place, alterations[place])):
                stack.callback(handle.remove)
        yield


class _Once:
    """Refuses a place that is passed more than once in a forward pass of the network.

    What checkpointing runs again in the backward pass is no part of one.
    """

    def __init__(self) -> None:
        self._runs = False
        self._passed: set[Site] = set()

    def start(self, *_: Any) -> None:
        """The network starts."""
        self._runs, self._passed = True, set()

    def end(self, *_: Any) -> None:
        """It has returned."""
        self._runs = False

    def held(self, place: Site, alteration: Alteration) -> Alteration:
        """The alteration, of the first tensor that passes the place alone."""

        def alter(tensor: Tensor) -> Tensor:
            if self._runs and place in self._passed:
                raise runs_twice(in_words(place), place.module)
            self._passed.add(place)
            return alteration(tensor)

        return alter


def _refuse_both_of_a_sum(places: Iterable[Site]) -> None:
    sums: dict[tuple[str, Any], Edge] = {}
    for edge in places:
        if isinstance(edge, Edge) and edge.joined == "add":
            other = sums.setdefault((edge.module, edge.argument), edge)
            if other is not edge:
                raise InputError(
                    f"edges {other.name!r} and {edge.name!r} are parts of one sum; name one of "
                    f"them by the module whose output it is: module: {other.beside}, without "
                    "argument, joined and beside"
                )


def _is_joined(place: Site) -> bool:
    return isinstance(place, Edge) and place.joined is not None


def _hooks(
    net: nn.Module, place: Site, alteration: Alteration, standing: bool = False
) -> Iterator[RemovableHandle]:
    module = net.get_submodule(place.module)
    if isinstance(place, Stage) or place.argument is None:
        yield module.register_forward_hook(
            lambda _module, _inputs, output: alteration(tensor_of(output, place))
        )
        return
    edge, other = place, _Latest()
    if edge.joined == "add" or (edge.joined == "cat" and edge.part is None):
        if edge.beside is None:
            raise InputError(
                f"edge {edge.name!r} is what {edge.source!r} puts out of its argument, and was not "
                "looked for yet: segtrace.network.joints.settled(net, edges, x)"
            )
        yield net.get_submodule(edge.beside).register_forward_hook(other)

    def on_input(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        arguments: Any = dict(kwargs) if isinstance(edge.argument, str) else list(args)
        argument = argument_of(edge, args, kwargs)
        arguments[edge.argument] = _altered(edge, argument, other, alteration, standing)
        return (args, arguments) if isinstance(arguments, dict) else (tuple(arguments), kwargs)

    yield module.register_forward_pre_hook(on_input, with_kwargs=True)


class _Latest:
    """A forward hook that keeps the latest output, which the network may then add to in place."""

    output: Tensor

    def __call__(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.output = output.clone()


def _altered(
    edge: Edge, argument: Tensor, other: _Latest, alteration: Alteration, standing: bool
) -> Tensor:
    """The argument with the edge's part of it altered; or standing, if that is the part itself."""
    if edge.joined is None:
        return alteration(argument)
    if edge.joined == "cat":
        span = edge.part or _half(edge, argument, other)
        return _altered_half(span, edge.axis, argument, alteration)
    if standing:
        part = alteration(argument - other.output.detach())
        whole: Tensor = _Standing.apply(part, argument)
        return whole
    before = argument - other.output
    after = alteration(before)
    # Taking a sum apart and together again would round.
    return argument if after is before else after + other.output


def _half(edge: Edge, argument: Tensor, other: _Latest) -> Span:
    """The edge's channels of a concatenation: those that are not the other edge's."""
    left = spans_beside(argument, other.output, edge.axis)
    if not left:
        raise edge.not_joined(argument)
    return left[0]


def _altered_half(part: Span, axis: int, argument: Tensor, alteration: Alteration) -> Tensor:
    bounds = (0, *part, argument.shape[axis])
    first, before, last = _Apart.apply(argument, [b - a for a, b in pairwise(bounds)], axis)
    after = alteration(before)
    if after is before:
        return argument
    whole = cat([piece for piece in (first, after, last) if piece.shape[axis]], axis)
    return whole.contiguous(memory_format=_layout_of(argument))


class _Apart(autograd.Function):
    """Pieces of a tensor along an axis, whose gradients come together in its layout."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, sizes: list[int], axis: int) -> tuple[Tensor, ...]:
        ctx.axis, ctx.layout = axis, _layout_of(whole)
        return tuple(piece.clone() for piece in whole.split(sizes, axis))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return cat(gradients, ctx.axis).contiguous(memory_format=ctx.layout), None, None


def _layout_of(tensor: Tensor) -> torch.memory_format:
    """By which kernels round."""
    layout = CHANNELS_LAST.get(tensor.ndim)
    if layout is not None and tensor.is_contiguous(memory_format=layout):
        return layout
    return torch.contiguous_format


@contextmanager
def edit(net: nn.Module, edits: Mapping[Site, Edit]) -> Iterator[None]:
    """Edit the activations of sites in every forward pass of the block.

    The hooks are gone afterwards, also after an exception. An edit that returns the very tensor it
    was given changes nothing, to the last bit.

    Args:
        net: the network itself, not a wrapper.
        edits: site -> edit.

    Raises:
        InputError: (in the forward pass) an edit that returns another shape, or a site that holds
            no tensor.

    >>> net = nn.Sequential(nn.Identity(), nn.Identity())
    >>> with edit(net, {Stage("first", "0"): lambda activation: 2 * activation}):
    ...     net(torch.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """
    with altering(net, {site: _alteration(site, change) for site, change in edits.items()}):
        yield


def _alteration(site: Site, change: Edit) -> Alteration:
    """The edit on the tensor as the network lays it out."""

    def alter(tensor: Tensor) -> Tensor:
        before = site.channels_first(tensor)
        after = change(before)
        if after is before:
            return tensor
        if after.shape != before.shape:
            raise InputError(
                f"the edit of {site.name!r} returns {tuple(after.shape)}; "
                f"the activation has {tuple(before.shape)}"
            )
        if before is tensor:
            return after
        whole = tensor.clone()  # a class token is no cell and stays as it is
        site.channels_first(whole).copy_(after)
        return whole

    return alter


@dataclass(frozen=True)
class Observed:
    """What one pass over slices showed.

    Attributes:
        activations: site name -> (N, K, *cells) or its own layout, detached copies.
        logits: (N, C, *image).
    """

    activations: Mapping[str, Tensor]
    logits: Tensor


def observe(
    net: nn.Module,
    sites: Sequence[Site],
    x: Tensor,
    output: Output | None = None,
    *,
    own_layout: bool = False,
) -> Observed:
    """Run the network as it is and copy what passes the sites.

    Args:
        net: the network itself, not a wrapper.
        sites: the sites.
        x: (N, C, *image).
        output: picks the logits from what the network returns.
        own_layout: copy it as the network lays it out, with what is no cell (a class token).

    Raises:
        InputError: a site that did not run.
    """
    found: dict[str, Tensor] = {}

    def copying(site: Site) -> Alteration:
        def look(tensor: Tensor) -> Tensor:
            activation = tensor if own_layout else site.channels_first(tensor)
            found[site.name] = activation.detach().clone()  # it may be overwritten in place
            return tensor

        return look

    with torch.no_grad(), altering(net, {site: copying(site) for site in sites}):
        logits = logits_at(net, x, output)
    for site in sites:
        if site.name not in found:
            raise InputError(f"site {site.name!r} ({site.module}) did not run{why_idle(net)}")
    return Observed(found, logits)
