"""Shapley values against their definition, by hand and over all orders, and their error."""

from itertools import chain, combinations, permutations
from math import factorial

import pytest
import torch

from segtrace import InputError
from segtrace.explainers.dardouillet2022.kernel_shap import LEAST
from segtrace.explainers.dardouillet2022.shapley import coalitions, kernel, shares


def solved(game, n, samples, seed=0):
    """Shares of a game (bool (n,) -> float) by coalitions."""
    drawn = coalitions(n, samples, seed)
    none, everyone = torch.zeros(n, dtype=torch.bool), torch.ones(n, dtype=torch.bool)
    both = [torch.tensor([game(z) - game(none) for z in side], dtype=torch.float64)[None]
            for side in (drawn.sides, ~drawn.sides)]  # fmt: skip
    return shares(drawn, *both, torch.tensor([game(everyone) - game(none)], dtype=torch.float64))


def over_orders(game, n):
    """The definition: what each player adds, averaged over all orders."""
    found = torch.zeros(n).double()
    for order in permutations(range(n)):
        here = torch.zeros(n, dtype=torch.bool)
        for player in order:
            before = game(here)
            here[player] = True
            found[player] += game(here) - before
    return found / factorial(n)


def pairwise(seed, n):
    """A game in which players interact: two by two, and some three by three."""
    chance = torch.Generator().manual_seed(seed)
    matrix = torch.randn(n, n, generator=chance).double()

    def game(z):
        own = z.double()
        return float(own @ matrix @ own + 3 * own[0] * own[1] * own[2])

    return game


def test_the_glove_game_by_hand():
    def game(z):  # one left glove, two right ones: a pair is worth 1
        return float(z[0] and (z[1] or z[2]))

    found = solved(game, 3, 6)
    torch.testing.assert_close(found.values[0], torch.tensor([4, 1, 1]).double() / 6)
    assert not found.errors.any()
    assert float(found.r2) == pytest.approx(0.5)  # 1 - (24 / 36) / (4 / 3)


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_all_coalitions_give_the_definition(n):
    game = pairwise(1, max(n, 3)) if n > 2 else (lambda z: float(z[0]) * 2 + float(z[0] & z[1]))
    found = solved(game, n, 2**n)
    torch.testing.assert_close(found.values[0], over_orders(game, n))
    assert not found.errors.any()


def test_all_coalitions_are_each_there_once():
    drawn = coalitions(4, 14, seed=3)
    there = {tuple(z.tolist()) for z in torch.cat([drawn.sides, ~drawn.sides])}
    assert drawn.exact
    assert len(there) == 14
    sizes = chain(*(combinations(range(4), k) for k in (1, 2, 3)))
    assert {tuple(i for i, on in enumerate(z) if on) for z in there} == set(sizes)
    expected = [kernel(4, int(z.sum())) for z in drawn.sides]
    assert drawn.weights.tolist() == pytest.approx(expected)


def test_sizes_are_drawn_as_the_kernel_weighs_them():
    drawn = coalitions(30, 40_000, seed=0)
    sizes = drawn.sides.sum(1)
    k = torch.arange(1, 30).double()
    expected = (1 / (k * (30 - k))) / (1 / (k * (30 - k))).sum()
    seen = sizes.bincount(minlength=30)[1:].double() / len(sizes)
    assert float((seen - expected).abs().max()) < 0.01
    assert float((drawn.sides.double().mean(0) - 0.5).abs().max()) < 0.02


def test_additive_games_are_exact_from_few_coalitions():
    value = torch.linspace(-2, 5, 20, dtype=torch.float64)
    found = solved(lambda z: 7 + float(value[z].sum()), 20, 60)
    torch.testing.assert_close(found.values[0], value)
    assert float(found.errors.max()) < 1e-9
    assert float(found.r2) == pytest.approx(1)


@pytest.mark.parametrize("samples", [30, 60, 400])
def test_shares_sum_to_the_whole_however_few_are_drawn(samples):
    game = pairwise(2, 12)
    found = solved(game, 12, samples)
    whole = game(torch.ones(12, dtype=torch.bool)) - game(torch.zeros(12, dtype=torch.bool))
    assert float(found.values.sum()) == pytest.approx(whole)


def test_drawn_shares_lie_within_their_error_and_the_error_is_what_seeds_differ_by():
    game = pairwise(3, 10)
    exact = solved(game, 10, 2**10).values[0]
    runs = [solved(game, 10, 50, seed) for seed in range(300)]
    values = torch.stack([one.values[0] for one in runs])
    said = torch.stack([one.errors[0] for one in runs]).square().mean().sqrt()
    assert 0.85 < float(said / values.var(0).mean().sqrt()) < 1.15
    bias = (values.mean(0) - exact) / values.std(0)
    assert float(bias.abs().max()) < 0.3


def test_two_errors_of_the_fewest_coalitions_hold_the_share_in_nine_of_ten_games():
    inside = []
    for seed in range(200):
        w = torch.randn(9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        exact = solved(game := lambda z, w=w: float(w[z].sum().relu()), 9, 2**9).values[0]
        found = solved(game, 9, LEAST * 9, 1000 + seed)
        inside += ((found.values[0] - exact).abs() <= 2 * found.errors[0]).tolist()
    assert 0.88 < sum(inside) / len(inside) < 0.99


def test_too_few_coalitions_are_one_line():
    drawn = coalitions(10, 8, seed=0)
    some = torch.zeros(1, 4).double()
    with pytest.raises(
        InputError, match="8 coalitions do not tell 10 superpixels apart; give more"
    ):
        shares(drawn, some, some, torch.zeros(1).double())


@pytest.mark.parametrize("n", [0, 1])
def test_nobody_and_one_alone(n):
    drawn = coalitions(n, 10, seed=0)
    none = torch.zeros(2, 0).double()
    found = shares(drawn, none, none, torch.tensor([3.0, -1.0]).double())
    assert found.values.tolist() == [[3.0] * n, [-1.0] * n]


def test_what_is_not_a_number_stays_with_its_organ():
    drawn = coalitions(4, 14, seed=0)
    some = torch.rand(2, 7, dtype=torch.float64)
    some[1, 3] = torch.nan
    found = shares(drawn, some, torch.zeros(2, 7).double(), torch.ones(2).double())
    assert found.values[0].isfinite().all()
    assert found.values[1].isnan().all()
