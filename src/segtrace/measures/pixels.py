"""Measures of a map as a classifier or distribution of pixels, on the image's grid.

Sources: pointing game (Zhang et al. 2018), relevance rank accuracy (Arras et al. 2022), average
precision and best-threshold Dice of the map as a pixel classifier, Gini sparseness (Chalasani et
al. 2020). ``best_*`` choose their threshold knowing the answer: upper bounds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segtrace.measures.resize import resized

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Counts = NDArray[np.integer]


@dataclass(frozen=True)
class ImageMap:
    """One positive map against one organ; what several measures need is computed once.

    Attributes:
        image: (*image) U(L), not negative, somewhere positive.
        mask: (*image) the organ, not empty.
        spacing: (axes,) mm of a pixel along each axis; NaN where not known.
    """

    image: Floats
    mask: Bools
    spacing: Floats

    @cached_property
    def rising(self) -> Floats:
        """(pixels,) the values in rising order."""
        return np.sort(self.image, axis=None)

    @cached_property
    def best(self) -> tuple[float, float, float]:
        """See :func:`best_dice`."""
        return best_dice(self.image, self.mask, self.rising)


def of_images(
    maps: Mapping[str, Tensor],
    masks: Tensor,
    spacing: Tensor | None,
    measures: Sequence[Callable[[ImageMap], float]],
) -> list[Tensor]:
    """Several measures of every map, each map resized and sorted once.

    Args:
        maps: stage -> (R, O, N, *cells) signed maps.
        masks: (O, N, *image) bool.
        spacing: (N, axes) mm along each axis of the image's grid.
        measures: what gives a number of one map.

    Returns:
        (S, R, O, N) float64 a measure; NaN where the organ is absent or the map has no positive
        cell.
    """
    size = masks.shape[2:]
    organs = masks.bool().cpu().numpy()
    unknown = np.full((masks.shape[1], len(size)), np.nan)
    sides = unknown if spacing is None else spacing.double().numpy()
    by_stage = []
    for stage in maps.values():
        image = resized(stage.detach().cpu().relu(), size).numpy()
        found = np.full((*stage.shape[:3], len(measures)), np.nan)
        for r, o, n in np.ndindex(*stage.shape[:3]):
            if organs[o, n].any() and np.isfinite(image[r, o, n]).all() and image[r, o, n].any():
                one = ImageMap(image[r, o, n], organs[o, n], sides[n])
                found[r, o, n] = [measure(one) for measure in measures]
        by_stage.append(torch.from_numpy(found))
    return list(torch.stack(by_stage).unbind(-1))


def pointing_game(image: Floats, mask: Bools) -> float:
    """The pointing game (Zhang et al. 2018): 1 if a largest pixel lies on the organ, else 0.

    Without their tolerance of 15 pixels.

    Args:
        image: (*image) the map, rectified, on the image's grid.
        mask: (*image) where the organ is; not empty.
    """
    return float(image[mask].max() == image.max())


def rank_accuracy(image: Floats, mask: Bools, rising: Floats) -> float:
    """Relevance rank accuracy (Arras et al. 2022), in [0, 1]; chance: the organ's area.

    The part of the k largest pixels that lie on the organ, k its size; ties in reading order.

    Args:
        image: (*image) the map, rectified.
        mask: (*image) where the organ is; not empty.
        rising: (pixels,) all values of the map, the smallest first.
    """
    k = int(mask.sum())
    least = rising[-k]
    above = image > least
    tied = np.flatnonzero(image == least)[: k - int(above.sum())]
    return float((mask[above].sum() + mask.ravel()[tied].sum()) / k)


def _hits(image: Floats, mask: Bools, rising: Floats) -> tuple[Floats, Counts, Counts]:
    """At every value of the map on the organ, largest first: value, pixels at or above, hits."""
    values = np.sort(image[mask])
    claimed = rising.size - np.searchsorted(rising, values, "left")
    hits = values.size - np.searchsorted(values, values, "left")
    return values[::-1], claimed[::-1], hits[::-1]


def average_precision(image: Floats, mask: Bools, rising: Floats) -> float:
    """Average precision of the map as a classifier of pixels, in (0, 1]; chance: the organ's area.

    The mean over the organ's pixels of the precision of {map >= the pixel's value}: scikit-learn's
    ``average_precision_score``.

    Args:
        image: (*image) the map, rectified.
        mask: (*image) where the organ is; not empty.
        rising: (pixels,) all values of the map, the smallest first.
    """
    _, claimed, hits = _hits(image, mask, rising)
    return float((hits / claimed).mean())


def best_dice(image: Floats, mask: Bools, rising: Floats) -> tuple[float, float, float]:
    """Largest Dice of {map >= t} over all t, that t (the largest one), and its IoU.

    An upper bound: t is chosen by the truth. A map that is positive everywhere has at least
    2a / (1 + a), a the organ's area. Exact: between two values on the organ, a lower threshold
    only adds false positives.

    Args:
        image: (*image) the map, rectified.
        mask: (*image) where the organ is; not empty.
        rising: (pixels,) all values of the map, the smallest first.

    Returns:
        Dice in (0, 1], t in the map's own unit, IoU in (0, 1].
    """
    values, claimed, hits = _hits(image, mask, rising)
    dice = 2 * hits / (claimed + values.size)
    best = int(dice.argmax())
    return float(dice[best]), float(values[best]), float(dice[best] / (2 - dice[best]))


def effective_area(image: Floats) -> float:
    """exp(-Σ P ln P) / n, from 1/n (one pixel) to 1 (uniform)."""
    share = image[image > 0].astype(np.float64)
    share /= share.sum()
    return float(np.exp(-(share * np.log(share)).sum()) / image.size)


def gini(rising: Floats) -> float:
    """Σ (2i - n - 1) P_(i) / n over ascending P, from 0 (uniform) to 1 - 1/n (one pixel)."""
    n = rising.size
    weights = 2 * np.arange(1, n + 1, dtype=np.float64) - n - 1
    return float((weights * rising).sum() / (n * rising.sum(dtype=np.float64)))


def centre(weights: Floats | Bools) -> Floats:
    """Centre of mass (axes,) of an image, in pixels along each axis."""
    axes = range(weights.ndim)
    along = [weights.sum(tuple(other for other in axes if other != axis), dtype=np.float64)
             for axis in axes]  # fmt: skip
    return np.array([np.arange(sums.size) @ sums for sums in along]) / along[0].sum()


def centre_distance(image: Floats, mask: Bools, spacing: Floats) -> float:
    """Distance of the map's centre of mass from the organ's, in mm, from 0.

    Args:
        image: (*image) the map, rectified.
        mask: (*image) where the organ is; not empty.
        spacing: (axes,) mm of a pixel along each axis; NaN where unknown, and so is the distance.
    """
    return float(np.linalg.norm(spacing * (centre(image) - centre(mask))))
