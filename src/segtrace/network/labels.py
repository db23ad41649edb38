"""Labels: a truth in the form that logits ask for, and logits that are none."""

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from segtrace.activation import SAY_SIGMOID, SIGMOID, SOFTMAX, Organ
from segtrace.errors import InputError

NEAR = 0.01
"""How far from a whole number a value of a label map may lie to be that number."""

_COMPARED = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
"""Types whose numbers can be compared and counted as they are."""

PIXELS = 64
"""Fewer logits may all lie between 0 and 1 by chance."""
SUM = 1e-3
"""Probabilities in half precision sum to 1 but for this."""
BEHIND = 6
"""Operations that may follow a sigmoid."""
KEEPING = (
    "Alias", "Clamp", "Clone", "Expand", "Flip", "Permute", "Reshape", "Select", "Slice",
    "Squeeze", "ToCopy", "Transpose", "UnsafeView", "Unsqueeze", "View",
)  # fmt: skip
"""How autograd names those that leave probabilities what they are."""
CHANGING = ("AvgPool", "ConstantPad", "MaskedFill", "Mul", "Upsample", "Where")
"""Those that do so if all is in [0, 1] behind them: resized, or put to 0 outside a mask."""
ENDS = 0.05
"""Probabilities of a trained network come as near to 0 and to 1 as this."""
_LOGITS = "output=lambda out: out.logit(1e-6)"
OVERLAP = (
    "the logits are probabilities that do not sum to 1, as behind a sigmoid: where channels may "
    f"overlap {SAY_SIGMOID} and let the network return logits, {_LOGITS}; where they "
    "shut each other out, background among them, the latter alone (where there is no such option, "
    "wrap the network in one that returns that)"
)
BEHIND_SIGMOID = (
    "the logits are probabilities, as behind a sigmoid, of which none is below 0, where a logit "
    f"says that the organ is not there; let the network return logits: {_LOGITS} (where there is "
    "no such option, wrap the network in one that returns that)"
)


def refuse_overlap(logits: Tensor, activation: str = SOFTMAX) -> None:
    """Refuse what a sigmoid put out (N, C, *image) in the place of logits.

    To be asked of the network as it is: a network that is cut may say anything.

    Raises:
        InputError: under a softmax, numbers that all lie in [0, 1], of which several together
            exceed 1; under a sigmoid, what it put out.
    """
    if activation == SIGMOID:
        if _is_sigmoid(logits):
            raise InputError(BEHIND_SIGMOID)
    elif _are_shares(logits) and float(logits.detach().sum(1).max()) > 1 + SUM:
        raise InputError(OVERLAP)


def refuse_shares(score: str, logits: Tensor, activation: str = SOFTMAX) -> None:
    """Refuse to take the probabilities of probabilities (N, C, *image); say where maps are of them.

    Raises:
        InputError: a score that does, of what a softmax or a sigmoid put out; under a sigmoid,
            whose prediction is wrong then, any.
    """
    if activation == SIGMOID:
        refuse_overlap(logits, activation)
    elif _are_shares(logits):
        sums = logits.detach().sum(1)
        shared = bool((((sums - 1).abs() <= SUM) | (sums == 0)).all())  # 0: left out by a mask
        if score not in ("prob", "logprob"):
            if shared:
                _say_of_shares()
            return
        refuse_overlap(logits)
        if shared:
            raise InputError(
                "the logits are probabilities that sum to 1, as behind a softmax, and score "
                f"{score!r} would take the softmax once more: say score='logit', or let the "
                "network return logits: output=lambda out: out.clamp(min=1e-12).log() (where there "
                "is no such option, wrap the network in one that returns that)"
            )


@cache
def _say_of_shares() -> None:
    """Every pass would say it again."""
    warnings.warn(
        "the logits are probabilities that sum to 1, as behind a softmax: maps explain these, and "
        "differ from those of logits; for them give output=lambda out: out.clamp(min=1e-12).log()",
        stacklevel=1,
    )


def _are_shares(logits: Tensor) -> bool:
    """Whether all of many numbers of several channels lie in [0, 1], and they are not constant."""
    return logits.shape[1] > 1 and _range(logits) is not None


def _is_sigmoid(logits: Tensor) -> bool:
    """Whether a sigmoid made them; without their graph, whether they reach from 0 to 1."""
    made = logits.grad_fn
    for _ in range(BEHIND):
        if made is None:
            break
        if made.name().startswith("Sigmoid"):
            return True
        made = _made_of(made, logits)
    ends = _range(logits)
    return ends is not None and ends[0] < ENDS and ends[1] > 1 - ENDS


def _made_of(made: Any, logits: Tensor) -> Any:
    """The one node whose probabilities an operation hands on; ``None`` where it does not."""
    parents = [node for node, _ in made.next_functions if node is not None]
    if len(parents) != 1 or not made.name().startswith((*KEEPING, *CHANGING)):
        return None
    if made.name().startswith(CHANGING):
        low, high = logits.detach().aminmax()
        return parents[0] if low >= 0 and high <= 1 else None
    return parents[0]


def _range(logits: Tensor) -> tuple[float, float] | None:
    """Smallest and largest of many numbers that all lie in [0, 1] and are not constant."""
    if logits[:, 0].numel() < PIXELS:
        return None
    low, high = (float(end) for end in logits.detach().aminmax())
    return (low, high) if 0 <= low < high <= 1 else None


def whole_numbers(name: str, labels: Tensor) -> Tensor:
    """The channel numbers that a label map of any type holds; of masks of type bool themselves.

    Resizing and files that scale their values give 3 back as 3.00005; within :data:`NEAR` of a
    whole number a value is that number, as in the files of :mod:`segtrace.data`.

    Raises:
        InputError: a value between whole numbers, NaN or infinity.
    """
    if not labels.is_floating_point():
        return labels if labels.dtype in (*_COMPARED, torch.bool) else labels.long()
    whole = labels.round()
    off = ~((labels - whole).abs() <= NEAR)  # NaN is near to nothing
    if off.any():
        raise InputError(
            f"{name} holds {labels[off][0].item():g}; a label map is made of whole numbers, those "
            "of channels: give it as it was before it was scaled or resized, or say "
            ".nan_to_num().round().long() of it"
        )
    return whole.long()


def truth_of(truth: Tensor, axes: int) -> Tensor:
    """A truth in one of the two forms: masks as bool, a label map as whole numbers.

    Args:
        truth: (N, *image) or (N, 1, *image) numbers, or (N, C, *image) masks; with an axis of one
            channel only those of type bool.
        axes: of the image.
    """
    if truth.ndim == axes + 2 and (truth.shape[1] != 1 or truth.dtype == torch.bool):
        return truth > 0
    labels = truth[:, 0] if truth.ndim == axes + 2 else truth
    return labels.long() if labels.dtype == torch.bool else labels


def check_truth(
    truth: Tensor,
    logits: Tensor,
    activation: str = SOFTMAX,
    organs: Iterable[Organ] = (),
) -> None:
    """Refuse a truth that is none of the logits (N, C, *image).

    A label map (N, *image), or (N, 1, *image), is one, under a sigmoid masks (N, C, *image) too.

    Args:
        truth: as it was given, or as :func:`truth_of` returns it.
        logits: of the network.
        activation: of the logits.
        organs: that are looked for in a label map.

    Raises:
        InputError: says how it becomes one, where it can.
    """
    image = (logits.shape[0], *logits.shape[2:])
    masks = activation == SIGMOID and truth.shape == logits.shape
    labels = truth.shape == image or (
        truth.shape == (image[0], 1, *image[1:]) and truth.dtype != torch.bool
    )
    if labels and masks:
        _refuse_one_mask(truth, organs)
    if not labels and not masks:
        asked = f"{image}, or masks {tuple(logits.shape)}" if activation == SIGMOID else f"{image}"
        raise InputError(
            f"the truth has shape {tuple(truth.shape)}; the logits ask for {asked}"
            + _way_to_labels(truth, logits, activation)
        )


def _refuse_one_mask(truth: Tensor, organs: Iterable[Organ]) -> None:
    """Refuse numbers that may be a mask, 0 and 255 say, and are read as a label map."""
    numbers = truth[truth != 0].unique().tolist()
    others = [organ.label for organ in organs if organ.label not in numbers]
    if len(numbers) == 1 and others:
        raise InputError(
            f"the truth {tuple(truth.shape)} holds 0 and {numbers[0]} alone, and the organ has "
            f"label {others[0]}: is it a mask, truth > 0, or a label map, truth[:, 0]?"
        )


def _way_to_labels(truth: Tensor, logits: Tensor, activation: str) -> str:
    """What to do about a truth of another shape, if anything is known to help."""
    if set(logits.shape[2:]) == {1}:
        return (
            ": the network is a classifier, a number a class for the whole image; its truth is "
            f"that image's class, classes.reshape({', '.join(map(str, (-1, *logits.shape[2:])))})"
        )
    if truth.ndim == logits.ndim and truth.shape[0] == logits.shape[0]:
        if activation == SIGMOID:
            return ", one for each channel in their order"
        if truth.shape[1] == 1:
            return ", a label map of channel numbers: truth[:, 0]"
        counts = (truth > 0).sum(1)
        if counts.min() == 1 == counts.max():
            return ", a label map of channel numbers: truth.int().argmax(1)"
        return (
            ", a label map of channel numbers; masks, which may overlap, are the truth of channels "
            f"that decide each for itself: {SAY_SIGMOID}"
        )
    if truth.ndim == logits.ndim - 1 and truth.shape[0] == logits.shape[0]:
        return _way_to_size(tuple(truth.shape[1:]), tuple(logits.shape[2:]))
    return ""


def _way_to_size(image: tuple[int, ...], cells: tuple[int, ...]) -> str:
    """What makes logits of an image's size: the border that a network without padding leaves out.

    Sides that are a whole part of the image's are a coarser grid.
    """
    pairs = list(zip(image, cells, strict=True))
    borders = {side - cell for side, cell in pairs}
    border = borders.pop() if len(borders) == 1 else 0
    if border > 0 and border % 2 == 0 and any(side % cell for side, cell in pairs):
        around = [border // 2] * 2 * len(cells)
        return (
            f": output=lambda out: torch.nn.functional.pad(out, {around}) puts around them the "
            "border that a network without padding leaves out"
        )
    return f": output=lambda out: torch.nn.functional.interpolate(out, size={image}) resizes them"
