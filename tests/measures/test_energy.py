import math

import pytest
import torch

from segtrace.measures.energy import Organs, StageMaps, area, gain, ratio

STRIP = torch.tensor([[0.0, 1.0, 1.0, 0.0]]).double()


def test_the_perfect_map_of_a_coarse_grid_spreads_as_the_hand_says() -> None:
    # Two cells of two pixels: means (.5, .5), hence uniform; the organ is half of the strip.
    coarse = Organs.on(STRIP, (1, 2))
    assert coarse.perfect.tolist() == [[0.5, 0.5]]
    assert coarse.ceiling().item() == 0.5
    assert area(STRIP).item() == 0.5


def test_a_residue_over_nothing_is_no_number() -> None:
    above = torch.tensor([1e-17, -1e-17, 0.0, 3.0]).double()
    found = ratio(above, torch.tensor([0.0, 0.0, 0.0, 2.0]).double())
    assert found[:3].isnan().all()
    assert found[3] == 1.5


def test_a_gain_needs_a_ceiling_two_hundredths_above_uniform() -> None:
    mass, area_ = torch.tensor([0.3, 0.3]).double(), torch.tensor([0.3, 0.3]).double()
    found = gain(mass, area_ + torch.tensor([0.0199, 0.0201]), area_)
    assert math.isnan(found[0])
    assert found[1] == 0


def test_a_map_that_avoids_the_organ_has_a_negative_gain() -> None:
    found = gain(torch.tensor(0.0), torch.tensor(1.0), torch.tensor(0.2))
    assert found.item() == pytest.approx(-0.25)


def test_magnitudes_are_of_the_map_at_its_own_resolution() -> None:
    maps = torch.tensor([[[3.0, -1.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    masks = torch.ones(2, 4, 4)
    found = StageMaps(maps, Organs.on(masks, (2, 2)), area(masks))
    assert found.magnitude[0].item() == pytest.approx(0)  # log10 of a mean of 1
    assert found.positive_fraction[0].item() == pytest.approx(4 / 5)
    assert found.largest.tolist() == [3, 0]
    assert found.magnitude[1].item() == -12
    assert math.isnan(found.positive_fraction[1])
