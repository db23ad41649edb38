"""Sites that every path from image to logits runs through."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import Output
from segtrace.errors import InputError
from segtrace.network.graph import DETACHED, check_all
from segtrace.network.hooks import Edit, edit
from segtrace.network.logits import logits_at
from segtrace.network.sites import Site


def cut_vertices(
    net: nn.Module, sites: Sequence[Site], x: Tensor, output: Output | None = None
) -> Tensor:
    """Which sites, taken away alone, part the logits from the image: (S,) bool.

    Their cut costs all there is by construction and ranks nothing. Read from autograd's graph of
    one forward pass, for this network as it is wired, without a table.

    Args:
        net: the network itself, in evaluation mode.
        sites: the sites.
        x: (n, C, *image); one slice will do.
        output: picks the logits from what the network returns.

    Raises:
        InputError: logits that do not depend on the image at all, or have no gradient; sites under
            re-entrant checkpointing.
    """
    gates: dict[str, Any] = {}
    copies: dict[str, Tensor] = {}

    def gate(name: str) -> Edit:
        def pass_on(activation: Tensor) -> Tensor:
            copies[name] = activation.clone()  # a node of its own in the graph
            gates[name] = copies[name].grad_fn
            return copies[name]

        return pass_on

    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad(), edit(net, {site: gate(site.name) for site in sites}):
        logits = logits_at(net, leaf, output)
    if not logits.requires_grad:
        raise InputError(DETACHED)
    # What a checkpointed part puts out has its node only when the part is left.
    gates = {name: node or copies[name].grad_fn for name, node in gates.items()}
    check_all(logits, {name for name, node in gates.items() if node is None})
    if not _reaches(logits.grad_fn, leaf, None):
        raise InputError("the logits do not depend on the image; there is nothing to cut")
    without = [_reaches(logits.grad_fn, leaf, gates.get(site.name)) for site in sites]
    return ~torch.tensor(without)


def _reaches(start: Any, leaf: Tensor, closed: Any) -> bool:
    """Whether a walk down the graph comes to the leaf without passing the closed node."""
    seen, waiting = {closed, None}, [start]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if getattr(node, "variable", None) is leaf:
            return True
        waiting += [below for below, _ in node.next_functions]
    return False
