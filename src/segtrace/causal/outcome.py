"""What a cut is judged by: Dice and score of every organ in every slice."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.attribution.forward import SCORES
from segtrace.errors import InputError, unknown


def dice(prediction: Tensor, truth: Tensor) -> Tensor:
    """Hard Dice 2|P ∩ T| / (|P| + |T|) of masks (…, H, W); NaN where the truth is empty.

    >>> prediction, truth = torch.tensor([[1, 1, 0]]), torch.tensor([[0, 1, 0]])
    >>> float(dice(prediction.bool()[None], truth.bool()[None])[0])
    0.6666666865348816
    """
    both, either = (prediction & truth).flatten(-2).sum(-1), prediction.flatten(-2).sum(-1)
    true = truth.flatten(-2).sum(-1)
    return torch.where(true > 0, 2 * both / (either + true), torch.nan)


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
        truth: (N, H, W) label map in channel numbers.
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

    def checked(self) -> "Judge":
        """Itself.

        Raises:
            InputError: an organ that is in none of the slices.
        """
        for organ, channel in self.channels.items():
            if not (self.truth == channel).any():
                raise InputError(
                    f"organ {organ!r} is in none of the {len(self.truth)} slices; leave it out "
                    "or give slices that hold it"
                )
        return self

    @property
    def masks(self) -> Tensor:
        """(O, N, H, W) bool: where the truth says that the organs are."""
        return torch.stack([self.truth == channel for channel in self.channels.values()])

    def of(self, logits: Tensor, part: slice = slice(None)) -> Outcome:
        """The outcome of logits (n, C, H, W) of some of the slices.

        Raises:
            InputError: logits of another size than the truth, or too few channels.
        """
        truth = self.truth[part].to(logits.device)
        if logits.shape[0] != len(truth) or logits.shape[2:] != truth.shape[1:]:
            raise InputError(
                f"the truth has shape {tuple(truth.shape)}; the logits ask for "
                f"{(logits.shape[0], *logits.shape[2:])}"
            )
        if (most := max(self.channels.values())) >= logits.shape[1]:
            raise InputError(f"no channel {most}; the logits have 0 … {logits.shape[1] - 1}")
        prediction, scored = logits.argmax(1), SCORES[self.score](logits)
        dices, scores = [], []
        for channel in self.channels.values():
            mask = truth == channel
            dices.append(dice(prediction == channel, mask))
            total = (scored[:, channel] * mask).flatten(1).sum(1)
            scores.append(total / mask.flatten(1).sum(1))  # 0 / 0 is NaN: absent
        return Outcome(torch.stack(dices).double().cpu(), torch.stack(scores).double().cpu())
