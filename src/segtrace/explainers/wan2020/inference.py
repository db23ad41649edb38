"""Soft inference: what the tree predicts, held against what the network does."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from segtrace.dice import dice
from segtrace.measures.over_cases import OverCases, by_case, over_cases

KINDS = ("network", "tree")


@dataclass(frozen=True)
class Inference:
    """Two predictions of the same slices, organ by organ.

    Attributes:
        both: (2, O, N) pixels that the network, and the tree, share with the truth.
        found: (2, O, N) that they predict.
        there: (O, N) of the truth.
        agree: (N,) share of a slice's pixels at which network and tree say the same.
        cases: of each slice.
    """

    both: Tensor
    found: Tensor
    there: Tensor
    agree: Tensor
    cases: tuple[str, ...]

    @classmethod
    def of(
        cls,
        network: Tensor,
        tree: Tensor,
        channels: Sequence[int],
        masks: Tensor,
        cases: tuple[str, ...],
    ) -> "Inference":
        """Of label maps (N, H, W).

        Args:
            network: of the largest logit.
            tree: of the most probable leaf.
            channels: of the organs.
            masks: (O, N, H, W) bool, where they are.
            cases: of each slice.
        """
        said = torch.stack([torch.stack([one == c for c in channels]) for one in (network, tree)])
        both, found, there = (one.flatten(-2).sum(-1) for one in (said & masks, said, masks))
        agree = (network == tree).flatten(1).double().mean(1)
        return cls(both, found, there, agree, cases)

    @property
    def dice(self) -> Tensor:
        """(2, O, N) of network and tree; NaN where an organ is absent."""
        return dice(self.both.double(), self.found, self.there)

    @property
    def over_cases(self) -> dict[str, OverCases]:
        """Over cases: Dice of network and tree, and what the tree loses, (O,) each."""
        absent = self.there == 0
        pixels = (self.found + self.there).double().masked_fill(absent, torch.nan)
        each = by_case(2 * self.both.double(), self.cases, pixels)  # (2, O, C)
        names = list(dict.fromkeys(self.cases))
        lost = over_cases(each[0] - each[1], names, within=(-1.0, 1.0))
        both = over_cases(each, names, within=(0.0, 1.0))
        split = {
            kind: OverCases(*(getattr(both, one.name)[k] for one in fields(OverCases)))
            for k, kind in enumerate(KINDS)
        }
        return {**split, "lost": lost}

    def rows(self, organs: Sequence[str], slices: Sequence[int]) -> list[dict[str, Any]]:
        """A row a slice and organ that is there."""
        return [
            {
                "case": self.cases[n],
                "slice": slices[n],
                "organ": organs[o],
                "dice": float(self.dice[0, o, n]),
                "tree_dice": float(self.dice[1, o, n]),
                "agree": float(self.agree[n]),
            }
            for n, o in self.there.T.nonzero().tolist()
        ]

    def rows_over_cases(self, organs: Sequence[str]) -> list[dict[str, Any]]:
        """A row an organ: means over cases, and the ends of their intervals."""
        columns = {"network": "dice", "tree": "tree_dice", "lost": "lost"}
        found = self.over_cases
        return [
            {"organ": organ}
            | {
                name + end: float(getattr(found[kind], field)[o])
                for kind, name in columns.items()
                for end, field in (("", "mean"), ("_low", "low"), ("_high", "high"))
            }
            | {"cases": int(found["lost"].cases[o])}
            for o, organ in enumerate(organs)
        ]
