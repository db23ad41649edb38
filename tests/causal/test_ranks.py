import pytest
import torch
from scipy import stats

from segtrace.causal.ranks import kendall, permutation_p, ranked, spearman


def numbers(n, ties, seed):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(2, n, generator=generator, dtype=torch.float64)
    return (drawn * 4).round() if ties else drawn


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 8, 20])
def test_ranks_and_correlations_equal_scipys(n, ties):
    for seed in range(5):
        one, other = numbers(n, ties, seed)
        assert ranked(one).tolist() == stats.rankdata(one).tolist()
        rho, tau = stats.spearmanr(one, other).statistic, stats.kendalltau(one, other).statistic
        assert float(spearman(one, other)) == pytest.approx(rho, abs=1e-12)
        assert float(kendall(one, other)) == pytest.approx(tau, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_rows_are_ranked_each_by_itself(ties):
    rows = torch.stack([numbers(5, ties, seed)[0] for seed in range(3)])
    assert ranked(rows).tolist() == [stats.rankdata(row).tolist() for row in rows]
    deep = torch.stack([rows, rows.flip(1)])
    assert torch.equal(ranked(deep)[0], ranked(rows))


def test_a_constant_side_has_no_correlation():
    one, constant = torch.arange(4.0), torch.ones(4)
    assert spearman(one, constant).isnan()
    assert kendall(one, constant).isnan()
    assert permutation_p(one, constant) != permutation_p(one, constant)


@pytest.mark.parametrize("ties", [False, True])
def test_the_exact_p_equals_scipys_permutation_test(ties):
    one, other = numbers(6, ties, 4)
    expected = stats.permutation_test(
        (one.numpy(),),
        lambda a: stats.spearmanr(a, other).statistic,
        permutation_type="pairings",
        alternative="greater",
        n_resamples=10**6,
    )
    assert permutation_p(one, other) == pytest.approx(expected.pvalue, abs=1e-9)


def test_the_drawn_p_comes_near_the_exact_one():
    one = torch.arange(9.0)
    other = torch.tensor([0.0, 2, 1, 4, 3, 6, 8, 5, 7])
    exact_tail = stats.spearmanr(one, other).statistic
    assert exact_tail > 0.85
    assert 0 < permutation_p(one, other) < 0.01
    assert permutation_p(one, other.flip(0)) > 0.99
    assert permutation_p(one, other, seed=3) == permutation_p(one, other, seed=3)


def test_up_to_eight_things_all_orders_are_tried_and_beyond_it_as_many_as_said():
    """The true order is one of them: of 8! = 40320, or beside 4 times 5040 that are drawn."""
    assert permutation_p(torch.arange(8.0), torch.arange(8.0)) == 1 / 40_320
    assert permutation_p(torch.arange(12.0), torch.arange(12.0)) == 1 / (4 * 5_040 + 1)


def test_things_move_together_in_all_cases():
    """Two cases that agree with each other are worth no more than the orders of their things."""
    row = torch.arange(4.0)
    assert permutation_p(row.expand(10, 4), row.expand(10, 4)) == pytest.approx(1 / 24)
