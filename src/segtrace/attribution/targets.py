"""Targets: what is explained, as weights over the logits.

A target is a function logits ``(N, C, *image)`` -> weights of the same shape; the explained score
is Σ weights · φ(logits) per slice. A function rather than a tensor, because the predicted region
is known only once the network has run. A tensor is accepted wherever a target is.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from segtrace.errors import InputError, unknown

Target = Callable[[Tensor], Tensor]

REGIONS = ("gt", "pred", "all")


def organ(channel: int, region: str = "pred", truth: Tensor | None = None) -> Target:
    """The logits of one organ, summed over a region: Eq. 3 of Hasany et al. 2023.

    Args:
        channel: the organ's channel in the logits.
        region: ``gt``, where the truth says the organ is; ``pred``, where the network does;
            ``all``, the whole image (plain Grad-CAM).
        truth: (N, *image) label map in channel numbers; needed for ``gt``.

    Raises:
        InputError: an unknown region, or ``gt`` without a truth.
    """
    if region not in REGIONS:
        raise unknown("region", region, REGIONS)
    if region == "gt" and truth is None:
        raise InputError("region 'gt' needs the truth: a label map (N, *image)")

    def weights(logits: Tensor) -> Tensor:
        _check_channel(channel, logits)
        return _at_channel(channel, _mask(channel, region, truth, logits), logits)

    return weights


def organs(
    channels: Mapping[str, int], region: str = "pred", truth: Tensor | None = None
) -> dict[str, Target]:
    """One target an organ, named: the organ axis of a flow. See :func:`organ`."""
    return {name: organ(channel, region, truth) for name, channel in channels.items()}


def _mask(channel: int, region: str, truth: Tensor | None, logits: Tensor) -> Tensor:
    image = (logits.shape[0], *logits.shape[2:])
    if region == "all":
        return logits.new_ones(image)
    if region == "pred":
        return logits.argmax(1) == channel
    if truth is None or tuple(truth.shape) != image:
        shape = None if truth is None else tuple(truth.shape)
        raise InputError(f"the truth has shape {shape}; the logits ask for {image}")
    return truth.to(logits.device) == channel


def _at_channel(channel: int, mask: Tensor, logits: Tensor) -> Tensor:
    weights = torch.zeros_like(logits)
    weights[:, channel] = mask.to(logits.dtype)
    return weights


def _check_channel(channel: int, logits: Tensor) -> None:
    if not 0 <= channel < logits.shape[1]:
        raise InputError(f"no channel {channel}; the logits have 0 … {logits.shape[1] - 1}")
