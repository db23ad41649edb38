"""Shapley values by KernelSHAP: coalitions in pairs, and the weighted least squares over them."""

from math import comb
from typing import NamedTuple

import torch
from torch import Tensor

from segtrace.errors import InputError


class Coalitions(NamedTuple):
    """Coalitions of n players, of every pair one; the other is its complement.

    Attributes:
        sides: (P, n) bool, who plays.
        weights: (P,) of a pair in the regression.
        exact: they are all there are.
    """

    sides: Tensor
    weights: Tensor
    exact: bool

    def first(self, pairs: int) -> "Coalitions":
        """So many of them."""
        exact = self.exact and pairs == len(self.sides)
        return Coalitions(self.sides[:pairs], self.weights[:pairs], exact)


class Shares(NamedTuple):
    """What each player brings.

    Attributes:
        values: (O, n) Shapley values; they sum to what all bring together.
        errors: (O, n) standard error of drawing; 0 where every coalition was.
        r2: (O,) the part of the variance of what coalitions bring that shares explain: 1 where
            players do not interact, NaN where nothing varies.
    """

    values: Tensor
    errors: Tensor
    r2: Tensor


def kernel(players: int, size: int) -> float:
    """π of a coalition, as Lundberg and Lee 2017 weigh it.

    >>> kernel(3, 1), kernel(4, 2)
    (0.3333333333333333, 0.125)
    """
    return (players - 1) / (comb(players, size) * size * (players - size))


def coalitions(players: int, samples: int, seed: int) -> Coalitions:
    """All coalitions but none and all, if they are no more than the samples; else so many drawn.

    A size is drawn as probably as the kernel weighs all coalitions of it, then a coalition of it.

    Args:
        players: n.
        samples: coalitions, two a pair.
        seed: of the drawing.
    """
    chance = torch.Generator().manual_seed(seed)
    if 2**players - 2 <= samples:
        codes = 1 + torch.randperm(max(0, 2 ** (players - 1) - 1), generator=chance)
        sides = (codes[:, None] >> torch.arange(players)) % 2 == 1
        counts = sides.sum(1).tolist()
        weights = torch.tensor([kernel(players, k) for k in counts], dtype=torch.float64)
        return Coalitions(sides, weights, exact=True)
    k = torch.arange(1, players, dtype=torch.float64)
    pairs = samples // 2
    sizes = 1 + (1 / (k * (players - k))).multinomial(pairs, replacement=True, generator=chance)
    ranks = torch.rand(pairs, players, generator=chance, dtype=torch.float64).argsort(1).argsort(1)
    return Coalitions(ranks < sizes[:, None], torch.ones(pairs).double(), exact=False)


def shares(drawn: Coalitions, with_: Tensor, without: Tensor, total: Tensor) -> Shares:
    """Solve min Σ π (v(z) - v(∅) - φ · z)² under Σ φ = v(all) - v(∅).

    Of a pair of complements the sum says nothing of φ, and the difference gives φ · z =
    (v(z) - v(not z) + total) / 2: one regression over the pairs, whose error is that of least
    squares whose residuals may differ in size (HC2).

    Args:
        drawn: the coalitions z.
        with_: (O, P) v(z) - v(∅).
        without: (O, P) the same of their complements.
        total: (O,) v(all) - v(∅).

    Raises:
        InputError: they are too few to tell the players apart.
    """
    pairs, n = drawn.sides.shape
    equal = total[:, None] / max(n, 1)
    if n < 2:
        values = equal.expand(-1, n)
        return Shares(values, torch.zeros_like(values), torch.full_like(total, torch.nan))
    z, w = drawn.sides.double(), drawn.weights
    apart = torch.linalg.qr(torch.cat([torch.ones(n, 1), torch.eye(n)[:, 1:]], 1).double()).Q[:, 1:]
    design = z @ apart  # what shares that sum to 0 can change
    if torch.linalg.matrix_rank(design) < n - 1 or (pairs < n and not drawn.exact):
        raise InputError(
            f"KernelSHAP: {2 * pairs} coalitions do not tell {n} superpixels apart; give more "
            "samples, more max_seconds, or fewer cells"
        )
    found = (with_ - without + total[:, None]) / 2
    left = found - equal * z.sum(1)
    inverse = torch.linalg.inv(design.T @ (w[:, None] * design))
    reach = apart @ inverse @ design.T * w  # (n, P): how each pair moves each share
    values = equal + left @ reach.T
    residual = left - (values - equal) @ z.T
    leverage = ((design @ inverse) * design).sum(1) * w
    squares = residual.square() / (1 - leverage).clamp(min=1e-12)
    errors = torch.zeros_like(values) if drawn.exact else (squares @ reach.square().T).sqrt()
    both, fitted = torch.cat([with_, without], 1), torch.cat([values @ z.T, values @ (1 - z).T], 1)
    twice = torch.cat([w, w])
    mean = (twice * both).sum(1, keepdim=True) / twice.sum()
    varies = (twice * (both - mean).square()).sum(1)
    r2 = 1 - (twice * (both - fitted).square()).sum(1) / varies
    return Shares(values, errors, r2.masked_fill(varies == 0, torch.nan))
