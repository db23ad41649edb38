"""Measures that are sums over a map: how much of it lies on the organ, and how large it is."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from segtrace.attribution.rules import pieces
from segtrace.measures.resize import Grid, adjoint, inner, pooled, total, total_of_sizes

GAIN_ROOM = 0.02
"""``gain`` needs a perfect map that beats the uniform one by this much of the map."""

FLOOR = 1e-12
"""Added under the logarithms: a magnitude of -12 says that nothing was there."""


def nan_where(where: Tensor, values: Tensor) -> Tensor:
    """The values, NaN where they are not defined."""
    return values.masked_fill(where, torch.nan)


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """Above / below; NaN where nothing is below, whatever rounding has left above."""
    return nan_where(below == 0, above / below)


def area(masks: Tensor, axes: int = 2) -> Tensor:
    """Part of the image under a mask, (…, *image) -> (…) float64: the mass of a uniform map.

    NaN where the mask is empty.

    Args:
        masks: of 0 and 1.
        axes: of the image: the last ones.
    """
    part = total(masks, axes) / masks.shape[-axes:].numel()
    return nan_where(part == 0, part)


@dataclass(frozen=True)
class Organs:
    """Masks as one grid sees them, for sums over maps of that grid without resizing them.

    Attributes:
        weights: (…, *cells) Uᵀ(m), see :mod:`segtrace.measures.resize`.
        everywhere: (*cells) Uᵀ(1).
        present: (…) bool, the mask is not empty.
        perfect: (…, *cells) the mask averaged over each cell, the best map this grid can show.
    """

    weights: Tensor
    everywhere: Tensor
    present: Tensor
    perfect: Tensor

    @classmethod
    def on(cls, masks: Tensor, grid: Grid) -> "Organs":
        """Masks (…, *image) of 0 and 1, in the dtype of the maps, as a grid sees them."""
        axes = len(grid)
        return cls(
            weights=adjoint(masks, grid),
            everywhere=adjoint(masks.new_ones(masks.shape[-axes:]), grid),
            present=masks.flatten(-axes).any(-1),
            perfect=pooled(masks, grid),
        )

    @property
    def axes(self) -> int:
        """How many the grid has."""
        return self.everywhere.ndim

    def mass(self, maps: Tensor) -> Tensor:
        """Part of the positive map that lies on the mask, in [0, 1] (energy-based pointing game).

        mass = Σ_m U(L) / Σ U(L), L = ReLU(map).

        Args:
            maps: (…, *cells) signed maps; leading axes broadcast against those of the masks.

        Returns:
            (…) float64; NaN where the mask is empty or no cell is positive.
        """
        return self.mass_of_positive(maps.relu())

    def mass_of_positive(self, positive: Tensor) -> Tensor:
        """The same of L = ReLU(map), where that is at hand."""
        whole = inner(positive, self.everywhere, self.axes)
        share = ratio(inner(positive, self.weights, self.axes), whole)
        return nan_where(~self.present, share)

    def highest(self) -> Tensor:
        """The largest mass of any map, (…) float64: that of the cell most inside the mask."""
        shares = [
            (on.double() / all_.double().clamp(min=1e-12)).flatten(-self.axes).amax(-1)
            for on, all_ in pieces(self.axes, self.weights, self.everywhere)
        ]
        return nan_where(~self.present, torch.stack(shares).amax(0))

    def ceiling(self) -> Tensor:
        """Mass of the perfect map, (…) float64: 1 at full resolution, NaN for an empty mask."""
        return self.mass(self.perfect)


def gain(mass: Tensor, ceiling: Tensor, area: Tensor) -> Tensor:
    """(mass - area) / (ceiling - area): 0 is uniform, 1 as much as the organ's own mask.

    Mass is the relevance mass accuracy of Arras et al. 2022. It rises with resolution alone, and
    with the organ's size, which this takes off: numbers compare between stages and between organs.
    Below 0 the map avoids the organ. Single cells can exceed the mask averaged over cells, so more
    than 1 is possible.

    Args:
        mass: (…) share of the positive evidence that lies on the organ, in [0, 1].
        ceiling: (…) mass of the organ's own mask averaged over the stage's cells, in [0, 1].
        area: (…) share of the image that is the organ's, in [0, 1]: mass of a uniform map.

    Returns:
        (…), NaN where ceiling - area < 0.02: such a grid can say nothing of such an organ.
    """
    room = ceiling - area
    return nan_where(room < GAIN_ROOM, (mass - area) / room)


@dataclass(frozen=True)
class StageMaps:
    """The maps of one stage against the organs; what several measures need is computed once.

    Attributes:
        maps: (R, O, N, *cells) signed.
        organs: the masks (O, N, …) as the stage's grid sees them.
        part: (O, N) part of the image under each mask.
        body: (N, …) the patient's body as the stage's grid sees it; ``None`` where not known.
    """

    maps: Tensor
    organs: Organs
    part: Tensor
    body: Organs | None = None

    @cached_property
    def mass(self) -> Tensor:
        """See :meth:`Organs.mass`; as all that follow (R, O, N) float64."""
        return self.organs.mass_of_positive(self.positive)

    @cached_property
    def ceiling(self) -> Tensor:
        """Mass of the best map that the grid can show."""
        return self.organs.ceiling().expand_as(self.mass)

    @property
    def ceiling_max(self) -> Tensor:
        """The largest mass of any map of the grid."""
        return self.organs.highest().expand_as(self.mass)

    @property
    def outside(self) -> Tensor:
        """Part of the positive map off the body; NaN where there is no body, or no air."""
        return self._off(self.positive)

    @property
    def outside_uniform(self) -> Tensor:
        """The same of a uniform map."""
        return self._off(torch.ones_like(self.positive[:1, :1])).expand_as(self.mass)

    def _off(self, positive: Tensor) -> Tensor:
        if self.body is None:
            return torch.full_like(self.mass, torch.nan)
        return 1 - self.body.mass_of_positive(positive)

    @cached_property
    def area(self) -> Tensor:
        """Mass of a uniform map."""
        return self.part.expand_as(self.mass)

    @property
    def gain(self) -> Tensor:
        """See :func:`gain`."""
        return gain(self.mass, self.ceiling, self.area)

    @property
    def lift(self) -> Tensor:
        """Mass / area: 1 is a uniform map."""
        return ratio(self.mass, self.area)

    @cached_property
    def positive(self) -> Tensor:
        """L = ReLU(map), (R, O, N, *cells)."""
        return self.maps.relu()

    @cached_property
    def summed(self) -> Tensor:
        """ΣL."""
        return total(self.positive, self.organs.axes)

    @property
    def magnitude(self) -> Tensor:
        """log10(1e-12 + the mean of L): what every normalisation hides."""
        return (FLOOR + self.summed / self.maps.shape[-self.organs.axes :].numel()).log10()

    @property
    def largest(self) -> Tensor:
        """The largest value of L, 0 for a dead map."""
        return self.positive.flatten(-self.organs.axes).amax(-1).double()

    @property
    def positive_fraction(self) -> Tensor:
        """ΣL / Σ|map| in [0, 1], NaN where the map is zero."""
        return ratio(self.summed, total_of_sizes(self.maps, self.organs.axes))
