"""Semantic Input Removal: what is lost of each organ when another is erased from the slice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segtrace.activation import predicted
from segtrace.causal.faithfulness.removal import marked, scattered, shifted
from segtrace.dice import dice
from segtrace.explainers.wan2020.hierarchy import Decision, Tree
from segtrace.measures.places import rim_of

WAYS = ("organ", "shifted", "scattered")
"""What is erased: the organ; its mask moved elsewhere in the body; as many pixels by chance."""
NEAR = 8
"""Organs lie near each other within half a cell of a grid of so many: 14 pixels of 224."""


@dataclass(frozen=True)
class Judged:
    """What is measured of a prediction: Dice of every organ, and accuracy of its decisions.

    Attributes:
        tree: the hierarchy.
        channels: of the organs.
        masks: (O, N, H, W) bool, where the organs are.
    """

    tree: Tree
    channels: Sequence[int]
    masks: Tensor

    @property
    def decisions(self) -> list[tuple[int, Decision]]:
        """P pairs of an organ, by its place, and a decision on its path."""
        return [(o, one) for o, c in enumerate(self.channels) for one in self.tree.path(c)]

    def of(self, logits: Tensor, which: Tensor, erased: Tensor) -> Tensor:
        """(O + P, n) of logits (n, C, H, W); NaN where an organ is absent.

        Dice is over all pixels. The accuracy of a decision is the share of an organ's pixels, those
        that are not erased, at which the larger of the node's two logits is that of its group.

        Args:
            logits: of some images.
            which: (n,) slice of each.
            erased: (n, H, W) bool.
        """
        there = self.masks[:, which].to(logits.device)  # (O, n, H, W)
        labels = predicted(logits)
        found = torch.stack([labels == channel for channel in self.channels])
        known = [_pixels(one) for one in (found & there, found, there)]
        right = [_share(self._right(logits, o, one), there[o] & ~erased.to(logits.device))
                 for o, one in self.decisions]  # fmt: skip
        return torch.cat([dice(*known).double(), torch.stack(right)]).cpu()

    def _right(self, logits: Tensor, o: int, decision: Decision) -> Tensor:
        left, right = decision.logits(logits).unbind(1)
        return left > right if self.channels[o] in decision.left else right > left


@dataclass(frozen=True)
class Erasure:
    """An image with something erased.

    Attributes:
        n: the slice.
        organ: by its place.
        way: one of :data:`WAYS`, by its place.
        where: (H, W) bool.
    """

    n: int
    organ: int
    way: int
    where: Tensor


def erasures(masks: Tensor, free: Tensor, draws: int, seed: int) -> list[Erasure]:
    """All that is erased, slice by slice: every organ that is there, and its controls.

    Args:
        masks: (O, N, H, W) bool, where the organs are.
        free: (N, H, W) bool, where controls may lie: the body without any organ. An organ that is
            larger has no control.
        draws: shifted and scattered controls an organ.
        seed: of the draws.
    """
    found, chance = [], torch.Generator().manual_seed(seed)
    for n in range(masks.shape[1]):
        for o in masks[:, n].flatten(1).any(1).nonzero()[:, 0].tolist():
            own = masks[o, n]
            found.append(Erasure(n, o, 0, own))
            for _ in range(draws):
                for way, control in enumerate(_controls(own, free[n], chance), 1):
                    if control.any():
                        found.append(Erasure(n, o, way, control))
    return found


def _controls(own: Tensor, free: Tensor, chance: torch.Generator) -> Iterator[Tensor]:
    if int(free.sum()) < int(own.sum()):
        return
    yield shifted(own[None], free[None], chance)[0]
    yield marked(scattered(own[None], chance), own.sum()[None], free[None], chance)[0]


@dataclass(frozen=True)
class Removed:
    """What is left of everything that is measured.

    Attributes:
        organs: O names.
        measured: O + P pairs of an organ and the number of a decision, 0 for its Dice.
        whole: (O + P, N) of the slices as they are.
        left: (O erased, W ways, O + P, N), the mean over draws; NaN where nothing was erased, and
            where what is measured is absent.
        near: (O erased, O, N) bool, whether one lies so near that it loses its edge to the other.
        passes: erased images that the network was shown.
        asked: that it was to be shown.
    """

    organs: tuple[str, ...]
    measured: tuple[tuple[str, int], ...]
    whole: Tensor
    left: Tensor
    near: Tensor
    passes: int
    asked: int

    @property
    def lost(self) -> Tensor:
        """(O erased, W, O + P, N) whole less left."""
        return self.whole - self.left


def removed(
    judged: Judged,
    organs: Sequence[str],
    whole: Tensor,
    todo: Sequence[Erasure],
    run: Callable[[Sequence[Erasure]], Tensor],
    *,
    at_once: int,
    is_over: Callable[[], bool],
) -> Removed:
    """Erase and measure, as far as the time goes.

    A slice of which not all is done counts as not done, so that an organ is never held against
    fewer controls than were asked for.

    Args:
        judged: what is measured.
        organs: their names.
        whole: (N, C, H, W) logits of the slices as they are.
        todo: what is erased, slice by slice.
        run: gives the logits (n, C, H, W) of some.
        at_once: images a pass.
        is_over: whether the time is.
    """
    count, nothing = len(whole), torch.zeros_like(judged.masks[0])
    as_it_is = judged.of(whole, torch.arange(count), nothing)
    shape = (len(organs), len(WAYS), *as_it_is.shape)
    total, seen, done = torch.zeros(shape).double(), torch.zeros((*shape[:2], count)), 0
    for first in range(0, len(todo), at_once):
        if is_over():
            break
        part = todo[first : first + at_once]
        which = torch.tensor([one.n for one in part])
        values = judged.of(run(part), which, torch.stack([one.where for one in part]))
        for one, own in zip(part, values.T, strict=True):
            total[one.organ, one.way, :, one.n] += own
            seen[one.organ, one.way, one.n] += 1
        done += len(part)
    unfinished = {one.n for one in todo[done:]}
    seen[:, :, sorted(unfinished)] = 0
    left = torch.where(seen[:, :, None] > 0, total / seen[:, :, None], torch.nan)
    pairs = ((organs[o], decision.number) for o, decision in judged.decisions)
    measured = (*((organ, 0) for organ in organs), *pairs)
    return Removed(tuple(organs), measured, as_it_is, left, near(judged.masks), done, len(todo))


def near(masks: Tensor) -> Tensor:
    """(O, O, N) bool of masks (O, N, H, W): whether the first reaches what is around the second."""
    around = masks | rim_of(masks, (NEAR, NEAR))
    return torch.stack([(one & around).flatten(2).any(2) for one in masks])


def rows_of(found: Removed, cases: Sequence[str], slices: Sequence[int]) -> list[dict[str, Any]]:
    """A row a slice, erased organ, way and what is measured, where it is known."""
    whole, left = found.whole, found.left
    return [
        {
            "case": cases[n],
            "slice": slices[n],
            "erased": found.organs[o],
            "way": WAYS[w],
            "organ": found.measured[m][0],
            "measure": f"decision {number}" if (number := found.measured[m][1]) else "dice",
            "whole": float(whole[m, n]),
            "left": float(left[o, w, m, n]),
            "lost": float(whole[m, n] - left[o, w, m, n]),
        }
        for n, o, w, m in left.permute(3, 0, 1, 2).isfinite().nonzero().tolist()
    ]


def _pixels(masks: Tensor) -> Tensor:
    """(O, n) how many there are in (O, n, H, W)."""
    return masks.flatten(2).sum(2)


def _share(right: Tensor, among: Tensor) -> Tensor:
    """(n,) float64 part of some pixels (n, H, W); NaN of none."""
    return (right & among).flatten(1).sum(1).double() / among.flatten(1).sum(1)
