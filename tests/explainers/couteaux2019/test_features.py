"""Features of regions by hand, and as scikit-image and spheres have them."""

from math import pi, sqrt

import numpy as np
import pytest
import torch
from skimage.measure import perimeter_crofton, regionprops

from segtrace.explainers.couteaux2019.features import Ruler, boundary_of, of_regions

ONES = Ruler.of(torch.full((4, 2), torch.nan), 2, None, hounsfield=False)


def blobs(seed, size=(30, 40)):
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = np.zeros(size, bool)
    for _ in range(3):
        centre, axes = generator.uniform(8, 22, 2), generator.uniform(3, 9, 2)
        mask |= ((rows - centre[0]) / axes[0]) ** 2 + ((columns - centre[1]) / axes[1]) ** 2 < 1
    return mask


def test_a_rectangle_by_hand():
    mask, value = torch.zeros(1, 8, 9, dtype=torch.bool), torch.zeros(1, 8, 9).double()
    mask[0, 2:4, 3:6] = True
    value[0, 2:4, 3:6] = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    found = of_regions(mask, value, ONES, slice(0, 1)).numbers
    # Lines cut it 2 · 3 times along columns, 2 · 2 along rows, and 2 · 4 along each diagonal.
    perimeter = pi / 8 * (6 + 4 + (8 + 8) / sqrt(2))
    expected = {
        "area": 6, "dice": 1, "mean": 0.35, "sd": sqrt(sum((i / 10 - 0.35) ** 2
                                                          for i in range(1, 7)) / 6),
        "compactness": 4 * pi * 6 / perimeter**2,
        "elongation": sqrt((2 / 3 + 1 / 12) / (1 / 4 + 1 / 12)), "shift": 0,
    }  # fmt: skip
    assert {name: float(one) for name, one in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_shapes_are_those_of_scikit_image(seed):
    mask = blobs(seed)
    held = torch.from_numpy(mask)[None]
    found = of_regions(held, held.double(), ONES, slice(0, 1)).numbers
    props = regionprops(mask.astype(int))[0]
    assert float(boundary_of(held, torch.ones(1, 2).double())) == pytest.approx(
        perimeter_crofton(np.pad(mask, 2), 4)
    )
    longest, shortest = props.inertia_tensor_eigvals
    assert float(found["elongation"]) == pytest.approx(
        sqrt((longest + 1 / 12) / (shortest + 1 / 12))  # which of points has no twelfth
    )
    assert float(found["area"]) == props.area


def test_millimetres_and_hounsfield_units_where_they_are_known():
    mask = torch.from_numpy(blobs(1))[None]
    value = torch.rand(1, 30, 40).double()
    spacing = torch.tensor([[0.5, 2.0]])
    ruler = Ruler.of(spacing, 2, (-160, 240), hounsfield=True)
    moved = of_regions(mask, value, ruler, slice(0, 1)).numbers
    plain = of_regions(mask, value, ONES, slice(0, 1)).numbers
    assert (ruler.size, ruler.length, ruler.value) == ("mm²", "mm", "HU")
    assert (ONES.size, ONES.length, ONES.value) == ("px", "px", "of the input")
    torch.testing.assert_close(moved["area"], plain["area"] * 1.0)
    torch.testing.assert_close(moved["mean"], 400 * plain["mean"] - 160)
    torch.testing.assert_close(moved["sd"], 400 * plain["sd"])
    start = of_regions(mask, value, ruler, slice(0, 1))
    later = of_regions(mask.roll((2, 3), (1, 2)), value, ruler, slice(0, 1), start).numbers
    assert float(later["shift"]) == pytest.approx(sqrt(1.0 + 36.0))
    # Nothing says what 0 and 1 are, or that values are HU; a spacing is not known.
    assert not Ruler.of(spacing, 2, None, hounsfield=True).hounsfield
    assert not Ruler.of(spacing, 2, (-160, 240), hounsfield=False).hounsfield
    assert not Ruler.of(spacing * torch.nan, 2, None, hounsfield=True).millimetres


def test_a_ball_is_a_ball():
    at = torch.stack(torch.meshgrid(*[torch.arange(41) - 20.0] * 3, indexing="ij"))
    ball = (at.square().sum(0) < 15**2)[None]
    ruler = Ruler.of(torch.full((1, 2), torch.nan), 3, None, hounsfield=False)
    found = of_regions(ball, ball.double(), ruler, slice(0, 1)).numbers
    assert float(found["compactness"]) == pytest.approx(1, abs=0.02)
    assert float(found["elongation"]) == pytest.approx(1)
    assert float(boundary_of(ball, torch.ones(1, 3).double())) == pytest.approx(
        4 * pi * 15**2, rel=0.02
    )
    assert ruler.size == "voxels"


def test_of_nothing_nothing_is_said():
    nothing = torch.zeros(2, 8, 9, dtype=torch.bool)
    start = of_regions(nothing, nothing.double(), ONES, slice(0, 2))
    later = of_regions(~nothing, nothing.double(), ONES, slice(0, 2), start).numbers
    assert not start.numbers["area"].any()
    undefined = {name for name, one in start.numbers.items() if one.isnan().all()}
    assert undefined == {"dice", "mean", "sd", "compactness", "elongation", "shift"}
    assert later["dice"].isnan().all()
    assert later["shift"].isnan().all()
    assert later["mean"].isfinite().all()
