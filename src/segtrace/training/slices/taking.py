"""A network of the user's own before it is explained: does it take a slice, and give its logits?"""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution.forward import logits_of, settled_organs
from segtrace.axes import are_volumes
from segtrace.errors import InputError, UsersCodeError
from segtrace.network.logits import Output
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.training.construction import reason

_CHANNELS = re.compile(r"to have (\d+) channels, but got 1 channels")

OF_SHAPES = (RuntimeError, ValueError, AssertionError)
"""What is raised of a slice of another shape than a network takes."""
_OF_A_SHAPE = re.compile(r"size|shape|channel|dimension|[Ee]xpected .*(input|\dD)|divisible|axes")
VOLUMES = (
    "it takes volumes; say in which windows and mm, "
    "'preprocessing={patch: [96, 96, 96], spacing: [1.5, 1.5, 2]}' image=any_ct.nii.gz, or call "
    "segtrace.explain(net, loader, …) from Python"
)
SLICES = "it takes slices; leave preprocessing.patch out"
AXES = {nn.Conv2d: 4, nn.Conv3d: 5}
"""Convolutions -> axes of the batches that they take."""


def check_own_network(builder: str, net: nn.Module, image: Tensor) -> Tensor:
    """Send an empty slice, or window of a volume, through with gradients on; no mark is left.

    Args:
        builder: what the user gave as ``net=``.
        net: what it built.
        image: (1, 1, *image) of zeros.

    Returns:
        Its logits (1, C, *image), without their graph.

    Raises:
        InputError: the network takes no images of one channel and these axes, fails in its
            forward, returns no logits of their size, or such that no gradient leads back.
    """
    axes = {axes for kind, axes in AXES.items() for m in net.modules() if isinstance(m, kind)}
    if len(axes) == 1 and axes != {image.ndim}:  # which might take a slice for a volume
        raise InputError(f"net={builder}: {SLICES if are_volumes(image) else VOLUMES}")
    x = as_input(net, image).requires_grad_()
    with undisturbed(net, x.device):
        try:
            returned = net(x)
        except InputError:
            raise
        except Exception as error:
            if isinstance(error, OF_SHAPES) and _OF_A_SHAPE.search(str(error)):
                raise InputError(
                    f"net={builder}: {_mistake(reason(error), [*image.shape[2:]])}"
                ) from error
            raise UsersCodeError(f"net={builder}: its forward", error) from error
        logits = logits_of(returned, x, None, net)
    if set(logits.shape[2:]) == {1} and image.shape[-1] > 1:
        raise InputError(
            f"net={builder}: the logits have shape {tuple(logits.shape[:2])}, a number a class for "
            "the whole image; the data have label maps, so that a classifier is explained in "
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


def _mistake(said: str, sides: list[int]) -> str:
    if wanted := _CHANNELS.search(said):
        return (
            f"it takes {wanted[1]} channels, and a CT slice has 1; if it was trained on repeated "
            "ones, say 'preprocessing={channels: repeat}'"
        )
    if len(sides) > 2:
        fit = [max(32, round(side / 32) * 32) for side in sides[::-1]]
        other = fit if fit != sides[::-1] else [2 * side for side in fit]
        return (
            f"it does not take a window (1, 1, {', '.join(map(str, sides))}) ({said}); give it "
            f"with one input channel, and a patch it was trained on, e.g. "
            f"preprocessing.patch={other}"
        )
    size = sides[0]
    near = max(32, round(size / 32) * 32)
    fitting = (
        f"a multiple of 32, e.g. data.size={near}" if near != size else "the one it was trained on"
    )
    return (
        f"it does not take a slice (1, 1, {size}, {size}) ({said}); give it with one input channel "
        f"and data.size {fitting}"
    )
