"""An organ on a slice and what of its predicted mask is kept, whatever of the slice is shown."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from segtrace.activation import PROBABILITY, predicted, predicted_mask
from segtrace.causal.batches import SLICES, Batches
from segtrace.dice import dice
from segtrace.errors import InputError
from segtrace.explainers.baseline import hiding
from segtrace.explainers.scores import Scores
from segtrace.network.logits import logits_at


@dataclass(frozen=True)
class Pairs:
    """Every organ on every slice on which it is predicted: P pairs, each with a mask of its own.

    Attributes:
        scores: the network as it is, on its slices.
        hidden: (N, C, H, W) what is shown where a mask hides.
        at: (P, 2) number of the organ and of the slice.
        channel: (P,) of the organ.
        own: (P, H, W) 1 where the network as it is predicts the organ on the slice: P_c.
    """

    scores: Scores
    hidden: Tensor
    at: Tensor
    channel: Tensor
    own: Tensor

    @classmethod
    def of(cls, scores: Scores, baseline: float | str) -> "Pairs":
        """The pairs of scores whose regions are predictions.

        Raises:
            InputError: logits of another size than the slices.
        """
        x = scores.x
        check_size(scores.title, scores.logits, x)
        planes = [next(iter(one.planes.items())) for one in scores.weights.values()]
        masks = torch.stack([mask for _, mask in planes])
        at = masks.flatten(2).any(-1).nonzero()
        channels = torch.tensor([channel for channel, _ in planes], device=at.device)
        return cls(scores, hiding(baseline, x), at, channels[at[:, 0]], masks[at[:, 0], at[:, 1]])

    def only(self, which: Tensor) -> "Pairs":
        """Some of them."""
        return replace(self, at=self.at[which], channel=self.channel[which], own=self.own[which])

    def __len__(self) -> int:
        return len(self.at)

    def logits(self, masks: Tensor, which: Tensor) -> Tensor:
        """(n, C, H, W) of some pairs' slices, x ⊙ m + b ⊙ (1 - m), for masks (n, H, W)."""
        n, shown = self.at[which, 1], masks[:, None]
        return logits_at(self.scores.net, self.scores.x[n] * shown + self.hidden[n] * (1 - shown))

    def kept(self, masks: Callable[[Tensor], Tensor], which: Tensor) -> Tensor:
        """(n,) Dice of what is predicted of some pairs' organs under masks, to P_c.

        Args:
            masks: pairs -> their masks (n, H, W), a batch at a time.
            which: the pairs.
        """

        def run(part: slice) -> Tensor:
            mine = which[part]
            found = predicted(self.logits(masks(mine), mine), self.scores.activation)
            return self.dice_of(found, mine)

        parts = [one for _, one in Batches(SLICES).over(len(which), run)]
        return torch.cat(parts) if parts else self.own.new_zeros(0)

    def dice_of(self, found: Tensor, which: Tensor) -> Tensor:
        """(n,) Dice of predictions (n, …) to P_c."""
        organs = self.channel[which].tolist()
        here = torch.cat([predicted_mask(found[i : i + 1], c) for i, c in enumerate(organs)])
        own = self.own[which] > 0
        both, here, own = (one.flatten(1).sum(1).double() for one in (here & own, here, own))
        return dice(both, here, own)

    def soft(self, logits: Tensor, which: Tensor) -> Tensor:
        """(n,) 2 Σ p P_c / (Σ p + Σ P_c), p the organ's probability at every pixel."""
        rows = torch.arange(len(which), device=logits.device)
        p = PROBABILITY[self.scores.activation](logits)[rows, self.channel[which]].flatten(1)
        own = self.own[which].flatten(1)
        return 2 * (p * own).sum(1) / (p.sum(1) + own.sum(1))


def check_size(title: str, logits: Tensor, x: Tensor) -> None:
    """Refuse logits of another size than the slices.

    Args:
        title: of the method.
        logits: (n, C, h, w).
        x: (N, C, H, W) slices.

    Raises:
        InputError: they are.
    """
    if logits.shape[2:] != x.shape[2:]:
        raise InputError(
            f"{title} shows pixels of the image where the organ is predicted; the logits are "
            f"{tuple(logits.shape[2:])} and the image is {tuple(x.shape[2:])}: give logits of the "
            "image's size"
        )
