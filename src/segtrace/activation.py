"""The activation of the logits: which pixels a network takes for an organ, how probably.

Under a **softmax** classes exclude each other: a pixel is of the channel with the largest logit.
Under a **sigmoid** every channel decides for itself: a pixel is of it where its logit is above 0,
and organs may overlap. A prediction, or a truth, has one of two forms, told apart by their type:
whole numbers (N, *image), a label map; or bool (N, C, *image), a mask a channel. Numbers with an
axis of one channel, (N, 1, *image), are a label map.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from segtrace.errors import InputError, unknown

SOFTMAX, SIGMOID = "softmax", "sigmoid"
ACTIVATIONS = (SOFTMAX, SIGMOID)
SAY_SIGMOID = "say activation='sigmoid' (for train.py and explain.py model.activation=sigmoid)"
ONE_CHANNEL = (
    "the network has one output channel, which behind a softmax is the largest everywhere; "
    f"{SAY_SIGMOID}: the organ is where its logit is above 0"
)


@dataclass(frozen=True)
class Organ:
    """Which channel an organ is predicted by, and which number a label map holds for it.

    Attributes:
        channel: of the logits.
        label: in a truth that is a label map. Masks have none: they lie in the order of channels.
    """

    channel: int
    label: int


OrganLike = int | Organ
"""An organ, or the number that is its channel and its label under a softmax."""


def organ_of(channel: OrganLike, activation: str) -> Organ:
    """An organ by its channel alone.

    Its label is the channel's number under a softmax, and one more under a sigmoid, where the
    background, 0, has no channel.
    """
    if isinstance(channel, Organ):
        return channel
    return Organ(channel, channel + (activation == SIGMOID))


def organs_of(
    channels: Mapping[str, OrganLike], activation: str, there: int | None = None
) -> dict[str, Organ]:
    """Organ -> its channel and label.

    A bare number is both under a softmax. Under a sigmoid it is the label, and channels count from
    0 in the order of the organs, all of which must be named.

    Args:
        channels: organ -> number, or :class:`Organ`.
        activation: one of :data:`ACTIVATIONS`.
        there: channels of the logits, where known.

    Raises:
        InputError: under a sigmoid, labels below 1, or other organs than channels.
    """
    labels = {name: value for name, value in channels.items() if isinstance(value, int)}
    if activation == SOFTMAX or not labels:
        return {name: organ_of(value, activation) for name, value in channels.items()}
    spelled = "'channel': 0, 'label': 1"
    for name, label in labels.items():
        if label < 1:
            raise InputError(
                f"organ {name!r} has label {label}, which is the background; behind a sigmoid a "
                f"number is a label: say {{{name!r}: {{{spelled}}}}} for its channel"
            )
    if len(labels) < len(channels) or there not in (None, len(labels)):
        raise InputError(
            f"{len(labels)} of {len(channels)} organs are named by their label"
            + (f" and the network has {there} channels" if there is not None else "")
            + "; behind a sigmoid channels count from 0 in the order of the organs, which takes as "
            f"many: say the channel of each, {{{next(iter(labels))!r}: {{{spelled}}}}} (for "
            f"explain.py 'model.channels={{{next(iter(labels))}: 0}}', or as many in data.organs)"
        )
    return {name: Organ(place, label) for place, (name, label) in enumerate(labels.items())}


def activation_of(there: int, asked: str | None = None) -> str:
    """The activation of logits of so many channels: of one channel a sigmoid, else a softmax.

    Raises:
        InputError: another than :data:`ACTIVATIONS`; a softmax of one channel.
    """
    if asked is None:
        return SIGMOID if there == 1 else SOFTMAX
    if asked not in ACTIVATIONS:
        raise unknown("activation", asked, ACTIVATIONS)
    if asked == SOFTMAX and there == 1:
        raise InputError(ONE_CHANNEL)
    return asked


def check_channel(channel: int, there: int) -> None:
    """Refuse a channel that logits of so many do not have.

    Raises:
        InputError: with what is likely meant.
    """
    if not 0 <= channel < there:
        likely = f"; where channels count from 0 and may overlap, {SAY_SIGMOID}"
        raise InputError(
            f"no channel {channel}; the logits have 0 … {there - 1}{likely * (channel == there)}"
        )


def predicted(logits: Tensor, activation: str | None = None) -> Tensor:
    """What logits (N, C, *image) say: a label map in channel numbers, or masks under a sigmoid.

    Raises:
        InputError: see :func:`activation_of`.
    """
    if activation_of(logits.shape[1], activation) == SIGMOID:
        return logits > 0
    return logits.max(1).indices  # argmax(1) says the same and takes five times as long


PROBABILITY: Mapping[str, Callable[[Tensor], Tensor]] = {
    SOFTMAX: lambda logits: logits.softmax(1),
    SIGMOID: torch.sigmoid,
}
"""Activation -> probabilities of logits (N, C, *image)."""
LOG_PROBABILITY: Mapping[str, Callable[[Tensor], Tensor]] = {
    SOFTMAX: lambda logits: logits.log_softmax(1),
    SIGMOID: functional.logsigmoid,
}
"""Activation -> their logarithms."""


def predicted_mask(prediction: Tensor, organ: OrganLike) -> Tensor:
    """(N, *image) bool: where a prediction, as :func:`predicted` gives it, has an organ."""
    channel = organ.channel if isinstance(organ, Organ) else organ
    return prediction[:, channel] if prediction.dtype == torch.bool else prediction == channel


def true_mask(truth: Tensor, organ: OrganLike) -> Tensor:
    """(N, *image) bool: where a truth, as :func:`truth_of` gives it, has an organ.

    Raises:
        InputError: masks that lack its channel.
    """
    if truth.dtype == torch.bool:
        channel = organ.channel if isinstance(organ, Organ) else organ
        if not 0 <= channel < truth.shape[1]:
            raise InputError(
                f"an organ has channel {channel}; the truth has masks of channels 0 to "
                f"{truth.shape[1] - 1}"
            )
        return truth[:, channel]
    return truth == (organ.label if isinstance(organ, Organ) else organ)


def true_masks(truth: Tensor, organs: Mapping[str, OrganLike]) -> Tensor:
    """(N, O, *image) bool: the same of several organs."""
    return torch.stack([true_mask(truth, organ) for organ in organs.values()], 1)


def border(mask: Tensor) -> Tensor:
    """The pixels of a mask (N, *image) that touch, by side or corner, one that is not in it.

    Where the image ends there is none.
    """
    pool = getattr(functional, f"max_pool{mask.ndim - 1}d")
    return mask & (pool((~mask)[:, None].float(), 3, 1, 1)[:, 0] > 0)
