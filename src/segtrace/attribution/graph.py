"""Autograd's graph behind a tensor: what it holds, and what no gradient can be taken through."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

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


def is_reentrant(node: Any) -> bool:
    """Whether a node stands for a part of the network that runs again in the backward pass."""
    return "CheckpointFunction" in node.name()


def check(logits: Tensor, acts: Mapping[str, Tensor]) -> None:
    """Refuse logits and activations between which no gradient can be taken.

    Args:
        logits: of a pass with gradients on.
        acts: place, in words -> what passed there.

    Raises:
        InputError: logits without a graph, a place that does not depend on the image, re-entrant
            checkpointing in between.
    """
    for place, activation in acts.items():
        if not activation.requires_grad:
            inside = any(is_reentrant(node) for node in walk(logits.grad_fn))
            raise InputError(f"{place} {REENTRANT if inside else 'does not depend on the image'}")
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
