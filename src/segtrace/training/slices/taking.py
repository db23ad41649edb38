"""A network of the user's own before it is explained: does it take a slice, and give its logits?"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution.forward import logits_of, settled_organs
from segtrace.errors import InputError, UsersCodeError
from segtrace.network.logits import Output
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.training.construction import reason

_CHANNELS = re.compile(r"to have (\d+) channels, but got 1 channels")

OF_SHAPES = (RuntimeError, ValueError, AssertionError)
"""What is raised of a slice of another shape than a network takes."""
_OF_A_SHAPE = re.compile(r"size|shape|channel|dimension|[Ee]xpected .*(input|\dD)|divisible|axes")
VOLUMES = (
    "it takes volumes (N, C, D, H, W), and slices (N, C, H, W) are explained here; give a 2-D "
    "network, or call segtrace.explain(net, loader, …) from Python, which takes volumes"
)


def check_own_network(builder: str, net: nn.Module, size: int) -> Tensor:
    """Send one empty slice through, with gradients on; no mark is left.

    Args:
        builder: what the user gave as ``net=``.
        net: what it built.
        size: rows and columns of a slice of the data.

    Returns:
        Its logits (1, C, size, size), without their graph.

    Raises:
        InputError: the network takes no slices of one channel, fails in its forward, returns
            no logits of their size, or such that no gradient leads back.
    """
    kinds = {kind for kind in (nn.Conv2d, nn.Conv3d) for m in net.modules() if isinstance(m, kind)}
    if kinds == {nn.Conv3d}:  # which would take the slice for a volume without a batch
        raise InputError(f"net={builder}: {VOLUMES}")
    x = as_input(net, torch.zeros(1, 1, size, size)).requires_grad_()
    with undisturbed(net, x.device):
        try:
            returned = net(x)
        except InputError:
            raise
        except Exception as error:
            if isinstance(error, OF_SHAPES) and _OF_A_SHAPE.search(str(error)):
                raise InputError(f"net={builder}: {_mistake(reason(error), size)}") from error
            raise UsersCodeError(f"net={builder}: its forward", error) from error
        logits = logits_of(returned, x, None, net)
    if set(logits.shape[2:]) == {1} and size > 1:
        raise InputError(
            f"net={builder}: the logits have shape {tuple(logits.shape[:2])}, a number a class for "
            "the whole slice; the data have label maps, so that a classifier is explained in "
            "Python alone: segtrace.trace(net, …)"
        )
    if not logits.requires_grad:
        raise InputError(
            f"net={builder}: no gradient leads from its logits into it, since its forward detaches "
            "them (detach, .data, no_grad, numpy); return them with their graph"
        )
    return logits.detach()


def check_channels(
    net: nn.Module,
    image: Tensor,
    channels: Mapping[str, OrganLike],
    output: Output | None = None,
    activation: str | None = None,
) -> None:
    """Send an image (1, C, H, W) through, and refuse organs that the logits do not have.

    Raises:
        InputError: which organ, and the channels that there are.
    """
    x = as_input(net, image)
    with undisturbed(net, x.device):
        logits, _, organs = settled_organs(net, x, channels, activation, output)
    for name, organ in organs.items():
        if not 0 <= organ.channel < (there := logits.shape[1]):
            raise InputError(
                f"organ {name!r} has channel {organ.channel}; the network has channels 0 to "
                f"{there - 1}"
            )


def _mistake(said: str, size: int) -> str:
    if wanted := _CHANNELS.search(said):
        return (
            f"it takes {wanted[1]} channels, and a CT slice has 1; if it was trained on repeated "
            "ones, say 'preprocessing={channels: repeat}'"
        )
    near = max(32, round(size / 32) * 32)
    fitting = (
        f"a multiple of 32, e.g. data.size={near}" if near != size else "the one it was trained on"
    )
    return (
        f"it does not take a slice (1, 1, {size}, {size}) ({said}); give it with one input channel "
        f"and data.size {fitting}"
    )
