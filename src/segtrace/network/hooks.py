"""Hooks: record what passes the sites of a network, or put something else in its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.errors import InputError
from segtrace.network.altering import Alteration, altering, hang, refuse_both_of_a_sum
from segtrace.network.edges import Edge, in_words
from segtrace.network.graph import INFERENCE
from segtrace.network.logits import Output, logits_at
from segtrace.network.sites import Site
from segtrace.network.stages import Stage, runs_twice, why_idle

Edit = Callable[[Tensor], Tensor]
"""The activation of a site, (N, K, *cells) whatever the layout -> another one of that shape."""


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
    refuse_both_of_a_sum(sites)
    with ExitStack() as stack:
        # Stages first: at a module that is both, the stage is what the module itself put out.
        for site in sorted(sites, key=lambda site: isinstance(site, Edge)):
            copy = site.name in cloned
            if isinstance(site, Stage):
                hook = _recorder(site, found, copy)
                stack.callback(net.get_submodule(site.module).register_forward_hook(hook).remove)
            else:
                for handle in hang(net, site, _keeping(site, found, copy), standing=True):
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
