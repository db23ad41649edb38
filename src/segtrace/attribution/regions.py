"""Regions that logits alone decide: parts of a prediction, and places of the image.

Those of Vinogradova et al. 2020 are :func:`confident` (what their program takes where nothing is
said), a pixel and connected components; of a mask of one's own, as theirs of a planted bias, see
:func:`segtrace.attribution.targets.masked`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from segtrace.activation import (
    PROBABILITY,
    Organ,
    border,
    predicted,
    predicted_mask,
)
from segtrace.errors import InputError, unknown
from segtrace.network.labels import refuse_overlap

Region = Callable[[Tensor, Organ, str], Tensor]
"""(N, C, *image) logits, an organ, the activation -> (N, *image) bool."""
Place = tuple[int, ...]
"""Row and column (in 3-D: plane, row, column); negative ones count from the end."""

PARTS = ("largest", "smallest")
AT_A_PLACE = re.compile(r"(pixel|component)((?::\d{1,9}){1,3})")
SPELLED = ("pixel:ROW:COLUMN", "component:ROW:COLUMN")  # of volumes PLANE: before ROW


def found(logits: Tensor, activation: str) -> Tensor:
    """What is predicted, which is asked of organs that may overlap under a sigmoid alone."""
    refuse_overlap(logits, activation)
    return predicted(logits, activation)


def everywhere(logits: Tensor, own: Organ, activation: str) -> Tensor:
    """The whole image."""
    return torch.ones_like(logits[:, 0], dtype=torch.bool)


def where_predicted(logits: Tensor, own: Organ, activation: str) -> Tensor:
    """Where the network says the organ is."""
    return predicted_mask(found(logits, activation), own)


def on_the_border(logits: Tensor, own: Organ, activation: str) -> Tensor:
    """The pixels of the prediction that touch one outside it."""
    return border(where_predicted(logits, own, activation))


def confident(logits: Tensor, own: Organ, activation: str) -> Tensor:
    """Where the organ is predicted with a probability of at least one half.

    Under a softmax of two classes, and under a sigmoid, that is the prediction itself.
    """
    probability = PROBABILITY[activation](logits)[:, own.channel]
    return where_predicted(logits, own, activation) & (probability >= 0.5)


def at(place: Place) -> Region:
    """One pixel of every slice, as Vinogradova et al. 2020 explain one.

    Raises:
        InputError: (when it is asked) other axes than the image, or a place outside it.
    """

    def mask(logits: Tensor, own: Organ, activation: str) -> Tensor:
        _check_place(place, logits.shape[2:])
        there = torch.zeros_like(logits[:, 0], dtype=torch.bool)
        index: tuple[Any, ...] = (slice(None), *place)
        there[index] = True
        return there

    return mask


def component_of(whole: Region, which: int | str | Place) -> Region:
    """One connected component of a region, whose pixels touch by a side (in 3-D: by a face).

    Args:
        whole: the region.
        which: ``largest``, ``smallest``, its number by size from 0 for the largest, or the place of
            a pixel in it. Where there is no such component the region is empty.

    Raises:
        InputError: (when it is asked) a place outside the image; scipy that is missing.
    """

    def mask(logits: Tensor, own: Organ, activation: str) -> Tensor:
        if isinstance(which, tuple):
            _check_place(which, logits.shape[2:])
        return torch.stack([_component(one, which) for one in whole(logits, own, activation)])

    return mask


OF_LOGITS: dict[str, Region] = {
    "pred": where_predicted,
    "confident": confident,
    "border": on_the_border,
    "largest": component_of(where_predicted, "largest"),
    "smallest": component_of(where_predicted, "smallest"),
    "all": everywhere,
}
"""By name."""


def at_a_place(name: str) -> Region | None:
    """What ``pixel:60:40`` and ``component:60:40`` mean; ``None`` of another name."""
    if (spelled := AT_A_PLACE.fullmatch(name)) is None:
        return None
    place = tuple(map(int, spelled[2][1:].split(":")))
    return at(place) if spelled[1] == "pixel" else component_of(where_predicted, place)


def check(name: str, known: Sequence[str]) -> None:
    """Refuse a name that no region has.

    Args:
        name: of the region.
        known: those that are names alone.

    Raises:
        InputError: with all of them.
    """
    if name not in known and at_a_place(name) is None:
        raise unknown("region", name, (*known, *SPELLED))


def _check_place(place: Sequence[int], image: Sequence[int]) -> None:
    if len(place) != len(image):
        wanted = {2: ": row and column", 3: ": plane, row and column"}.get(len(image), "")
        raise InputError(
            f"pixel {tuple(place)} has {len(place)} axes; the image has {len(image)}{wanted}"
        )
    if any(not -size <= index < size for index, size in zip(place, image, strict=True)):
        raise InputError(f"pixel {tuple(place)} lies outside the image of {tuple(image)}")


def _component(inside: Tensor, which: int | str | Place) -> Tensor:
    """(*image) bool -> the chosen component of it."""
    try:
        from scipy import ndimage  # the one thing here that torch cannot do
    except ModuleNotFoundError as error:
        raise InputError("components need scipy: pip install scipy") from error
    parts, count = ndimage.label(inside.cpu().numpy())
    labels = torch.from_numpy(parts).to(inside.device)
    if isinstance(which, tuple):
        return (labels == labels[which]) & inside
    sizes = labels.flatten().bincount()[1:]
    ranked = sizes.argsort(descending=True, stable=True) + 1
    number = {"largest": 0, "smallest": count - 1}.get(str(which), which)
    if not 0 <= int(number) < count:
        return torch.zeros_like(inside)
    return labels == ranked[int(number)]
