"""What a cut is judged by: Dice and score of every organ in every slice."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from segtrace.activation import (
    SOFTMAX,
    Organ,
    OrganLike,
    activation_of,
    check_channel,
    organs_of,
    predicted,
    predicted_mask,
    true_mask,
)
from segtrace.attribution.forward import SCORES, settled_organs
from segtrace.dice import dice
from segtrace.errors import InputError, unknown
from segtrace.network.labels import check_truth, refuse_overlap, refuse_shares, truth_of
from segtrace.network.logits import Output


@dataclass(frozen=True)
class Outcome:
    """Dice and score, (O, N) each; NaN where the organ is absent from the slice."""

    dice: Tensor
    score: Tensor


@dataclass(frozen=True)
class Judge:
    """Which organs are judged, against which truth.

    Attributes:
        channels: organ -> channel of the logits, see :func:`segtrace.activation.organs_of`.
        truth: a label map (N, *image), or masks (N, C, *image), as
            :func:`segtrace.network.labels.truth_of` gives it.
        score: φ of the score, the mean φ(logit) of the organ over the organ's own pixels.
        activation: of the logits.
    """

    channels: Mapping[str, OrganLike]
    truth: Tensor
    score: str = "logit"
    activation: str = SOFTMAX

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise unknown("score", self.score, SCORES)
        if not self.channels:
            raise InputError("no organ is named; give at least one, name: channel")

    @classmethod
    def at(
        cls,
        net: nn.Module,
        x: Tensor,
        channels: Mapping[str, OrganLike],
        truth: Tensor,
        score: str = "logit",
        activation: str | None = None,
        output: Output | None = None,
    ) -> "Judge":
        """A judge of a network, of which one slice says what its logits are.

        Args:
            net: the network, undisturbed.
            x: (N, C, *image) as it takes them.
            channels: organ -> channel.
            truth: a label map (N, *image), or masks (N, C, *image).
            score: see :class:`Judge`.
            activation: of the logits; ``None`` where their number says it.
            output: picks the logits from what the network returns.

        Raises:
            InputError: a truth or organs that do not fit the logits.
        """
        logits, known, organs = settled_organs(net, x, channels, activation, output)
        check_truth(truth, logits, known, organs.values())
        return cls(organs, truth_of(truth, x.ndim - 2), score, known)

    @cached_property
    def organs(self) -> dict[str, Organ]:
        """Organ -> its channel and label."""
        return organs_of(self.channels, self.activation)

    def checked(self) -> "Judge":
        """Itself.

        Raises:
            InputError: an organ that is in none of the slices.
        """
        for name, mask in zip(self.organs, self.masks, strict=True):
            if not mask.any():
                raise InputError(
                    f"organ {name!r} is in none of the {len(self.truth)} slices; leave it out "
                    "or give slices that hold it"
                )
        return self

    @cached_property
    def masks(self) -> Tensor:
        """(O, N, *image) bool: where the truth says that the organs are."""
        return torch.stack([true_mask(self.truth, organ) for organ in self.organs.values()])

    def check(self, logits: Tensor, truth: Tensor) -> None:
        """Refuse logits (n, C, *image) that cannot be judged against a truth.

        Raises:
            InputError: too few channels, another size than the truth.
        """
        activation_of(logits.shape[1], self.activation)
        check_truth(truth, logits, self.activation)
        for organ in self.organs.values():
            check_channel(organ.channel, logits.shape[1])

    def whole(self, logits: Tensor, part: slice = slice(None)) -> Outcome:
        """The outcome of the network as it is.

        Raises:
            InputError: see :meth:`check`; probabilities in the place of logits.
        """
        refuse_overlap(logits, self.activation)
        refuse_shares(self.score, logits, self.activation)
        return self.of(logits, part)

    def of(self, logits: Tensor, part: slice = slice(None)) -> Outcome:
        """The outcome of logits (n, C, *image) of some of the slices.

        Raises:
            InputError: see :meth:`check`.
        """
        self.check(logits, self.truth[part])
        own = [organ.channel for organ in self.organs.values()]
        there = self.masks[:, part].to(logits.device).transpose(0, 1)  # (n, O, *image)
        prediction = predicted(logits, self.activation)
        found = torch.stack([predicted_mask(prediction, channel) for channel in own], 1)
        true = _pixels(there)
        scores = SCORES[self.score](logits, self.activation)[:, own] * there
        total = scores.sum(tuple(range(2, logits.ndim)), dtype=torch.float64)
        return Outcome(
            dice(_pixels(found & there), _pixels(found), true).double().T.cpu(),
            (total / true).T.cpu(),  # 0 / 0 is NaN: absent
        )


def _pixels(masks: Tensor) -> Tensor:
    """(n, O) how many there are in masks (n, O, *image)."""
    return masks.flatten(2).sum(2, dtype=torch.int32)  # six times as fast as count_nonzero
