"""Stitched maps against a slow loop over windows and voxels in float64."""

from itertools import product

import pytest
import torch

from segtrace.attribution.sliding.stitching import Stitched, cells_of
from segtrace.attribution.sliding.windows import Windows


def slow(windows, maps, cells, fine):
    """One map: of every part of every voxel the cells of window and image that it is in.

    ``fine``: parts along each axis, so that no cell ends within one.
    """
    image, size = windows.image, windows.size
    grid = [cells_of(*one) for one in zip(image, size, cells, strict=True)]
    total, count = torch.zeros(2, *grid, dtype=torch.float64)
    for start, own in zip(windows.starts, maps, strict=True):
        for parts in product(*(range(side * fine) for side in size)):
            voxel = [at // fine for at in parts]
            place = [(at + 0.5) / fine + first for at, first in zip(parts, start, strict=True)]
            if not all(0 <= at < side for at, side in zip(place, image, strict=True)):
                continue
            of = tuple(int(at * n / side) for at, n, side in zip(place, grid, image, strict=True))
            cell = tuple(int((at + 0.5) * n / (side * fine))
                         for at, n, side in zip(parts, cells, size, strict=True))  # fmt: skip
            weight = float(windows.weights[tuple(voxel)])
            total[of] += weight * float(own[cell])
            count[of] += weight
    return total / count


@pytest.mark.parametrize(
    ("image", "size", "starts", "cells", "fine"),
    [
        ((10, 7), (4, 4), [(0, 0), (3, 0), (6, 0), (0, 3), (3, 3), (6, 3)], (4, 4), 1),
        ((10, 7), (4, 4), [(0, 0), (3, 0), (6, 0), (0, 3), (3, 3), (6, 3)], (2, 1), 2),
        ((9, 6), (6, 6), [(0, 0), (3, 0)], (4, 3), 2),  # cells of 3/2 voxels
        ((10, 3), (8, 4), [(0, -1), (2, -1)], (6, 2), 12),  # of 4/3; padded for
        ((6, 5, 6), (4, 4, 4), list(product((0, 2), (0, 1), (0, 2))), (2, 2, 2), 2),
    ],
)
def test_a_cell_is_the_mean_over_its_voxels_and_the_windows_that_see_them(
    image, size, starts, cells, fine
):
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(size, generator=generator, dtype=torch.float64) + 0.1
    windows = Windows(image, tuple(starts), weights)
    maps = torch.randn(len(starts), 2, *cells, generator=generator, dtype=torch.float64)
    stitched = Stitched(windows, {"a": cells}, (2,), torch.float64)
    for start, own in zip(starts, maps, strict=True):
        stitched.add(start, {"a": own})
    found = stitched.maps()["a"]
    for n in range(2):
        torch.testing.assert_close(
            found[n], slow(windows, maps[:, n], cells, fine), rtol=1e-9, atol=1e-9
        )


def test_a_window_without_evidence_counts_with_zeros():
    windows = Windows((6,), ((0,), (2,)), torch.ones(4))
    stitched = Stitched(windows, {"a": (4,)}, ())
    stitched.add((0,), {"a": torch.tensor([1.0, 2.0, 3.0, 4.0])})
    stitched.add((2,), None)
    assert stitched.maps()["a"].tolist() == [1, 2, 1.5, 2, 0, 0]


def test_what_lies_beyond_the_image_is_padded_and_weighs_nothing():
    windows = Windows((3, 4), ((-1, 0),), torch.ones(5, 4), value=7.0)
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    found = windows.of(x, (-1, 0))
    assert (found[0, 0, 0] == 7).all()
    assert (found[0, 0, 4] == 7).all()
    assert torch.equal(found[0, 0, 1:4], x[0, 0])
    mirrored = Windows((3, 4), ((-1, 0),), torch.ones(5, 4), "reflect").of(x, (-1, 0))
    assert torch.equal(mirrored[0, 0, 0], x[0, 0, 1])
