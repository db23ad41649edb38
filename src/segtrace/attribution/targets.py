"""Targets: what is explained, as weights over the logits.

A target is a function logits ``(N, C, *image)`` -> weights of the same shape; the explained score
is Σ weights · φ(logits) per slice. A function rather than a tensor, because the predicted region
is known only once the network has run. A tensor is accepted wherever a target is.

* :func:`organ`: one organ's logits over a region, one of :data:`REGIONS`
* :func:`pixel`, :func:`box`: one place; in a box, the organ's predicted pixels
* :func:`component`: one connected component of a region, by size or by a pixel of it
* :func:`masked`: a mask of one's own
* :func:`margin`: one organ against another, why liver and not spleen
* :func:`organs`: one target an organ, the organ axis of a flow

Logits say by their **activation** what is predicted, see :mod:`segtrace.activation`: under a
sigmoid a channel is predicted where its logit is above 0, and a truth may be masks.

Which region? ``gt`` stays the same over the epochs, so curves over a training mean the map alone;
``pred`` explains what the network decided, is empty in an untrained one, and is all there is for a
new image; ``fp`` and ``fn`` ask for the reasons of a mistake. ``all`` is plain Grad-CAM. ``border``
asks for the reasons of an outline, and ``all_pred`` for those of the whole prediction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segtrace.activation import (
    Organ,
    OrganLike,
    activation_of,
    check_channel,
    organ_of,
    organs_of,
    predicted_mask,
    true_mask,
)
from segtrace.attribution import regions
from segtrace.attribution.regions import Region
from segtrace.attribution.weights import Weights
from segtrace.errors import InputError, unknown
from segtrace.network import guards
from segtrace.network.labels import check_truth, truth_of

Target = Callable[[Tensor], Tensor]

OF_TRUTH = ("gt", "tp", "fp", "fn")
ALL_PREDICTED = "all_pred"
REGIONS = ("gt", "pred", "tp", "fp", "fn", "confident", "border", "largest", "smallest", "all",
           ALL_PREDICTED)  # fmt: skip
"""Those that are names alone; ``pixel:60:40`` and ``component:60:40`` say a place too."""


def check_region(name: str) -> None:
    """Refuse a name that no region has.

    Raises:
        InputError: with those that have one.
    """
    regions.check(name, REGIONS)


@guards.held()
def organ(
    channel: OrganLike,
    region: str = "pred",
    truth: Tensor | None = None,
    activation: str | None = None,
) -> Target:
    """The logits of one organ, summed over a region: Eq. 3 of Hasany et al. 2023.

    Args:
        channel: the organ's channel in the logits; or channel and label,
            ``{"channel": 0, "label": 1}``. Without a label it is the channel's number in a label
            map under a softmax, one more under a sigmoid.
        region: ``gt``, where the truth says the organ is; ``pred``, where the network does;
            ``tp``, where both; ``fp``, the network alone; ``fn``, the truth alone; ``confident``,
            the pixels of ``pred`` with a probability of one half or more (what the program of
            Vinogradova et al. 2020 takes); ``border``, those of ``pred`` that touch one outside it,
            by side or corner; ``largest`` and ``smallest``, a connected component of ``pred``;
            ``pixel:60:40``, row 60 and column 40 of every slice (in 3-D a plane before them);
            ``component:60:40``, the component of ``pred`` that this pixel lies in; ``all``, the
            whole image (plain Grad-CAM); ``all_pred``, whatever is predicted (SegNBDT's): at every
            pixel the largest logit, of whichever class, or under a sigmoid every logit above 0.
        truth: (N, *image) label map in channel numbers; under a sigmoid in label numbers, or masks
            (N, C, *image). Needed for ``gt``, ``tp``, ``fp`` and ``fn``. Of a classifier
            ``classes[:, None, None]``.
        activation: ``softmax`` or ``sigmoid``; ``None`` for that of the trace, or found from the
            logits, of one channel a sigmoid, else a softmax.

    Raises:
        InputError: an unknown region, or one that needs the truth without it.

    >>> logits = torch.tensor([[[0.0, 0, 2], [1, 1, 1]]])  # one strip: organ, organ, background
    >>> organ(1, "fn", truth=torch.tensor([[0, 1, 1]]))(logits)[:, 1]
    tensor([[0., 0., 1.]])
    """
    if region == ALL_PREDICTED:
        return Predicted(activation)
    return ChannelTarget(channel, _region(region, truth), activation=activation)


@guards.held(place=guards.each(guards.a_whole, "row and column"))
def pixel(channel: int, *place: int) -> Target:
    """The logit of one organ at one pixel of every slice.

    Args:
        channel: the organ's channel.
        place: row and column (in 3-D: plane, row, column); negative ones count from the end.
    """
    return ChannelTarget(channel, regions.at(place))


@guards.held(mask=guards.a_tensor)
def masked(channel: OrganLike, mask: Tensor, activation: str | None = None) -> Target:
    """One organ's logits over a mask of one's own: a lesion drawn by hand, a planted bias.

    Args:
        channel: as in :func:`organ`.
        mask: (N, *image), where; a number weighs the pixel.
        activation: as there.
    """

    def region(logits: Tensor, _organ: Organ, _activation: str) -> Tensor:
        wanted = (logits.shape[0], *logits.shape[2:])
        if mask.shape != wanted:
            raise InputError(f"the mask has shape {tuple(mask.shape)}; the logits ask for {wanted}")
        return mask.to(logits)

    return ChannelTarget(channel, region, activation=activation)


@guards.held(ranges=guards.each(guards.ends, "(start, stop) of each axis"))
def box(
    channel: OrganLike,
    *ranges: tuple[int, int],
    region: str = "pred",
    truth: Tensor | None = None,
    activation: str | None = None,
) -> Target:
    """One organ's logits over the part of a region that lies in a box.

    Args:
        channel: as in :func:`organ`.
        ranges: (start, stop) of rows and of columns (in 3-D: planes, rows, columns).
        region: as there, but for ``all_pred``; ``all`` for the whole box.
        truth: as there.
        activation: as there.
    """
    whole = _region(region, truth)

    def mask(logits: Tensor, own: Organ, activation: str) -> Tensor:
        _check_box(ranges, logits.shape[2:])
        inside = torch.zeros_like(logits[:, 0], dtype=torch.bool)
        inside[:, *(slice(*ends) for ends in ranges)] = True
        return whole(logits, own, activation) & inside

    return ChannelTarget(channel, mask, activation=activation)


@guards.held()
def component(
    channel: OrganLike,
    which: int | Literal["largest", "smallest"] | Sequence[int] = "largest",
    region: str = "pred",
    truth: Tensor | None = None,
    activation: str | None = None,
) -> Target:
    """One organ's logits over one connected component of a region (SegGradCAM's regions).

    Components are joined by their sides (not corners) and numbered from the largest, 0, to the
    smallest; of equal ones the one that comes first in the image comes first. A slice with fewer
    components has an empty region. Needs scipy.

    Args:
        channel: as in :func:`organ`.
        which: a number, ``largest``, ``smallest``; or row and column (in 3-D plane, row, column) of
            a pixel, for the component it lies in, which is none where the region has it not.
        region: as there, but for ``all_pred``.
        truth: as there.
        activation: as there.
    """
    if isinstance(which, str) and which not in regions.PARTS:
        raise unknown("component", which, (*regions.PARTS, "a number from 0", "(row, column)"))
    place = which if isinstance(which, int | str) else tuple(which)
    mask = regions.component_of(_region(region, truth), place)
    return ChannelTarget(channel, mask, activation=activation)


@guards.held()
def margin(
    channel: OrganLike,
    against: OrganLike,
    region: str = "pred",
    truth: Tensor | None = None,
    activation: str | None = None,
) -> Target:
    """One organ's logits minus another's, over a region of the first: why this and not that.

    What both logits share (their common mode, which the softmax ignores) cancels.

    Args:
        channel: as in :func:`organ`.
        against: the other organ's.
        region: as there, but for ``all_pred``.
        truth: as there.
        activation: as there.
    """
    return ChannelTarget(channel, _region(region, truth), against, activation)


@guards.held()
def organs(
    channels: Mapping[str, OrganLike],
    region: str = "pred",
    truth: Tensor | None = None,
    activation: str | None = None,
) -> dict[str, Target]:
    """One target an organ, named: the organ axis of a flow. See :func:`organ`.

    Args:
        channels: organ -> channel, or ``{"channel": 0, "label": 1}``. A number is channel and label
            under a softmax; under a sigmoid it is the label, and the channels count from 0 in the
            order of the organs.
        region: as there.
        truth: as there.
        activation: as there.
    """
    if region == ALL_PREDICTED:
        return dict.fromkeys(channels, Predicted(activation))
    whole = _region(region, truth)
    return {name: ChannelTarget(name, whole, None, activation, channels) for name in channels}


@dataclass(frozen=True)
class Predicted:
    """Every channel where it is predicted.

    Attributes:
        activation: how; ``None`` where the logits or the trace say it.
    """

    activation: str | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """The weights (N, C, *image)."""
        return self.weights(logits).dense(logits)

    def weights(self, logits: Tensor, activation: str | None = None) -> Weights:
        """The same, channel by channel."""
        activation = activation_of(logits.shape[1], activation or self.activation)
        labels = regions.found(logits, activation)
        return Weights({c: predicted_mask(labels, c).to(logits) for c in range(logits.shape[1])})


@dataclass(frozen=True)
class ChannelTarget:
    """A mask at one organ's channel, and its negative at another's.

    Attributes:
        organ: its channel, or with its label; or its name among ``channels``.
        mask: where.
        against: the other organ, if any.
        activation: what is predicted; ``None`` where the logits or the trace say it.
        channels: all organs that are named, of which one is meant.
    """

    organ: OrganLike | str
    mask: Region
    against: OrganLike | None = None
    activation: str | None = None
    channels: Mapping[str, OrganLike] | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """The weights (N, C, *image)."""
        return self.weights(logits).dense(logits)

    def weights(self, logits: Tensor, activation: str | None = None) -> Weights:
        """The same, channel by channel; under the activation of a trace, if that is known."""
        activation = activation_of(logits.shape[1], activation or self.activation)
        own = self._organ(activation, logits.shape[1])
        other = None if self.against is None else organ_of(self.against, activation).channel
        for channel in (own.channel, other):
            if channel is not None:
                check_channel(channel, logits.shape[1])
        mask = self.mask(logits, own, activation).to(logits)
        planes = {own.channel: mask}
        if other is not None:
            planes[other] = -mask if other != own.channel else 0 * mask
        return Weights(planes)

    def _organ(self, activation: str, there: int) -> Organ:
        if self.channels is not None:
            return organs_of(self.channels, activation, there)[str(self.organ)]
        if isinstance(self.organ, str):
            raise TypeError(f"the organ {self.organ!r} is named, and no channels are")
        return organ_of(self.organ, activation)


def _region(region: str, truth: Tensor | None) -> Region:
    regions.check(region, [name for name in REGIONS if name != ALL_PREDICTED])
    of_logits = regions.OF_LOGITS.get(region) or regions.at_a_place(region)
    if of_logits is not None:
        return of_logits
    if truth is None:
        raise InputError(f"region {region!r} needs the truth: a label map (N, *image)")
    labels = truth

    def mask(logits: Tensor, own: Organ, activation: str) -> Tensor:
        check_truth(labels, logits, activation)
        there = true_mask(truth_of(labels.to(logits.device), logits.ndim - 2), own)
        if region == "gt":
            return there
        found = regions.where_predicted(logits, own, activation)
        return {"tp": there & found, "fp": found & ~there, "fn": there & ~found}[region]

    return mask


def _check_box(ranges: Sequence[tuple[int, int]], image: Sequence[int]) -> None:
    if len(ranges) != len(image):
        raise InputError(f"box {tuple(ranges)} has {len(ranges)} axes; the image has {len(image)}")
    for (start, stop), size in zip(ranges, image, strict=True):
        if not 0 <= start < stop <= size:
            raise InputError(
                f"box {tuple(ranges)} does not lie in the image of {tuple(image)}; "
                "each (start, stop) needs 0 <= start < stop <= size"
            )
