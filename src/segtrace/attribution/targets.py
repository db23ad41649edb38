"""Targets: what is explained, as weights over the logits.

A target is a function logits ``(N, C, *image)`` -> weights of the same shape; the explained score
is Σ weights · φ(logits) per slice. A function rather than a tensor, because the predicted region
is known only once the network has run. A tensor is accepted wherever a target is.

* :func:`organ`: one organ's logits over a region, ``gt``, ``pred``, ``tp``, ``fp``, ``fn``, ``all``
* :func:`pixel`, :func:`box`: one place; in a box, the organ's predicted pixels
* :func:`component`: one connected component of a region, by size
* :func:`margin`: one organ against another, why liver and not spleen
* :func:`organs`: one target an organ, the organ axis of a flow

Which region? ``gt`` stays the same over the epochs, so curves over a training mean the map alone;
``pred`` explains what the network decided, is empty in an untrained one, and is all there is for a
new image; ``fp`` and ``fn`` ask for the reasons of a mistake. ``all`` is plain Grad-CAM.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from segtrace.attribution.weights import Weights
from segtrace.errors import InputError, unknown
from segtrace.network import guards
from segtrace.network.labels import check_truth, predicted, refuse_one_channel, refuse_overlap

Target = Callable[[Tensor], Tensor]
Region = Callable[[Tensor], Tensor]
"""(N, C, *image) logits -> (N, *image) bool."""

REGIONS = ("gt", "pred", "tp", "fp", "fn", "all")


@guards.held()
def organ(channel: int, region: str = "pred", truth: Tensor | None = None) -> Target:
    """The logits of one organ, summed over a region: Eq. 3 of Hasany et al. 2023.

    Args:
        channel: the organ's channel in the logits.
        region: ``gt``, where the truth says the organ is; ``pred``, where the network does;
            ``tp``, where both; ``fp``, the network alone; ``fn``, the truth alone; ``all``, the
            whole image (plain Grad-CAM).
        truth: (N, *image) label map in channel numbers; needed but for ``pred`` and ``all``.

    Raises:
        InputError: an unknown region, or one that needs the truth without it.

    >>> logits = torch.tensor([[[0.0, 0, 2], [1, 1, 1]]])  # one strip: organ, organ, background
    >>> organ(1, "fn", truth=torch.tensor([[0, 1, 1]]))(logits)[:, 1]
    tensor([[0., 0., 1.]])
    """
    return ChannelTarget(channel, _region(channel, region, truth))


@guards.held(place=guards.each(guards.a_whole, "row and column"))
def pixel(channel: int, *place: int) -> Target:
    """The logit of one organ at one pixel of every slice.

    Args:
        channel: the organ's channel.
        place: row and column (in 3-D: plane, row, column); negative ones count from the end.
    """

    def mask(logits: Tensor) -> Tensor:
        _check_place(place, logits.shape[2:])
        there = torch.zeros_like(logits[:, 0], dtype=torch.bool)
        index: tuple[Any, ...] = (slice(None), *place)
        there[index] = True
        return there

    return ChannelTarget(channel, mask)


@guards.held(ranges=guards.each(guards.ends, "(start, stop) of each axis"))
def box(
    channel: int,
    *ranges: tuple[int, int],
    region: str = "pred",
    truth: Tensor | None = None,
) -> Target:
    """One organ's logits over the part of a region that lies in a box.

    Args:
        channel: the organ's channel.
        ranges: (start, stop) of rows and of columns (in 3-D: planes, rows, columns).
        region: as in :func:`organ`; ``all`` for the whole box.
        truth: as in :func:`organ`.
    """
    whole = _region(channel, region, truth)

    def mask(logits: Tensor) -> Tensor:
        _check_box(ranges, logits.shape[2:])
        inside = torch.zeros_like(logits[:, 0], dtype=torch.bool)
        inside[:, *(slice(*ends) for ends in ranges)] = True
        return whole(logits) & inside

    return ChannelTarget(channel, mask)


@guards.held()
def component(
    channel: int,
    which: int | Literal["largest", "smallest"] = "largest",
    region: str = "pred",
    truth: Tensor | None = None,
) -> Target:
    """One organ's logits over one connected component of a region (SegGradCAM's regions).

    Components are joined by their sides (not corners) and numbered from the largest, 0, to the
    smallest; of equal ones the one that comes first in the image comes first. A slice with fewer
    components has an empty region. Needs scipy.

    Args:
        channel: the organ's channel.
        which: a number, ``largest`` or ``smallest``.
        region: as in :func:`organ`.
        truth: as in :func:`organ`.
    """
    if isinstance(which, str) and which not in ("largest", "smallest"):
        raise unknown("component", which, ("largest", "smallest", "a number from 0"))
    whole = _region(channel, region, truth)

    def mask(logits: Tensor) -> Tensor:
        return torch.stack([_component(inside, which) for inside in whole(logits)])

    return ChannelTarget(channel, mask)


@guards.held()
def margin(channel: int, against: int, region: str = "pred", truth: Tensor | None = None) -> Target:
    """One organ's logits minus another's, over a region of the first: why this and not that.

    What both logits share (their common mode, which the softmax ignores) cancels.

    Args:
        channel: the organ's channel.
        against: the other organ's channel.
        region: as in :func:`organ`.
        truth: as in :func:`organ`.
    """
    return ChannelTarget(channel, _region(channel, region, truth), against)


@guards.held()
def organs(
    channels: Mapping[str, int], region: str = "pred", truth: Tensor | None = None
) -> dict[str, Target]:
    """One target an organ, named: the organ axis of a flow. See :func:`organ`.

    Raises:
        InputError: (once the network has run) a network of one channel, in which no organ is
            number 1 and no background number 0.
    """
    return {
        name: ChannelTarget(channel, _of_several(_region(channel, region, truth)))
        for name, channel in channels.items()
    }


@dataclass(frozen=True)
class ChannelTarget:
    """A mask at one organ's channel, and its negative at another's.

    Attributes:
        channel: the organ's.
        mask: where.
        against: the other organ's channel, if any.
    """

    channel: int
    mask: Region
    against: int | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """The weights (N, C, *image)."""
        return self.weights(logits).dense(logits)

    def weights(self, logits: Tensor) -> Weights:
        """The same, channel by channel."""
        for channel in (self.channel, self.against):
            if channel:
                refuse_one_channel(logits)
            if channel is not None and not 0 <= channel < logits.shape[1]:
                raise InputError(f"no channel {channel}; the logits have 0 … {logits.shape[1] - 1}")
        mask = self.mask(logits).to(logits)
        planes = {self.channel: mask}
        if self.against is not None:
            planes[self.against] = -mask if self.against != self.channel else 0 * mask
        return Weights(planes)


def _region(channel: int, region: str, truth: Tensor | None) -> Region:
    if region not in REGIONS:
        raise unknown("region", region, REGIONS)
    if region == "all":
        return lambda logits: torch.ones_like(logits[:, 0], dtype=torch.bool)
    if region == "pred":
        return lambda logits: _found(logits) == channel
    if truth is None:
        raise InputError(f"region {region!r} needs the truth: a label map (N, *image)")
    labels = truth

    def mask(logits: Tensor) -> Tensor:
        refuse_one_channel(logits)
        check_truth(labels, logits)
        true = labels.to(logits.device) == channel
        if region == "gt":
            return true
        found = _found(logits) == channel
        return {"tp": true & found, "fp": found & ~true, "fn": true & ~found}[region]

    return mask


def _found(logits: Tensor) -> Tensor:
    refuse_one_channel(logits)
    refuse_overlap(logits)
    return predicted(logits)


def _of_several(region: Region) -> Region:
    def mask(logits: Tensor) -> Tensor:
        refuse_one_channel(logits)
        return region(logits)

    return mask


def _check_place(place: Sequence[int], image: Sequence[int]) -> None:
    if len(place) != len(image):
        raise InputError(f"pixel {tuple(place)} has {len(place)} axes; the image has {len(image)}")
    if any(not -size <= index < size for index, size in zip(place, image, strict=True)):
        raise InputError(f"pixel {tuple(place)} lies outside the image of {tuple(image)}")


def _check_box(ranges: Sequence[tuple[int, int]], image: Sequence[int]) -> None:
    if len(ranges) != len(image):
        raise InputError(f"box {tuple(ranges)} has {len(ranges)} axes; the image has {len(image)}")
    for (start, stop), size in zip(ranges, image, strict=True):
        if not 0 <= start < stop <= size:
            raise InputError(
                f"box {tuple(ranges)} does not lie in the image of {tuple(image)}; "
                "each (start, stop) needs 0 <= start < stop <= size"
            )


def _component(inside: Tensor, which: int | str) -> Tensor:
    """(*image) bool -> the chosen component of it."""
    try:
        from scipy import ndimage  # the one thing here that torch cannot do
    except ModuleNotFoundError as error:
        raise InputError("components need scipy: pip install scipy") from error
    found, count = ndimage.label(inside.cpu().numpy())
    labels = torch.from_numpy(found).to(inside.device)
    sizes = labels.flatten().bincount()[1:]
    ranked = sizes.argsort(descending=True, stable=True) + 1
    number = {"largest": 0, "smallest": count - 1}.get(str(which), which)
    if not 0 <= int(number) < count:
        return torch.zeros_like(inside)
    return labels == ranked[int(number)]
