"""Which superpixels of which slice are shown, one image after the other."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from segtrace.explainers.dardouillet2022.shapley import Coalitions


class Game(NamedTuple):
    """A slice's superpixels (H, W), -1 where none plays, how many, and their coalitions."""

    labels: Tensor
    players: int
    drawn: Coalitions


@dataclass(frozen=True)
class Jobs:
    """The images in the order in which they are shown: all slices hidden, then pair after pair.

    Attributes:
        which: (J,) the slice of each.
        pair: (J,) number of the pair of coalitions; -1 where everything is hidden.
        side: (J,) 0 for the coalition, 1 for its complement.
    """

    which: Tensor
    pair: Tensor
    side: Tensor

    @classmethod
    def of(cls, games: list[Game]) -> "Jobs":
        """All that are asked for."""
        most = max(len(game.drawn.sides) for game in games)
        pairs = [
            (n, p, side)
            for p in range(most)
            for n, game in enumerate(games)
            if p < len(game.drawn.sides)
            for side in (0, 1)
        ]
        return cls(*torch.tensor([(n, -1, 0) for n in range(len(games))] + pairs).unbind(1))

    def mask(self, games: list[Game], j: int) -> Tensor:
        """(H, W) bool: what is shown; where no superpixel plays, hidden or not is the same."""
        labels, players, drawn = games[int(self.which[j])]
        pair, none = int(self.pair[j]), torch.zeros(players, dtype=torch.bool)
        who = none if pair < 0 else drawn.sides[pair] ^ bool(self.side[j])
        return torch.cat([who, torch.ones(1, dtype=torch.bool)])[labels]

    def of_slice(self, n: int, side: int, before: int) -> Tensor:
        """Numbers of a slice's images on one side of its pairs, among so many."""
        mine = (self.which == n) & (self.pair >= 0) & (self.side == side)
        return mine[:before].nonzero()[:, 0]

    def done(self, games: list[Game], before: int) -> list[int]:
        """Pairs of every slice that lie whole among so many images."""
        return [len(self.of_slice(n, 1, before)) for n in range(len(games))]
