"""Autograd's graph behind a tensor: what it holds, and what no gradient can be taken through."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from segtrace.errors import InputError

REENTRANT = (
    "runs under re-entrant activation checkpointing (torch.utils.checkpoint with "
    "use_reentrant=True), which lets no gradient of an activation be taken; say use_reentrant=False"
)


DETACHED = (
    "no gradient leads from the logits into the network: its forward (or output=…) detaches them "
    "(detach, .data, no_grad, numpy) or leaves the image out; return them with their graph"
)


CUT = (
    "changes with the image, but no gradient leads to it: what the network computes there, or "
    "before, is cut off from its graph (detach, .data, no_grad, numpy); take that out"
)


INFERENCE = (
    "a part of the network runs in inference mode, which no gradient passes; take "
    "torch.inference_mode() off its forward (torch.no_grad() outside the network does the same)"
)
_OVERWRITTEN = "modified by an inplace operation"


def gradients_of(
    scored: Tensor, tensors: Sequence[Tensor], weights: Tensor | None = None
) -> tuple[Tensor | None, ...]:
    """∂(Σ weights · scored) / ∂ each tensor, with the graph left for another time.

    Args:
        scored: of a pass with gradients on; a single number where there are no weights.
        tensors: on which it may depend.
        weights: of its shape.

    Raises:
        InputError: a network that has overwritten what the gradient is made of.
    """
    with _overwriting_told():
        return torch.autograd.grad(
            scored, list(tensors), weights, retain_graph=True, allow_unused=True
        )


def hear_gradients(
    scored: Tensor,
    tensors: Mapping[str, Tensor],
    weights: Tensor,
    hear: Callable[[str, Tensor], None],
) -> None:
    """The same, each gradient told as soon as it is known, so that they need not be held at once.

    Nothing is told of a tensor on which nothing depends. What is told must not be written to.

    Args:
        scored: of a pass with gradients on.
        tensors: name -> on what it may depend.
        weights: of its shape.
        hear: takes name and gradient.

    Raises:
        InputError: see :func:`gradients_of`.
    """
    handles = [one.register_hook(partial(hear, name)) for name, one in tensors.items()]
    try:
        with _overwriting_told():
            torch.autograd.grad(
                scored, _shallowest(tensors), weights, retain_graph=True, allow_unused=True
            )
    finally:
        for handle in handles:
            handle.remove()


def _shallowest(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Those behind which no other lies: a pass to them meets them all."""
    nodes = {name: get_gradient_edge(one).node for name, one in tensors.items()}
    return [one for name, one in tensors.items() if not _leads_to({*nodes.values()}, nodes[name])]


@contextmanager
def _overwriting_told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if _OVERWRITTEN not in str(error):
            raise
        raise InputError(
            "the network overwrites in place what its gradient is made of "
            f"({str(error).strip().split(chr(10))[0].split(' Hint')[0]}); let it write elsewhere: "
            "a = a + b for a += b or a.add_(b), and inplace=False"
        ) from error


def walk(start: Any, stop: Callable[[Any], bool] = lambda _node: False) -> Iterator[Any]:
    """The nodes of the graph from one on; not those behind nodes at which to stop."""
    seen, queue = set(), [start]
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        if not stop(node):
            queue.extend(following for following, _ in node.next_functions)


class Way(IntEnum):
    """How a tensor was made from another one, the nearest way first."""

    ITSELF = 0
    BARE = 1  # without weights: pooled, cropped, padded, squashed
    BESIDE = 2  # with weights on some of several ways: gated, or added to what is made with them
    WEIGHTED = 3  # with weights on every way


def way_from(source: Any, start: Any, but: Any = None) -> Way:
    """How the tensor of one node was made from that of another, on which it depends.

    A weight is a leaf of the graph that enters on its own; frozen ones are in no graph.

    Args:
        source: the node that the walk ends at.
        start: the node that it begins at.
        but: a node behind which nothing counts.
    """
    bare: dict[Any, bool] = {None: True}  # no weight lies behind it, up to the source
    ways: dict[Any, Way | None] = {None: None}  # None: does not depend on the source
    for node in _children_first(start, (source, but)):
        if node in (source, but):
            bare[node], ways[node] = True, Way.BARE if node is source else None
            continue
        inner = [following for following, _ in node.next_functions]
        bare[node] = not hasattr(node, "variable") and all(bare[one] for one in inner)
        found = [way for one in inner if (way := ways[one]) is not None]
        if any(ways[one] is None and not bare[one] for one in inner):
            ways[node] = Way.WEIGHTED if found else None
        elif not found:
            ways[node] = None
        else:
            ways[node] = max(min(found), Way.BARE if bare[node] else Way.BESIDE)
    return ways[start] or Way.ITSELF


def _children_first(start: Any, stops: Collection[Any]) -> Iterator[Any]:
    """The nodes of the graph from one on, each behind those that it was made from."""
    seen, waiting = {None}, [(start, False)]
    while waiting:
        node, expanded = waiting.pop()
        if expanded:
            yield node
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            if node not in stops:
                waiting.extend((following, False) for following, _ in node.next_functions)


def is_reentrant(node: Any) -> bool:
    """Whether a node stands for a part of the network that runs again in the backward pass."""
    return "CheckpointFunction" in node.name()


def check(
    logits: Tensor,
    acts: Mapping[str, Tensor],
    moves: Callable[[str], bool] = lambda _place: False,
) -> None:
    """Refuse logits and activations between which no gradient can be taken.

    Args:
        logits: of a pass with gradients on.
        acts: place, in words -> what passed there.
        moves: whether what passes a place changes with the image; asked where no gradient does.

    Raises:
        InputError: logits without a graph; a place that does not depend on the image, or does so
            without a gradient; re-entrant checkpointing in between.
    """
    if logits.is_inference() or any(activation.is_inference() for activation in acts.values()):
        raise InputError(INFERENCE)
    for place, activation in acts.items():
        if not activation.requires_grad:
            inside = any(is_reentrant(node) for node in walk(logits.grad_fn))
            if inside:
                raise InputError(f"{place} {REENTRANT}")
            raise InputError(f"{place} {CUT if moves(place) else 'does not depend on the image'}")
    if not logits.requires_grad:
        raise InputError(DETACHED)
    nodes = {get_gradient_edge(activation).node for activation in acts.values()}
    for node in walk(logits.grad_fn):
        if is_reentrant(node) and _leads_to(nodes, node):
            raise InputError(f"a part of the network {REENTRANT}")


def check_all(logits: Tensor, unreached: Collection[str]) -> None:
    """Refuse places that no gradient reaches because they are checkpointed.

    Raises:
        InputError: there are such places, and re-entrant checkpointing, which hides them.
    """
    if unreached and any(is_reentrant(node) for node in walk(logits.grad_fn)):
        raise InputError(f"{min(unreached)!r} {REENTRANT}")


def _leads_to(nodes: Collection[Any], start: Any) -> bool:
    """Whether one of the nodes lies behind another, so that a gradient must pass it."""
    return any(node in nodes and node is not start for node in walk(start))
