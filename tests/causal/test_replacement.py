import pytest
import torch

from helpers import routes as nets
from segtrace import InputError
from segtrace.causal.replacement import donors, replacing
from segtrace.network.hooks import observe
from segtrace.network.sites import sites_of

X, _ = nets.blob(4)
NET = nets.Routed()
SITES = sites_of(NET, nets.ROUTED_STAGES, nets.ROUTED_EDGES)


def test_donors_are_other_cases_and_other_slices_where_there_is_but_one():
    cases = ["p", "p", "q", "r"]
    drawn = donors(cases, 50, seed=0)
    assert all(cases[k] != cases[n] for row in drawn.tolist() for n, k in enumerate(row))
    assert set(drawn[:, 2].tolist()) == {0, 1, 3}
    alone = donors(["p"] * 3, 50, seed=0)
    assert all(k != n for row in alone.tolist() for n, k in enumerate(row))
    assert torch.equal(drawn, donors(cases, 50, seed=0))
    assert not torch.equal(drawn, donors(cases, 50, seed=1))


def test_resampling_puts_the_donors_activation_in():
    cases = ["a", "b", "c", "d"]
    replacement = replacing(NET, SITES, X, cases, "resample", draws=3, seed=2)
    drawn = donors(cases, 3, seed=2)
    whole = observe(NET, SITES, X).activations["up_1"]
    part = slice(1, 3)
    assert torch.equal(replacement("up_1", whole[part], part, 1), whole[drawn[1, part]])


def test_zero_is_zero():
    assert not replacing(NET, SITES, X, "abcd", "zero")("enc1", X, slice(None), 0).any()


def test_mistakes_are_named():
    with pytest.raises(InputError, match="no cut 'mean'; allowed are channel_mean"):
        replacing(NET, SITES, X, "abcd", "mean")
    with pytest.raises(InputError, match="needs baselines"):
        replacing(NET, SITES, X, "abcd", "mean_map")
    with pytest.raises(InputError, match="at least 2 slices"):
        donors(["a"], 5, 0)
