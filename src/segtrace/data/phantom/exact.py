"""Arithmetic that gives the same bits on every processor, for what is generated.

Sums, products, quotients and square roots of single numbers are rounded in one way everywhere
(IEEE 754), and so is whatever numpy does element by element with them. Two things are not: a sum
whose order a BLAS kernel, a vector unit or a thread chooses, and the last bit of ``exp``, ``cos``,
``log`` or a power. Hence here

* sums run over whole multiples of a power of two, small enough that every partial sum is one as
  well: nothing is rounded on the way, so that no order and no fused product makes a difference;
* functions are made of the four operations, or taken from :mod:`decimal`, which rounds right.
"""

import math
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

STEPS = 2.0**24
"""Of a unit: what :class:`Draws` are rounded to."""
WEIGHTS = 2.0**11
"""Of one: what the weights of a filter are rounded to."""
FINE = 2.0**22
"""Of a unit: what a field and the weights of its splines are rounded to."""

_REACH = 4.0  # standard deviations after which a Gaussian counts as over


class Draws(np.random.Generator):
    """Random numbers, those of numpy's generator rounded to 2**-24.

    One normal deviate in some 4,000 is made with the C library's logarithm; of those, its last bit
    would decide the rounding of one in a hundred million.
    """

    def __init__(self, *seed: int) -> None:
        super().__init__(np.random.PCG64(np.random.SeedSequence(seed)))

    def normal(self, *args: Any, **options: Any) -> Any:
        """As numpy's."""
        return _rounded(super().normal(*args, **options))

    def uniform(self, *args: Any, **options: Any) -> Any:
        """As numpy's."""
        return _rounded(super().uniform(*args, **options))


def _rounded(values: Any) -> Any:
    near = on_grid(values, STEPS)
    return near if isinstance(values, np.ndarray) else float(near)


def on_grid(values: Any, steps: float) -> NDArray[np.float64]:
    """The nearest multiples of ``1 / steps``, a power of two; float64."""
    return np.rint(np.multiply(values, steps, dtype=np.float64)) / steps


def cosine_and_sine(degrees: float) -> tuple[float, float]:
    """Of an angle between -180 and 180 degrees, by the four operations.

    >>> cosine_and_sine(60)[0], cosine_and_sine(-90)[1]
    (0.5000000000000001, -1.0)
    """
    half = math.radians(degrees) / 2
    tangent = 1.0
    for odd in range(25, 0, -2):  # Lambert's continued fraction of the tangent, from its end
        tangent = odd - half * half / tangent
    tangent = half / tangent
    square = tangent * tangent
    return (1 - square) / (1 + square), 2 * tangent / (1 + square)


def sum_of_squares(values: Iterable[float]) -> float:
    """One after the other, which the built-in sum does not do in every Python."""
    total = 0.0
    for value in values:
        total += value * value
    return total


def deviation(values: NDArray[np.float64]) -> float:
    """Standard deviation of at most 2**18 values below 1 on the :data:`FINE` grid."""
    whole = (values * FINE).astype(np.int64)
    total, squares, n = int(whole.sum()), int(np.square(whole).sum()), whole.size
    return math.sqrt(n * squares - total * total) / n / FINE


def gaussian(sigma: float) -> NDArray[np.float64]:
    """Symmetric weights that sum to 1, each a multiple of ``1 / WEIGHTS``.

    Args:
        sigma: standard deviation, 0 or more.
    """
    radius = int(_REACH * sigma + 0.5)
    falls = [_bell(place / sigma) if sigma else 1.0 for place in range(radius + 1)]
    half = np.rint(WEIGHTS * np.array(falls[1:]) / (falls[0] + 2 * math.fsum(falls[1:])))
    return np.array([*half[::-1], WEIGHTS - 2 * math.fsum(half), *half]) / WEIGHTS


def _bell(z: float) -> float:
    with localcontext(Context()):  # whatever the caller's
        return float((-Decimal(z) * Decimal(z) / 2).exp())


def blurred(
    values: NDArray[Any], sigmas: tuple[float, ...], mode: str = "reflect"
) -> NDArray[np.float64]:
    """A Gaussian filter whose sums are exact.

    Args:
        values: multiples of a power of two: float64 tells 2**53 apart, each axis takes 2**11.
        sigmas: in elements, one an axis.
        mode: how it goes on beyond the edge; see :func:`scipy.ndimage.correlate1d`.
    """
    result = values.astype(np.float64)
    for axis, sigma in enumerate(sigmas):
        weights = gaussian(sigma)
        if len(weights) > 1:
            result = ndimage.correlate1d(result, weights, axis, mode=mode)
    return result


def interpolated(knots: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    """Cubic splines between knots, the outer of which are at the edges.

    Args:
        knots: values below 256; as many axes as ``shape``.
        shape: of the result.
    """
    field = knots
    for axis, n in enumerate(shape):
        few = field.shape[axis]
        weights = on_grid(ndimage.zoom(np.eye(few), (n / few, 1), order=3), FINE)
        # 8 + 22 bits, times 22: exact in whatever order, and only then rounded for the next axis.
        summed = np.tensordot(weights, on_grid(field, FINE), (1, axis))
        field = np.moveaxis(summed, 0, axis)
    return field
