"""Cut a site: put something else in the place of what a network passes on there.

A **site** is a stage (the output of a module, with all that follows from it) or an edge (what one
decoder stage takes in, alone). An **edit** turns the activation of a site, (N, K, *cells) with
channels second whatever the network's own layout, into another one of the same shape.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import Output
from segtrace.attribution.hooks import Alteration, altering
from segtrace.attribution.logits import logits_at
from segtrace.attribution.sites import Site, Sites, chosen, sites_of
from segtrace.errors import InputError

__all__ = ["Edit", "Seen", "Site", "Sites", "chosen", "cutting", "see", "sites_of"]

Edit = Callable[[Tensor], Tensor]


@contextmanager
def cutting(net: nn.Module, edits: Mapping[Site, Edit]) -> Iterator[None]:
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
    >>> with cutting(net, {Stage("first", "0"): lambda activation: 2 * activation}):
    ...     net(torch.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """
    with altering(net, {site: _alteration(site, edit) for site, edit in edits.items()}):
        yield


def _alteration(site: Site, edit: Edit) -> Alteration:
    """The edit on the tensor as the network lays it out."""

    def alter(tensor: Tensor) -> Tensor:
        before = site.channels_first(tensor)
        after = edit(before)
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
class Seen:
    """What one pass over slices showed.

    Attributes:
        activations: site name -> (N, K, *cells), detached copies.
        logits: (N, C, *image).
    """

    activations: Mapping[str, Tensor]
    logits: Tensor


def see(net: nn.Module, sites: Sequence[Site], x: Tensor, output: Output | None = None) -> Seen:
    """Run the network as it is and copy what passes the sites.

    Raises:
        InputError: a site that did not run.
    """
    found: dict[str, Tensor] = {}

    def copying(name: str) -> Edit:
        def look(activation: Tensor) -> Tensor:
            found[name] = activation.detach().clone()
            return activation

        return look

    with torch.no_grad(), cutting(net, {site: copying(site.name) for site in sites}):
        logits = logits_at(net, x, output)
    for site in sites:
        if site.name not in found:
            raise InputError(f"site {site.name!r} ({site.module}) did not run")
    return Seen(found, logits)
