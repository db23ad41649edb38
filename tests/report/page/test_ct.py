from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.pages import COLUMNS, ROWS, original, scene, unpacked
from segtrace.report.page.ct import ct
from segtrace.report.page.page_epoch import body

WINDOW = (-125.0, 275.0)


def hounsfield(told, n):
    """(box, HU) of a slice, as a reader finds them."""
    held = told["slices"][n]
    low, high = unpacked(held["levels"], "u1", 2, *held["box"][2:]).astype(int)
    return held["box"], told["zero"] + (low + 256 * high) * told["step"]


@pytest.fixture
def place():
    return scene()


@pytest.mark.parametrize("window", [WINDOW, (0.0, 1.0), (-1000.0, 120_000.0)])
def test_the_networks_input_reads_back_to_half_a_level(place, window):
    told = ct(place, body(place.image), window)
    assert not told["original"]
    assert told["clipped"]
    for n in range(3):
        (top, left, height, width), found = hounsfield(told, n)
        assert told["slices"][n]["grid"] == (ROWS, COLUMNS)
        exact = window[0] + (window[1] - window[0]) * place.image[n, 0].double().numpy()
        exact = exact[top : top + height, left : left + width]
        np.testing.assert_allclose(found, exact, atol=0.501 * told["step"])


def test_originals_are_held_to_the_unit_each_at_its_own_resolution(place):
    originals = (original(3), original(2), original(1))
    told = ct(replace(place, originals=originals), body(place.image), WINDOW)
    assert told["original"]
    assert not told["clipped"]
    for n, hu in enumerate(originals):
        (top, left, height, width), found = hounsfield(told, n)
        assert told["slices"][n]["grid"] == tuple(hu.shape)
        expected = hu[top : top + height, left : left + width]
        np.testing.assert_array_equal(found, expected.numpy())
        assert found.max() == 1500  # the bone is within the crop


def test_files_that_were_windowed_already_are_told_apart(place):
    windowed = tuple(hu.clip(-125, 275) for hu in (original(3), original(2), original(1)))
    told = ct(replace(place, originals=windowed), body(place.image), WINDOW)
    assert told["clipped"]
    assert hounsfield(told, 0)[1].max() == 275


def test_an_image_that_is_not_finite_is_black_there(place):
    place.image[0, 0, 50, 64] = torch.nan
    (top, left, _, _), found = hounsfield(ct(place, body(place.image), WINDOW), 0)
    assert found[50 - top, 64 - left] == WINDOW[0]
