"""Agreement of two rankings: Spearman's ρ, Kendall's τ-b, and ρ's p by permutation."""

from collections.abc import Iterator
from itertools import permutations

import torch
from torch import Tensor

EXACT = 8
"""Up to this many things all orders are tried (8! = 40320); beyond it, :data:`DRAWS` by chance."""
DRAWS = 20_000
CHUNK = 5_040


def ranked(values: Tensor) -> Tensor:
    """Ranks 1 … n along the last axis, equal values sharing the mean of theirs."""
    below = (values[..., None, :] < values[..., :, None]).sum(-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(-1)
    return below.double() + (equal + 1) / 2


def spearman(one: Tensor, other: Tensor) -> Tensor:
    """Spearman's ρ over the last axis, in [-1, 1]; NaN where one side is constant.

    >>> float(spearman(torch.tensor([1.0, 2, 3]), torch.tensor([10.0, 30, 20])))
    0.5
    """
    a, b = ranked(one), ranked(other)
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (a * b).sum(-1) / (a.square().sum(-1) * b.square().sum(-1)).sqrt()


def kendall(one: Tensor, other: Tensor) -> Tensor:
    """Kendall's τ-b over the last axis, in [-1, 1]; NaN where one side is constant."""
    a, b = (_signs(values) for values in (one, other))
    pairs = (a.square().sum((-2, -1)) * b.square().sum((-2, -1))).sqrt()
    return (a * b).sum((-2, -1)) / pairs


def _signs(values: Tensor) -> Tensor:
    return (values[..., :, None] - values[..., None, :]).double().sign()


def permutation_p(one: Tensor, other: Tensor, seed: int = 0) -> float:
    """P of a mean ρ at least as large if the things of one ranking were exchanged at random.

    One-sided: a ranking that is upside down predicts nothing.

    Args:
        one: (…, n) predictors, a row a case.
        other: (…, n) what is predicted; in every row the same order of things is tried.
        seed: of the draws, where not all orders are tried.

    Returns:
        Share of the orders, the true one among them; NaN where ρ is undefined.
    """
    a, b = (_centred(values) for values in (one, other))
    defined = (a.abs().sum(-1) > 0) & (b.abs().sum(-1) > 0)
    if not defined.any():
        return float("nan")
    a, b = a[defined], b[defined]
    observed = (a * b).sum(-1).mean()
    found = torch.cat([(a[:, orders] * b[:, None]).sum(-1).mean(0) for orders in _orders(a, seed)])
    as_large = int((found >= observed - 1e-12).sum())
    exact = a.shape[-1] <= EXACT
    return as_large / len(found) if exact else (as_large + 1) / (len(found) + 1)


def _centred(values: Tensor) -> Tensor:
    """(rows, n) ranks of mean 0 and length 1; 0 where they are all equal."""
    ranks = ranked(values).reshape(-1, values.shape[-1])
    ranks = ranks - ranks.mean(-1, keepdim=True)
    return torch.nn.functional.normalize(ranks, dim=-1)


def _orders(like: Tensor, seed: int) -> Iterator[Tensor]:
    """Orders of n things, (chunk, n) at a time."""
    n = like.shape[-1]
    if n <= EXACT:
        yield from torch.tensor(list(permutations(range(n)))).split(CHUNK)
        return
    generator = torch.Generator().manual_seed(seed)
    for _ in range(DRAWS // CHUNK + 1):
        yield torch.rand(CHUNK, n, generator=generator).argsort(1)
