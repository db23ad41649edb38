from itertools import pairwise

import numpy as np
import pytest
import torch
from monai.data.utils import dense_patch_slices
from monai.inferers import SlidingWindowInferer

from segtrace.data.volumes.windows import padded, region, windows


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("shape", [(9, 20, 4), (4, 4, 4), (13, 8, 31)])
def test_windows_are_those_of_monais_sliding_window(shape, overlap):
    patch = (4, 8, 8)
    room = tuple(max(n, size) for n, size in zip(shape, patch, strict=True))
    steps = tuple(
        size if size == n else max(1, int(size * (1 - overlap)))
        for n, size in zip(room, patch, strict=True)
    )
    theirs = [tuple(s.start for s in one) for one in dense_patch_slices(room, patch, steps)]
    assert {*windows(shape, patch, overlap)} == {*theirs}


def test_windows_cover_a_volume_and_stay_within_it():
    shape, patch = (9, 20, 4), (4, 8, 8)
    seen = np.zeros(shape, int)
    for start in windows(shape, patch, 0.5):
        seen[region(start, shape, patch)] += 1
    assert seen.min() >= 1
    starts = sorted({y for _, y, _ in windows(shape, patch, 0.5)})
    assert all(b - a <= 4 for a, b in pairwise(starts))


def test_what_is_smaller_than_a_patch_is_padded_as_monai_pads_it():
    small = np.random.default_rng(0).random((3, 5, 4)).astype(np.float32) + 1
    seen = []

    def keep(x):
        seen.append(x)
        return x

    SlidingWindowInferer((4, 8, 4))(torch.from_numpy(small)[None, None], keep)
    assert np.array_equal(seen[0][0, 0].numpy(), padded(small, (4, 8, 4)))
