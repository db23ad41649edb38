"""What a cut is judged by: Dice and score of every organ in every slice."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.attribution.forward import SCORES
from segtrace.dice import dice
from segtrace.errors import InputError, unknown
from segtrace.network.labels import (
    check_truth,
    predicted,
    refuse_one_channel,
    refuse_overlap,
    refuse_shares,
)


def confusion(prediction: Tensor, truth: Tensor, channels: int) -> Tensor:
    """Pixels of every slice by (true, predicted) channel: (n, *image) twice -> (n, C, C)."""
    number = _beside(torch.arange(len(truth), device=truth.device), truth)
    places = (number * channels + truth) * channels + prediction
    counts = places.flatten().bincount(minlength=len(truth) * channels**2)
    return counts.view(len(truth), channels, channels)


def _beside(numbers: Tensor, labels: Tensor) -> Tensor:
    """One number a slice (or an organ), shaped to broadcast over the image axes of labels."""
    return numbers.view(-1, *[1] * (labels.ndim - 1))


@dataclass(frozen=True)
class Outcome:
    """Dice and score, (O, N) each; NaN where the organ is absent from the slice."""

    dice: Tensor
    score: Tensor


@dataclass(frozen=True)
class Judge:
    """Which organs are judged, against which truth.

    Attributes:
        channels: organ -> channel of the logits.
        truth: (N, *image) label map in channel numbers.
        score: φ of the score, the mean φ(logit) of the organ over the organ's own pixels.
    """

    channels: Mapping[str, int]
    truth: Tensor
    score: str = "logit"

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise unknown("score", self.score, SCORES)
        if not self.channels:
            raise InputError("no organ is named; give at least one, name: channel")

    def checked(self, images: Tensor | None = None) -> "Judge":
        """Itself.

        Args:
            images: (N, C, *image) of the truth, if they are at hand.

        Raises:
            InputError: a truth that is no label map, an organ that is in none of the slices.
        """
        if images is not None and self.truth.ndim != images.ndim - 1:
            check_truth(self.truth, images)
        for organ, channel in self.channels.items():
            if not (self.truth == channel).any():
                raise InputError(
                    f"organ {organ!r} is in none of the {len(self.truth)} slices; leave it out "
                    "or give slices that hold it"
                )
        return self

    @property
    def masks(self) -> Tensor:
        """(O, N, *image) bool: where the truth says that the organs are."""
        return torch.stack([self.truth == channel for channel in self.channels.values()])

    def check(self, logits: Tensor, truth: Tensor) -> None:
        """Refuse logits (n, C, *image) that cannot be judged against a truth.

        Raises:
            InputError: one channel alone, too few channels, another size than the truth.
        """
        refuse_one_channel(logits)
        check_truth(truth, logits)
        if (most := max(self.channels.values())) >= logits.shape[1]:
            raise InputError(f"no channel {most}; the logits have 0 … {logits.shape[1] - 1}")

    def whole(self, logits: Tensor, part: slice = slice(None)) -> Outcome:
        """The outcome of the network as it is.

        Raises:
            InputError: see :meth:`check`; probabilities in the place of logits.
        """
        refuse_overlap(logits)
        refuse_shares(self.score, logits)
        return self.of(logits, part)

    def of(self, logits: Tensor, part: slice = slice(None)) -> Outcome:
        """The outcome of logits (n, C, *image) of some of the slices.

        Raises:
            InputError: see :meth:`check`.
        """
        truth = self.truth[part].to(logits.device).long()
        self.check(logits, truth)
        own = torch.tensor(list(self.channels.values()), device=logits.device)
        other = logits.shape[1]  # a number that is no channel, e.g. -1 for what is ignored
        known = truth.where((truth >= 0) & (truth < other), other)
        counts = confusion(predicted(logits), known, other + 1)
        true, found = counts.sum(2)[:, own], counts.sum(1)[:, own]  # (n, O)
        masks = truth[:, None] == _beside(own, truth)
        scores = SCORES[self.score](logits)[:, own] * masks
        total = scores.sum(tuple(range(2, logits.ndim)), dtype=torch.float64)
        return Outcome(
            dice(counts[:, own, own], found, true).double().T.cpu(),
            (total / true).T.cpu(),  # 0 / 0 is NaN: absent
        )
