"""How alike two maps are, beside scipy's and scikit-image's ways to say it."""

import pytest
import torch
from scipy.stats import spearmanr

from segtrace.causal.sanity.similarity import Compared, ssim


def maps(seed, size=12):
    """Signed, with ties: a third of the cells are 0."""
    by = torch.Generator().manual_seed(seed)
    values = torch.randn(2, 3, size, size, generator=by)
    return values * (torch.rand(values.shape, generator=by) > 1 / 3)


def test_ranks_are_compared_as_scipy_does():
    one, other = maps(0), maps(1) + maps(0)
    like = Compared.of(one).like(Compared.of(other))
    for at in [(0, 0), (1, 2)]:
        flat = one[at].flatten(), other[at].flatten()
        assert like["spearman"][at] == pytest.approx(spearmanr(*flat).statistic, abs=1e-12)
        absolute = spearmanr(*(values.abs() for values in flat)).statistic
        assert like["spearman_absolute"][at] == pytest.approx(absolute, abs=1e-12)
    across = Compared.of(one).across()["spearman"]
    pair = one[1, 0].flatten(), one[1, 2].flatten()
    assert across[1, 0, 2] == pytest.approx(spearmanr(*pair).statistic, abs=1e-12)


def test_numbers_by_hand():
    one = torch.tensor([[1.0, 2], [3, 4]])
    other = torch.tensor([[-1.0, -2], [-3, -4]])
    like = Compared.of(one).like(Compared.of(other))
    assert float(like["spearman"]) == pytest.approx(-1)
    assert float(like["spearman_absolute"]) == pytest.approx(1)
    assert float(like["ssim"]) != float(like["ssim"])  # two cells hold no window
    nothing = Compared.of(torch.zeros(2, 2))
    assert bool(nothing.constant)
    assert float(Compared.of(one).like(nothing)["spearman"]) == 0
    half = Compared.of(torch.tensor([[0.0, 0], [3, -4]]))
    assert float(half.like(Compared.of(torch.tensor([[0.0, 0], [-1, 5]])))["support"]) == 1
    assert float(half.like(Compared.of(torch.tensor([[0.0, 2], [0, 1]])))["support"]) == 0
    assert float(half.like(Compared.of(one))["support"]) == 0
    assert torch.isnan(Compared.of(one).like(half)["support"])


@pytest.mark.parametrize(("size", "window"), [(20, 7), (7, 7), (6, 5), (4, 3)])
def test_structural_similarity_is_scikit_images(size, window):
    metrics = pytest.importorskip("skimage.metrics")
    one, other = (Compared.of(maps(seed, size)).shown for seed in (2, 3))
    other = (one + other) / 2
    found = ssim(one, other)
    for at in [(0, 1), (1, 0)]:
        theirs = metrics.structural_similarity(
            one[at].numpy(), other[at].numpy(), win_size=window, data_range=1.0
        )
        assert float(found[at]) == pytest.approx(theirs, abs=1e-10)
    assert torch.allclose(ssim(one, one), torch.ones(2, 3).double())
