"""Sparse weights say the same as whole tensors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segtrace.attribution import targets
from segtrace.attribution.weights import Weights


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.sets(st.integers(0, 4)))
def test_planes_say_what_the_dense_tensor_says(seed, slices, used):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(slices, 5, 3, 4, generator=generator).double()
    dense = torch.zeros_like(logits)
    for channel in used:
        dense[:, channel] = torch.randint(1, 4, (slices, 3, 4), generator=generator)
    weights = Weights.of(dense)
    assert set(weights.planes) == used
    torch.testing.assert_close(weights.dense(logits), dense)
    torch.testing.assert_close(weights.score(logits), (dense * logits).flatten(1).sum(1))
    assert weights.pixels(logits).tolist() == (dense != 0).any(1).flatten(1).sum(1).tolist()
    torch.testing.assert_close(weights[1:].dense(logits[1:]), dense[1:])


def test_a_margin_against_itself_weighs_nothing():
    logits = torch.randn(2, 3, 4, 4)
    weights = targets.margin(1, 1, "all").weights(logits)
    assert weights.pixels(logits).tolist() == [0, 0]
    assert weights.score(logits).tolist() == [0, 0]


@pytest.mark.parametrize("region", ["pred", "all"])
def test_an_organ_holds_one_plane(region):
    logits = torch.randn(2, 9, 4, 4)
    target = targets.organ(3, region)
    weights = target.weights(logits)
    assert list(weights.planes) == [3]
    assert torch.equal(target(logits), weights.dense(logits))
