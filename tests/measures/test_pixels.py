"""The pixel measures against slow loops that follow their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segtrace.measures import pixels
from segtrace.measures.measure import MEASURES

Image = NDArray[np.float64]


def a_map(seed: int, size: tuple[int, ...]) -> tuple[Image, NDArray[np.bool_]]:
    """A small map with many ties and zeros, and an organ on it."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 5, size).astype(float)
    mask = random.random(size) > 0.6
    image.ravel()[8], mask.ravel()[9] = 7.0, True
    return image, mask


def dice_at(image: Image, mask: NDArray[np.bool_], threshold: float) -> float:
    claimed = image >= threshold
    return 2 * (claimed & mask).sum() / (claimed.sum() + mask.sum())


def slow_precision(image: Image, mask: NDArray[np.bool_]) -> float:
    """Σ (recall_n - recall_(n-1)) precision_n over falling thresholds."""
    summed, recall = 0.0, 0.0
    for threshold in np.unique(image)[::-1]:
        claimed = image >= threshold
        hits = (claimed & mask).sum()
        summed += (hits / mask.sum() - recall) * hits / claimed.sum()
        recall = hits / mask.sum()
    return summed


def slow_rank(image: Image, mask: NDArray[np.bool_]) -> float:
    k = mask.sum()
    first = np.argsort(-image.ravel(), kind="stable")[:k]
    return mask.ravel()[first].mean()


def slow_centre(weights: Image | NDArray[np.bool_]) -> list[float]:
    places = [(place, float(weights[place])) for place in np.ndindex(*weights.shape)]
    whole = sum(weight for _, weight in places)
    return [sum(place[axis] * weight for place, weight in places) / whole
            for axis in range(weights.ndim)]  # fmt: skip


def slow_gini(image: Image) -> float:
    values = image.ravel() / image.sum()
    differences = sum(abs(a - b) for a in values for b in values)
    return differences / (2 * values.size)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([(5, 6), (3, 4, 5)]))
def test_every_measure_equals_its_definition(seed: int, size: tuple[int, ...]) -> None:
    image, mask = a_map(seed, size)
    mm = np.array([0.7, 1.5, 4.0])[: len(size)]
    one = pixels.ImageMap(image, mask, mm)
    found = {measure.name: measure.of(one) for measure in MEASURES if measure.each == "image"}
    assert found["average_precision"] == pytest.approx(slow_precision(image, mask))
    assert found["relevance_rank_accuracy"] == pytest.approx(slow_rank(image, mask))
    assert found["best_dice"] == max(dice_at(image, mask, t) for t in np.unique(image))
    assert dice_at(image, mask, found["best_threshold"]) == found["best_dice"]
    assert found["gini"] == pytest.approx(slow_gini(image))
    top = np.argwhere(image == image.max())
    assert found["pointing_game"] == float(any(mask[tuple(place)] for place in top))
    away = [a - b for a, b in zip(slow_centre(image), slow_centre(mask), strict=True)]
    assert found["centre_distance_mm"] == pytest.approx(math.hypot(*(mm * away)))
    entropy = -sum(v * math.log(v) for v in image.ravel() / image.sum() if v > 0)
    assert found["effective_area"] == pytest.approx(math.exp(entropy) / image.size)


def test_one_pixel_is_the_smallest_effective_area_and_the_largest_gini() -> None:
    image = np.zeros((4, 5))
    image[1, 1] = 3.0
    assert pixels.effective_area(image) == pytest.approx(1 / 20)
    assert pixels.gini(np.sort(image, axis=None)) == pytest.approx(1 - 1 / 20)


def test_a_delta_three_rows_and_four_columns_off_is_that_many_millimetres_away() -> None:
    image, mask = np.zeros((9, 9)), np.zeros((9, 9), dtype=bool)
    image[1, 2], mask[4, 6] = 1.0, True
    assert pixels.centre_distance(image, mask, np.array([2.0, 0.5])) == math.hypot(6, 2)


def test_a_tie_for_the_largest_pixel_is_a_hit_if_one_of_them_lies_on_the_organ() -> None:
    image, mask = np.array([[2.0, 2.0, 0.0]]), np.array([[False, True, False]])
    assert pixels.pointing_game(image, mask) == 1
    assert pixels.rank_accuracy(image, mask, np.sort(image, axis=None)) == 0  # reading order
