"""Steps of one length up a score: the gradient at an image, made a direction, and the walk."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import SCORES
from segtrace.causal.batches import SLICES, Batches
from segtrace.explainers.scores import Scores
from segtrace.network.logits import logits_at

L2, STD = "l2", "std"
NORMS = (L2, STD)
SHARE = 0.02
"""Of the standard deviation of a slice: how far a step moves its pixels, unless it is said."""


@dataclass(frozen=True)
class Ascent:
    """How images move: steps of one length along a direction, inside the range of the input.

    Attributes:
        scores: the network on its slices; the regions are those that it decided.
        norm: see :class:`~segtrace.explainers.couteaux2019.deepdream.DeepDream`.
        size: (N,) length of a step, in that norm.
        low: (N,) the smallest value of the input.
        high: (N,) the largest.
    """

    scores: Scores
    norm: str
    size: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(
        cls,
        scores: Scores,
        norm: str,
        step_size: float | None,
        clamp: tuple[float, float] | None,
    ) -> "Ascent":
        """With what is not said read off every slice by itself."""
        x = scores.x.flatten(1)
        root = x.shape[1] ** 0.5 if norm == L2 else 1.0  # so that both move pixels as far
        usual = SHARE * x.std(1, correction=0) * root
        size = usual if step_size is None else torch.full_like(usual, step_size)
        unit = (x >= 0).all(1) & (x <= 1).all(1)
        low = torch.where(unit, 0.0, x.amin(1)) if clamp is None else usual.new_tensor(clamp[0])
        high = torch.where(unit, 1.0, x.amax(1)) if clamp is None else usual.new_tensor(clamp[1])
        return cls(scores, norm, size, low.expand_as(size), high.expand_as(size))

    def moved(self, x: Tensor, along: Tensor, which: slice, steps: int = 1) -> Tensor:
        """Images (n, C, *image) of so many slices, so many steps along (n, C, *image).

        Where that is 0 everywhere, or not finite, they stay.
        """
        flat = along.flatten(1)
        length = flat.norm(dim=1) if self.norm == L2 else flat.std(1, correction=0)
        sound = (length > 0) & flat.isfinite().all(1)
        far = torch.where(sound, steps * self.size[which] / length, 0.0)
        step = torch.where(sound[:, None], far[:, None] * flat, 0.0).view_as(x)
        low, high = (_beside(end[which], x) for end in (self.low, self.high))
        return torch.maximum(torch.minimum(x + step, high), low)

    def gradient(
        self, organ: str, x: Tensor, which: slice, net: nn.Module | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(n,) score, logits, and (n, C, *image) its gradient, of images in an organ's region.

        Args:
            organ: whose.
            x: (n, C, *image).
            which: the slices in whose regions they are scored.
            net: another network of the same channels than that of the scores.
        """
        scores = self.scores
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            logits = logits_at(net or scores.net, leaf)
            scored = SCORES[scores.score](logits, scores.activation)
            score = scores.weights[organ][which].score(scored)
            found = torch.zeros_like(x)
            if score.requires_grad:
                (own,) = torch.autograd.grad(score.sum(), leaf, allow_unused=True)
                found = found if own is None else own
        return score.detach(), logits.detach(), found

    def climb(
        self,
        steps: int,
        every: int,
        seen: Callable[[int, str, slice, Tensor, Tensor, Tensor], None],
        stepped: Callable[[int], None],
    ) -> int:
        """Walk every organ's images up its score; all organs are as far when the time is over.

        Args:
            steps: how many, one at least whatever the time.
            every: so many steps, and at the first and last, what is there is shown.
            seen: hears step, organ, slices, images, logits and scores there.
            stepped: hears how many more slices have come a step.

        Returns:
            Steps that were done.
        """
        scores = self.scores
        images = {organ: scores.x.clone() for organ in scores.weights}
        for step in range(steps + 1):
            last = step == steps or (step > 0 and scores.is_over())
            shown = last or step % every == 0
            for organ, x in images.items():
                here = partial(self._here, organ, x, last=last)
                for part, (score, logits, along) in Batches(SLICES).over(len(x), here):
                    if shown:
                        seen(step, organ, part, x[part], logits, score)
                    if not last:
                        x[part] = self.moved(x[part], along, part)
                    stepped(part.stop - part.start)
            if last:
                break
        return step

    def _here(self, organ: str, images: Tensor, which: slice, *, last: bool) -> tuple[Tensor, ...]:
        x = images[which]
        if not last:
            return self.gradient(organ, x, which)
        logits = logits_at(self.scores.net, x)
        scored = SCORES[self.scores.score](logits, self.scores.activation)
        return self.scores.weights[organ][which].score(scored), logits, logits


def _beside(ends: Tensor, x: Tensor) -> Tensor:
    """(n,) beside (n, C, *image)."""
    return ends.reshape(-1, *[1] * (x.ndim - 1))
