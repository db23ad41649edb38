import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, interpolate

from segtrace.measures.resize import adjoint, area_matrix, inner, pooled, resized, total

SIDE = st.integers(1, 12)
MODES = {2: "bilinear", 3: "trilinear"}
ON_IMAGE = st.integers(2, 3).flatmap(lambda axes: st.tuples(*[st.tuples(*[SIDE] * axes)] * 2))
"""Cells and pixels along each axis of slices and volumes."""


@settings(max_examples=60, deadline=None)
@given(sides=ON_IMAGE)
def test_resizing_is_torch_s_linear_and_its_adjoint_takes_the_same_sums(
    sides: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    (grid, size), axes = sides, len(sides[0])
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 3, *grid, generator=generator, dtype=torch.float64)
    mask = torch.rand(3, *size, generator=generator, dtype=torch.float64)
    truth = interpolate(maps, size, mode=MODES[axes], align_corners=False)
    torch.testing.assert_close(resized(maps, size), truth)
    found = inner(maps, adjoint(mask, grid), axes)
    torch.testing.assert_close(found, (truth * mask).flatten(2).sum(-1))
    torch.testing.assert_close(total(maps, axes), maps.flatten(2).sum(-1))


@pytest.mark.parametrize("dims", [1, 3])
def test_pooling_a_line_or_a_volume_is_average_pooling(dims: int) -> None:
    mask = torch.rand(2, *[8] * dims, generator=torch.Generator().manual_seed(0)).double()
    pool = {1: avg_pool1d, 3: avg_pool3d}[dims]
    torch.testing.assert_close(pooled(mask, (4,) * dims), pool(mask[:, None], 2)[:, 0])


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_pooling_over_whole_pixels_is_average_pooling(stride: int) -> None:
    mask = (torch.arange(64.0).view(1, 8, 8) % 3 == 0).double()
    grid = (8 // stride, 8 // stride)
    torch.testing.assert_close(pooled(mask, grid), avg_pool2d(mask, stride))


def test_a_pixel_under_two_cells_is_shared_by_area() -> None:
    expected = torch.tensor([[2, 1, 0], [0, 1, 2]]).double() / 3
    torch.testing.assert_close(area_matrix(2, 3), expected)


@settings(max_examples=20, deadline=None)
@given(sides=ON_IMAGE)
def test_pooling_keeps_the_mean(sides: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    grid, size = sides
    mask = torch.rand(*size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(pooled(mask, grid).mean(), mask.mean())


def test_a_uniform_map_stays_uniform() -> None:
    torch.testing.assert_close(resized(torch.ones(1, 3, 5), (17, 11)), torch.ones(1, 17, 11))
