"""Change between maps against the numbers by hand, scipy, and what must hold for any pair."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import kendalltau, rankdata, spearmanr
from torch import Tensor
from torch.nn.functional import interpolate

from measures.flows import flow_of
from segtrace.errors import InputError
from segtrace.measures.change import (
    average_ranks,
    between_epochs,
    between_stages,
    contrast,
    refinement,
)

BY_HAND = torch.tensor([[0, 0, 1, 0], [0, 4, 3, 0], [0, 2, 0, 0], [0, 0, 0, 2]]).double()
OTHER = torch.tensor([[0, 0, 1, 0], [0, 3, 4, 0], [0, 2, 0, 0], [0, 0, 0, 0]]).double()
STAGES = ("enc1", "enc2", "dec1", "dec2", "dec3", "head")


def compare(one: Tensor, other: Tensor) -> dict[str, float]:
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    flows = [flow_of({"head": image[None, None, None]}, mask) for image in (one, other)]
    return {name: value.item() for name, value in between_epochs(*flows, size=(4, 4)).items()}


def test_the_numbers_by_hand_come_out() -> None:
    found = compare(BY_HAND, OTHER)
    assert round(found["spearman"], 6) == 0.873583
    assert round(found["jensen_shannon_divergence"], 6) == 0.098206


def test_equal_maps_and_disjoint_maps_are_the_ends_of_the_scale() -> None:
    same = compare(BY_HAND, 7 * BY_HAND)
    assert same["jensen_shannon_divergence"] == pytest.approx(0, abs=1e-12)
    assert same["spearman"] == pytest.approx(1)
    disjoint = compare(BY_HAND, (BY_HAND == 0).double())
    assert disjoint["jensen_shannon_divergence"] == pytest.approx(1)
    assert disjoint["spearman_support"] < 0


def test_maps_are_compared_on_the_predictions_grid_where_none_is_given() -> None:
    """Slices that are no squares: twice as wide as high."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(1, 1, 6, 12, dtype=torch.bool)
    maps = {"enc1": torch.rand(1, 1, 1, 3, 6, generator=generator).double(),
            "head": torch.rand(1, 1, 1, 6, 12, generator=generator).double()}  # fmt: skip
    one, other = flow_of(maps, mask), flow_of({s: m.sqrt() for s, m in maps.items()}, mask)
    for compared in (lambda **size: between_stages(one, **size),
                     lambda **size: between_epochs(one, other, **size)):  # fmt: skip
        default, given_ = compared(), compared(size=(6, 12))
        for name, values in default.items():
            assert values.identical(given_[name])
        assert (
            default["jensen_shannon_divergence"]
            != compared(size=(6, 6))["jensen_shannon_divergence"]
        ).all()


def test_a_constant_map_has_no_rank_correlation_and_a_dead_one_no_change_at_all() -> None:
    constant = compare(BY_HAND, torch.ones(4, 4).double())
    assert math.isnan(constant["spearman"])
    assert 0 < constant["jensen_shannon_divergence"] < 1
    assert all(math.isnan(value) for value in compare(BY_HAND, -BY_HAND).values())
    assert all(math.isnan(value) for value in compare(BY_HAND, BY_HAND / 0).values())


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_change_equals_scipy_s(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Integers: many ties and many zeros, common and not.
    one, other = random.integers(-3, 4, (2, 4, 4)).astype(float)
    one[0, 0], other[0, 1] = 5.0, 5.0
    p, q = np.clip(one, 0, None).ravel(), np.clip(other, 0, None).ravel()
    found = compare(torch.from_numpy(one), torch.from_numpy(other))
    assert found["jensen_shannon_divergence"] == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert found["spearman"] == pytest.approx(spearmanr(p, q).statistic)
    support = (p > 0) | (q > 0)
    if len(set(p[support])) > 1 and len(set(q[support])) > 1:
        expected = spearmanr(p[support], q[support]).statistic
        assert found["spearman_support"] == pytest.approx(expected)
    for precision in (np.float64, np.float32):
        np.testing.assert_array_equal(average_ranks(p.astype(precision)), rankdata(p))


def test_ranks_of_a_negative_zero_and_of_the_smallest_numbers_are_right() -> None:
    values = np.array([3e-39, 0.0, -0.0, 1e-45, 2.0, 1e30], dtype=np.float32)
    np.testing.assert_array_equal(average_ranks(values), rankdata(values))


def test_stages_are_compared_with_the_next_one_on_the_image_s_grid() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = {
        "enc1": torch.randn(2, 1, 2, 4, 4, generator=generator),
        "enc2": torch.randn(2, 1, 2, 2, 2, generator=generator),
        "head": torch.rand(2, 1, 2, 8, 8, generator=generator),
    }
    masks = torch.ones(1, 2, 8, 8, dtype=torch.bool)
    found = between_stages(flow_of(maps, masks))
    assert found["jensen_shannon_divergence"].shape == (2, 2, 1, 2)
    coarse = maps["enc2"][1, 0, 1].relu()[None, None]
    image = interpolate(coarse, (8, 8), mode="bilinear", align_corners=False).flatten().numpy()
    head = maps["head"][1, 0, 1].flatten().numpy()
    assert found["jensen_shannon_divergence"][1, 1, 0, 1].item() == pytest.approx(
        jensenshannon(image, head, base=2) ** 2, rel=1e-5
    )
    assert found["spearman"][1, 1, 0, 1].item() == pytest.approx(
        spearmanr(image, head).statistic, rel=1e-6
    )


def test_volumes_are_compared_on_their_own_grid_and_one_plane_as_the_slice() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = {"enc": torch.randn(1, 1, 1, 2, 3, 4, generator=generator).double(),
            "head": torch.rand(1, 1, 1, 4, 6, 8, generator=generator).double()}  # fmt: skip
    masks = torch.ones(1, 1, 4, 6, 8, dtype=torch.bool)
    found = between_stages(flow_of(maps, masks))
    coarse = maps["enc"][0].relu()
    image = interpolate(coarse, (4, 6, 8), mode="trilinear", align_corners=False).flatten().numpy()
    head = maps["head"].flatten().numpy()
    assert found["jensen_shannon_divergence"].item() == pytest.approx(
        jensenshannon(image, head, base=2) ** 2
    )
    assert found["spearman"].item() == pytest.approx(spearmanr(image, head).statistic)
    flat = {name: values[..., 0, :, :] for name, values in maps.items()}
    deep = {name: values[..., None, :, :] for name, values in flat.items()}
    one, other = (
        between_stages(flow_of(of, mask))
        for of, mask in ((flat, masks[:, :, 0]), (deep, masks[:, :, :1]))
    )
    for name, values in one.items():
        assert other[name].item() == pytest.approx(values.item(), rel=1e-12)
    with pytest.raises(InputError, match=r"size is \(4, 6\); the maps ask for \(D, H, W\)"):
        between_stages(flow_of(maps, masks), size=(4, 6))


def test_one_stage_has_no_neighbour() -> None:
    flow = flow_of({"head": BY_HAND[None, None, None]}, torch.ones(1, 1, 4, 4, dtype=torch.bool))
    assert between_stages(flow)["jensen_shannon_divergence"].shape == (0, 1, 1, 1)


def test_epochs_with_other_stages_are_refused() -> None:
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    one, other = (flow_of({s: BY_HAND[None, None, None]}, mask) for s in ("dec1", "head"))
    with pytest.raises(InputError, match=r"dec1 \(1, 1, 1\) and head \(1, 1, 1\)"):
        between_epochs(one, other)


def test_refinement_is_kendall_s_tau_of_depth_and_gain_along_the_decoder() -> None:
    gain = torch.tensor([0.9, 0.8, 0.1, 0.4, 0.3, 0.9]).double()
    expected = kendalltau(range(4), gain[2:]).statistic
    assert refinement(gain, STAGES).item() == pytest.approx(expected)
    assert refinement(gain.flip(0), STAGES[:2] + STAGES[2:]).item() < 1
    assert refinement(torch.arange(6.0), STAGES).item() == 1
    assert refinement(-torch.arange(6.0), STAGES).item() == -1


def test_refinement_leaves_out_stages_without_gain_and_needs_three() -> None:
    gain = torch.tensor([[0.0, 0.0, 0.1, math.nan, 0.3, 0.9], [0, 0, 0.1, math.nan, math.nan, 1]]).T
    found = refinement(gain, STAGES)
    assert found[0] == 1
    assert math.isnan(found[1])


def test_contrast_is_the_decoder_s_mean_gain_less_the_encoder_s() -> None:
    gain = torch.tensor([0.1, math.nan, 0.4, 0.5, 0.9, 0.0])
    assert contrast(gain, STAGES).item() == pytest.approx(0.6 - 0.1)
    gain = torch.tensor([0.1, 0.3, math.nan, 0.5, 0.9, 0.0])
    assert contrast(gain, STAGES).item() == pytest.approx(0.7 - 0.2)
