"""Rank correlations row by row, and the p of a mean of them, against loops."""

import math
from itertools import permutations

import pytest
import torch
from scipy import stats

from segtrace.causal.faithfulness.agreement import by_row, permutation_p


def numbers(n, ties, seed):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(2, n, generator=generator, dtype=torch.float64)
    return (drawn * 4).round() if ties else drawn


def slow_rho(one, other):
    """Pearson's correlation of ranks that are counted one by one, ties sharing their mean."""
    ranks = [[sum(b < a for b in row) + (sum(b == a for b in row) + 1) / 2 for a in row]
             for row in (one.tolist(), other.tolist())]  # fmt: skip
    return float(torch.corrcoef(torch.tensor(ranks, dtype=torch.float64))[0, 1])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 8, 20])
def test_every_row_is_correlated_by_itself(n, ties):
    rows = torch.stack([numbers(n, ties, seed) for seed in range(5)])
    found = by_row(stats.spearmanr, rows[:, 0], rows[:, 1])
    assert found.tolist() == pytest.approx([slow_rho(*pair) for pair in rows], abs=1e-12)


def test_a_constant_side_has_no_correlation():
    rows = torch.stack([torch.arange(4.0), torch.ones(4)])
    rising = torch.arange(4.0).expand(2, 4)
    for correlation in (stats.spearmanr, stats.kendalltau):
        assert by_row(correlation, rising, rows)[0] == 1
        assert by_row(correlation, rising, rows)[1].isnan()
    assert math.isnan(permutation_p(rising[1:], rows[1:]))
    assert permutation_p(rising, rows) == pytest.approx(1 / 24)  # the other row alone


@pytest.mark.parametrize("ties", [False, True])
def test_the_exact_p_equals_a_loop_over_all_orders(ties):
    rows = [numbers(5, ties, seed) for seed in (4, 5, 6)]
    means = [
        sum(slow_rho(one[list(order)], other) for one, other in rows) / 3
        for order in permutations(range(5))
    ]
    share = sum(mean >= means[0] - 1e-12 for mean in means) / len(means)
    one, other = (torch.stack(side) for side in zip(*rows, strict=True))
    assert permutation_p(one, other) == pytest.approx(share, abs=1e-9)


def test_the_drawn_p_comes_near_the_exact_one():
    one = torch.arange(9.0)[None]
    other = torch.tensor([[0.0, 2, 1, 4, 3, 6, 8, 5, 7]])
    assert 0 < permutation_p(one, other) < 0.01
    assert permutation_p(one, other.flip(1)) > 0.99
    assert permutation_p(one, other, seed=3) == permutation_p(one, other, seed=3)


def test_up_to_eight_things_all_orders_are_tried_and_beyond_it_as_many_by_chance():
    """The true order is one of them: of 8! = 40320, or beside as many that are drawn."""
    eight, twelve = torch.arange(8.0)[None], torch.arange(12.0)[None]
    assert permutation_p(eight, eight) == 1 / 40_320
    assert permutation_p(twelve, twelve) == 1 / 40_321


def test_things_move_together_in_all_cases():
    """Two cases that agree with each other are worth no more than the orders of their things."""
    row = torch.arange(4.0)
    assert permutation_p(row.expand(10, 4), row.expand(10, 4)) == pytest.approx(1 / 24)
