"""Where evidence can lie, as a grid sees it: organs, here and in other cases, mirrored, rims."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
import torch
from torch import Tensor

from segtrace.measures.energy import nan_where
from segtrace.measures.resize import Grid, adjoint, inner, pooled, total

LEAST_RIM = 2
"""Pixels around an organ that are never charged to a neighbour, on any grid."""


AIR = 0.02
"""Up to this brightness of the window, mapped to [0, 1], a pixel is air."""
LEAST_LEFT = 0.05
"""Less than this part of where an organ lies in other cases is no place to look at."""


def body_of(image: Tensor) -> Tensor:
    """Where the patient is in CT slices or volumes: (N, 1, *image) in [0, 1] -> (N, *image) bool.

    The largest part that is brighter than air, with what it encloses: in a volume plane by plane,
    since lungs that the first or the last plane cuts open are no air around the patient. Empty
    where nothing or everything is: then nothing says what is air.
    """
    from scipy import ndimage

    found = torch.zeros(image[:, 0].shape, dtype=torch.bool)
    for n, one in enumerate(image[:, 0].cpu()):
        parts, count = ndimage.label((one > AIR).numpy())
        if count:
            sizes = ndimage.sum_labels(parts > 0, parts, range(1, count + 1))
            largest = parts == sizes.argmax() + 1
            planes = largest.reshape(-1, *largest.shape[-2:])
            filled = np.stack([ndimage.binary_fill_holes(plane) for plane in planes])
            whole = torch.from_numpy(filled.reshape(largest.shape))
            found[n] = whole & ~whole.all()
    return found


def rim_of(masks: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Pixels around each mask (…, *image) and not on it: max(2 px, half a cell) along each axis."""
    near = masks
    for axis, cells in enumerate(grid, masks.ndim - len(grid)):
        near = _spread(near, max(LEAST_RIM, ceil(masks.shape[axis] / cells / 2)), axis)
    return near & ~masks


def _spread(masks: Tensor, reach: int, dim: int) -> Tensor:
    """All pixels within ``reach`` of a mask along one axis."""
    size, covered = masks.shape[dim], 0
    reach = min(reach, size - 1)
    while covered < reach:
        step = min(2 * covered + 1, reach - covered)  # no gap opens between the shifted copies
        grown = masks.clone()
        grown.narrow(dim, step, size - step).logical_or_(masks.narrow(dim, 0, size - step))
        grown.narrow(dim, 0, size - step).logical_or_(masks.narrow(dim, step, size - step))
        masks, covered = grown, covered + step
    return masks


@dataclass(frozen=True)
class Overlaps:
    """Pixels of column j that belong to row c first. P overlaps that are not empty.

    Attributes:
        row, column, slice: (P,) which.
        weights: (P, *cells) as the grid sees them.
        pixels: (O, J, N) how many.
    """

    row: Tensor
    column: Tensor
    slice: Tensor
    weights: Tensor
    pixels: Tensor

    @classmethod
    def of(
        cls, first: Tensor, labels: Tensor, columns: int, grid: Grid, dtype: torch.dtype
    ) -> "Overlaps":
        """Of ``first`` (O, N, *image) bool with ``labels`` (N, *image), J where no column lies."""
        rows, slices = first.shape[:2]
        row, number, *place = first.nonzero().unbind(1)
        entry = (row * (columns + 1) + labels[(number, *place)]) * slices + number
        pixels = entry.bincount(minlength=rows * (columns + 1) * slices)
        pixels = pixels.view(rows, columns + 1, slices)[:, :columns]
        row, column, number = pixels.nonzero().unbind(1)
        own = column.reshape(-1, *[1] * len(grid))
        shared = first[row, number] & (labels[number] == own)
        return cls(row, column, number, adjoint(shared.to(dtype), grid), pixels)

    def taken(self, lying: Tensor, positive: Tensor) -> Tensor:
        """What lies on whole columns (R, O, J, N) without what lies on the overlaps."""
        left = lying.clone()
        left[:, self.row, self.column, self.slice] -= inner(
            positive[:, self.row, self.slice], self.weights, positive.ndim - 3
        )
        return left


@dataclass(frozen=True)
class Charged:
    """Parts of every positive map; see :class:`segtrace.measures.leakage.Leakage`.

    Attributes:
        share: (R, O, J, N) on the organs.
        rim: (R, O, N) on the rim.
        background: (R, O, N) elsewhere.
        mirrored: (R, O, J, N) on the organs' mirror images.
        others: (R, O, J, N) where the organs lie in the other cases.
    """

    share: Tensor
    rim: Tensor
    background: Tensor
    mirrored: Tensor
    others: Tensor


@dataclass(frozen=True)
class Places:
    """The places of one grid. O rows, J columns, N slices.

    Attributes:
        organs: (J, N, *cells) whole organs, as the grid sees them.
        rims: (O, N, *cells) the rims around the rows' organs.
        elsewhere: (J, N, *cells) the columns in the slices of other cases, their mean.
        free: (O, N, *cells) in [0, 1], the part of a cell that is not the row's organ or rim.
        everywhere: (*cells) the whole image.
        present: (O, N) the row's organ is there.
        within: what a row's rim takes from the columns.
        opposite: what a row's organ and rim take from the columns' mirror images.
        area: (O, J, N) part of the image that counts for a column.
        mirrored_area: (O, J, N) the same for its mirror image.
        others_area: (O, J, N) the same for where it lies in other cases; 0 where that is not known.
        counted: (O, J, N) both organs are there and the rim leaves at least half of the column.
        perfect: (O, N, *cells) the best maps this grid can show.
        mirror: the axis of the image, counted from the last, along which left and right lie.
    """

    organs: Tensor
    rims: Tensor
    elsewhere: Tensor
    free: Tensor
    everywhere: Tensor
    present: Tensor
    within: Overlaps
    opposite: Overlaps
    area: Tensor
    mirrored_area: Tensor
    others_area: Tensor
    counted: Tensor
    perfect: Tensor
    mirror: int

    @classmethod
    def on(
        cls,
        masks: Tensor,
        rows: Sequence[int],
        grid: Grid,
        dtype: torch.dtype,
        mirror: int,
        cases: Sequence[str],
    ) -> "Places":
        """The places of masks (J, N, *image), ``rows`` of which are explained, on a grid."""
        dtype = dtype if dtype == torch.float64 else torch.float32
        fields = masks.to(dtype)
        own = masks[list(rows)]
        rims = rim_of(own, grid)
        labels = torch.full(masks.shape[1:], len(masks))
        for column, mask in enumerate(masks):
            labels[mask] = column
        within = Overlaps.of(rims, labels, len(masks), grid, dtype)
        opposite = Overlaps.of(own | rims, labels.flip(mirror), len(masks), grid, dtype)
        size = total(fields, len(grid))  # (J, N)
        present = size[list(rows)] > 0
        pixels = masks.shape[2:].numel()
        organs, near = adjoint(fields, grid), adjoint(rims.to(dtype), grid)
        everywhere = adjoint(fields.new_ones(masks.shape[2:]), grid)
        elsewhere = _in_other_cases(organs, cases)
        free = (1 - (organs[list(rows)] + near) / everywhere).clamp(min=0)
        return cls(
            organs=organs,
            rims=near,
            elsewhere=elsewhere,
            free=free,
            everywhere=everywhere,
            present=present,
            within=within,
            opposite=opposite,
            area=(size - within.pixels) / pixels,
            mirrored_area=(size - opposite.pixels) / pixels,
            others_area=_left(free, elsewhere) / pixels,
            counted=present[:, None] & (size > 0) & (within.pixels <= size / 2),
            perfect=pooled(fields[list(rows)], grid),
            mirror=mirror,
        )

    @cached_property
    def coarse(self) -> Tensor:
        """(O, J, N) share of the perfect map of this grid: resolution, and not leakage."""
        return self.charge(self.perfect[None], ~self.present[None]).share[0]

    def charge(self, maps: Tensor, unreadable: Tensor) -> Charged:
        """Charge maps (R, O, N, *cells) to the places.

        NaN where ``unreadable`` (R, O, N), the row's organ is absent or no cell is positive.
        """
        positive, axes = maps.to(self.organs).relu(), self.everywhere.ndim
        summed = inner(positive, self.everywhere, axes)  # (R, O, N)
        whole = nan_where(unreadable | ~self.present | (summed == 0), summed)
        share = self.within.taken(_lying(positive, self.organs), positive) / whole[:, :, None]
        # The mirror image of an adjoint mask is the adjoint of the mirror image.
        opposite = _lying(positive, self.organs.flip(self.mirror))
        rim = inner(positive, self.rims, axes) / whole
        return Charged(
            share=share,
            rim=rim,
            background=1 - share.sum(2) - rim,
            mirrored=self.opposite.taken(opposite, positive) / whole[:, :, None],
            others=_lying(positive * self.free, self.elsewhere) / whole[:, :, None],
        )


def _lying(positive: Tensor, weights: Tensor) -> Tensor:
    """Σ map · weight, maps (R, O, N, *cells), weights (J, N, *cells) -> (R, O, J, N) float64."""
    rules, organs = positive.shape[:2]
    cells = positive.flatten(3).flatten(0, 1).transpose(0, 1)  # (N, R·O, cells)
    summed = cells @ weights.flatten(2).permute(1, 2, 0)  # (N, R·O, J)
    return summed.permute(1, 2, 0).unflatten(0, (rules, organs)).double()


def _in_other_cases(organs: Tensor, cases: Sequence[str]) -> Tensor:
    """(J, N, *cells) -> the same: of every slice the mean over the slices of other cases."""
    other = torch.tensor([[one != own for own in cases] for one in cases]).to(organs)
    weights = other / other.sum(0).clamp(min=1)
    return (organs.flatten(2).mT @ weights).mT.reshape(organs.shape)


def _left(free: Tensor, elsewhere: Tensor) -> Tensor:
    """(O, J, N) pixels of where columns lie in other cases that a row leaves; few are 0."""
    left = _lying(free[None], elsewhere)[0]
    return left * (left >= LEAST_LEFT * total(elsewhere, elsewhere.ndim - 2))
