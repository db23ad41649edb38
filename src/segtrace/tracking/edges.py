"""The edges of the network that is trained: found before any work, kept with its weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.errors import InputError
from segtrace.network.edges import Edge, EdgesLike, resolve
from segtrace.network.guards import PROPOSED
from segtrace.network.hooks import observe
from segtrace.network.joints import settled
from segtrace.network.logits import Output
from segtrace.network.proposal.proposal import proposed
from segtrace.network.sites import Site, sites_of
from segtrace.network.stages import StagesLike
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import say

NAMING = "model.edges={skip_1: {stage: dec1, module: path.of.a.module, argument: 1}}"
"""How a user names edges: the module whose output an edge is, or whose argument."""


def named_edges(
    net: nn.Module,
    stages: StagesLike,
    edges: EdgesLike,
    size: int | Sequence[int],
    channels: int = 1,
) -> dict[str, dict[str, Any]]:
    """The edges as plain values for a checkpoint; none, said so, for a network of no table.

    Args:
        net: the network.
        stages: its stages, whose names edges must not have.
        edges: what the user named; ``None`` for the table of known networks.
        size: rows and columns of a slice, or the shape of what the network takes: one is sent
            through to see that every edge carries a tensor.
        channels: of that.

    Raises:
        InputError: a named edge that cannot be found or carries no tensor.
    """
    try:
        found = {edge.name: edge for edge in resolve(net, edges)}
        shape = (size, size) if isinstance(size, int) else size
        places = _send_through(net, sites_of(net, stages, found), shape, channels)
    except InputError:
        if edges is not None:
            raise
        say(
            f"Edges of {type(net).__name__} are not in the table: stages alone can be cut, and no "
            f"route is found. To name them: '{NAMING}'"
        )
        return {}
    return {place.name: place.to_plain() for place in places if isinstance(place, Edge)}


def chosen_places(
    net: nn.Module, image: Tensor, stages: Any, edges: Any, output: Output | None = None
) -> tuple[Any, Any]:
    """Stages and edges of a run: as they are, or those of a proposal, if one is asked for; said.

    Args:
        net: the network.
        image: (N, C, *image), as it takes it.
        stages: as :func:`segtrace.trace` takes them, or ``"proposed"``: with its edges, where none
            are named.
        edges: as :func:`segtrace.network.edges.resolve` takes them.
        output: picks the logits from what the network returns.

    Raises:
        InputError: a network for which nothing can be proposed.
    """
    asked = PROPOSED if stages == PROPOSED and edges is None else edges
    net = unwrapped(net)
    stages, edges, guess = proposed(net, as_input(net, image), stages, asked, output)
    if guess is None:
        return stages, edges
    say(guess.line[0].upper() + guess.line[1:])
    return (
        {name: stage.to_plain() for name, stage in stages.items()},
        edges if asked != PROPOSED else {name: edge.to_plain() for name, edge in edges.items()},
    )


def _send_through(
    net: nn.Module, sites: tuple[Site, ...], shape: Sequence[int], channels: int
) -> tuple[Site, ...]:
    """The sites, every edge known by what it carries."""
    net = unwrapped(net)
    x = as_input(net, torch.zeros(1, channels, *shape))
    with undisturbed(net, x.device):
        sites = settled(net, sites, x)
        observe(net, sites, x)
    return sites


def settled_sites(
    net: nn.Module, stages: StagesLike, edges: Mapping[str, Any] | None, image: Tensor
) -> tuple[Site, ...]:
    """All that can be cut, every edge known by what it carries: its source may be a stage's name.

    Args:
        net: the network.
        stages: see :func:`sites`.
        edges: see :func:`sites`.
        image: (N, C, *image), as the network takes it.
    """
    net, places = unwrapped(net), sites(net, stages, edges)
    x = as_input(net, image[:1])
    with undisturbed(net, x.device):
        return settled(net, places, x)


def sites(net: nn.Module, stages: StagesLike, edges: Mapping[str, Any] | None) -> tuple[Site, ...]:
    """All that can be cut: the stages and the edges; of an older checkpoint, those of the table."""
    try:
        return sites_of(net, stages, edges)
    except InputError:
        if edges is not None:
            raise
        return sites_of(net, stages, {})
