"""Labels: what a network of several channels predicts, and a truth in the same numbers."""

import torch
from torch import Tensor

from segtrace.errors import InputError

NEAR = 0.01
"""How far from a whole number a value of a label map may lie to be that number."""

_COMPARED = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
"""Types whose numbers can be compared and counted as they are."""

ONE_CHANNEL = (
    "the network has one output channel, so there is no background that an organ could be larger "
    "than; networks of one channel are not supported yet: give it one of zeros, output=lambda out: "
    "torch.cat([torch.zeros_like(out), out], 1), with the organ at channel 1 (where there is no "
    "such option, wrap the network in one that returns that), or a tensor as target"
)


PIXELS = 64
"""Fewer logits may all lie between 0 and 1 by chance."""
SUM = 1e-3
"""Probabilities in half precision sum to 1 but for this."""
_ONE_LOGIT = "torch.cat([torch.zeros_like(out[:, :1]), out[:, k : k + 1].logit(1e-6)], 1)"
OVERLAP = (
    "the logits are probabilities that do not sum to 1, as behind a sigmoid: channels that may "
    "overlap have no largest one that is the prediction; overlap is not supported yet: explain "
    f"organs one at a time, with output=lambda out: {_ONE_LOGIT}, channel 1 and truth=mask[:, k]"
    ".long(), or where the channels shut each other out, background among them, let the network "
    "return logits: output=lambda out: out.logit(1e-6) (where there is no such option, wrap the "
    "network in one that returns that)"
)


def refuse_overlap(logits: Tensor) -> None:
    """Refuse what a sigmoid put out (N, C, *image), of which the largest is no prediction.

    To be asked of the network as it is: a network that is cut may say anything.

    Raises:
        InputError: numbers that all lie in [0, 1], of which several together exceed 1.
    """
    if _are_shares(logits) and float(logits.detach().sum(1).max()) > 1 + SUM:
        raise InputError(OVERLAP)


def refuse_shares(score: str, logits: Tensor) -> None:
    """Refuse to take the softmax of probabilities (N, C, *image).

    Raises:
        InputError: a score that does, of what a softmax or a sigmoid put out.
    """
    if score not in ("prob", "logprob") or not _are_shares(logits):
        return
    refuse_overlap(logits)
    if bool(((logits.detach().sum(1) - 1).abs() <= SUM).all()):
        raise InputError(
            f"the logits are probabilities that sum to 1, as behind a softmax, and score {score!r} "
            "would take the softmax once more: say score='logit', or let the network return "
            "logits: output=lambda out: out.clamp(min=1e-12).log()"
        )


def _are_shares(logits: Tensor) -> bool:
    """Whether all of many numbers of several channels lie in [0, 1], and they are not constant."""
    values = logits.detach()
    if values.shape[1] < 2 or values[:, 0].numel() < PIXELS:
        return False
    low, high = (float(end) for end in values.aminmax())
    return low >= 0 and high <= 1 and low < high


def predicted(logits: Tensor) -> Tensor:
    """(N, *image) the channel with the largest of the logits (N, C, *image).

    Raises:
        InputError: logits of one channel, which is the largest everywhere.
    """
    refuse_one_channel(logits)
    return largest(logits)


def refuse_one_channel(logits: Tensor) -> None:
    """Refuse logits (N, C, *image) of one channel, whose numbers are no labels.

    Raises:
        InputError: says how the network gets a background.
    """
    if logits.shape[1] < 2:
        raise InputError(ONE_CHANNEL)


def largest(logits: Tensor) -> Tensor:
    """The same, which says nothing where there is one channel alone."""
    return logits.max(1).indices  # argmax(1) says the same and takes five times as long


def whole_numbers(name: str, labels: Tensor) -> Tensor:
    """The channel numbers that a label map of any type holds.

    Resizing and files that scale their values give 3 back as 3.00005; within :data:`NEAR` of a
    whole number a value is that number, as in the files of :mod:`segtrace.data`.

    Raises:
        InputError: a value between whole numbers, NaN or infinity.
    """
    if not labels.is_floating_point():
        return labels if labels.dtype in _COMPARED else labels.long()
    whole = labels.round()
    off = ~((labels - whole).abs() <= NEAR)  # NaN is near to nothing
    if off.any():
        raise InputError(
            f"{name} holds {labels[off][0].item():g}; a label map is made of whole numbers, those "
            "of channels: give it as it was before it was scaled or resized, or say "
            ".nan_to_num().round().long() of it"
        )
    return whole.long()


def check_truth(truth: Tensor, logits: Tensor) -> None:
    """Refuse a truth that is no label map (N, *image) of the logits (N, C, *image).

    Raises:
        InputError: says how it becomes one, where it can.
    """
    image = (logits.shape[0], *logits.shape[2:])
    if truth.shape != image:
        raise InputError(
            f"the truth has shape {tuple(truth.shape)}; the logits ask for {image}"
            + _way_to_labels(truth, logits)
        )


def _way_to_labels(truth: Tensor, logits: Tensor) -> str:
    """What to do about a truth of another shape, if anything is known to help."""
    if truth.ndim == logits.ndim and truth.shape[0] == logits.shape[0]:
        if truth.shape[1] == 1:
            return ", a label map of channel numbers: truth[:, 0]"
        counts = (truth > 0).sum(1)
        if counts.max() > 1:
            return (
                ", a label map of channel numbers; organs that overlap are not supported yet: "
                "explain them one at a time, with output=lambda out: torch.cat([torch.zeros_like("
                "out[:, :1]), out[:, k : k + 1]], 1), channel 1 and truth=mask[:, k].long()"
            )
        if counts.min() == 1:
            return ", a label map of channel numbers: truth.int().argmax(1)"
        return ", a label map of channel numbers"
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
