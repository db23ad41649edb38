"""Whose evidence lies on whose pixels? The organ x organ matrix of every stage.

Row c is the organ that is explained, column j the organ on whose pixels its positive map lies.
Every pixel of a row is charged once: to the organ itself, to a rim around it (what a coarse cell
spreads there is resolution and not leakage), to another organ, or to the background.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.errors import InputError, unknown
from segtrace.measures import guards
from segtrace.measures.energy import nan_where, ratio
from segtrace.measures.places import Places


@dataclass(frozen=True)
class Leakage:
    """Parts of every positive map by where they lie.

    S stages, R rules, O rows, J columns, N slices.
    For every map share.sum(J) + rim + background = 1; the column of the row's own organ holds what
    lies on that organ.

    Attributes:
        share: (S, R, O, J, N) Λ, on organ j outside the rim of c; NaN for a map without evidence
            or one that may not be read (gap-degenerate and worse).
        rim: (S, R, O, N) on the rim, max(2 px, half a cell) around c.
        background: (S, R, O, N) on no organ.
        mirrored: (S, R, O, J, N) on the mirror image of j (left for right), outside c and its rim.
        coarse: (S, O, J, N) the share that the perfect map of this stage's grid has.
        area: (S, O, J, N) part of the image under the pixels that ``share`` counts.
        mirrored_area: (S, O, J, N) the same for ``mirrored``.
        counted: (S, O, J, N) bool, both organs are there and the rim leaves at least half of j.
        stages: names along S.
        rules: names along R.
        organs: names along O.
        columns: names along J.
    """

    share: Tensor
    rim: Tensor
    background: Tensor
    mirrored: Tensor
    coarse: Tensor
    area: Tensor
    mirrored_area: Tensor
    counted: Tensor
    stages: tuple[str, ...]
    rules: tuple[str, ...]
    organs: tuple[str, ...]
    columns: tuple[str, ...]

    @cached_property
    def usable(self) -> Tensor:
        """(S, R, O, J, N) bool: what the means are taken over."""
        return self.counted[:, None] & self.share.isfinite()

    @property
    def slices(self) -> Tensor:
        """(S, R, O, J) slices behind every entry; fewer than 3 are too few to say anything."""
        return self.usable.sum(-1)

    @cached_property
    def matrix(self) -> Tensor:
        """(S, R, O, J) mean share over the slices that hold both organs; NaN without one."""
        return nan_where(~self.usable, self.share).nanmean(-1)

    @cached_property
    def density(self) -> Tensor:
        """(S, R, O, J) D = Σ share / Σ area: 1 is what a uniform map puts there; NaN on nothing."""
        return self._ratio(self.share, self.area)

    @cached_property
    def coarse_density(self) -> Tensor:
        """(S, R, O, J) D of the perfect map of each stage's grid, over the same slices."""
        return self._ratio(self.coarse[:, None].expand_as(self.share), self.area)

    @cached_property
    def mirrored_density(self) -> Tensor:
        """(S, R, O, J) D on the mirror image of j: what its place, and not the organ, explains."""
        return self._ratio(self.mirrored, self.mirrored_area)

    def _ratio(self, share: Tensor, area: Tensor) -> Tensor:
        usable = self.usable
        there = usable & (area > 0)[:, None]  # where no pixel counts, a share is a residue
        return ratio(share.masked_fill(~there, 0).sum(-1), (area[:, None] * usable).sum(-1))


Grids = dict[tuple[int, ...], Places]
"""(h, w) -> where the organs lie, as maps of this size see them."""


@guards.held()
def leakage(
    flow: Flow,
    masks: Tensor,
    columns: Sequence[str] | None = None,
    *,
    known: Grids | None = None,
) -> Leakage:
    """Charge every positive map to the organs it lies on.

    Args:
        flow: the maps.
        masks: (J, N, H, W) bool, where the organs lie; they must not overlap.
        columns: names along J, among them all organs of the flow; default those organs.
        known: what an earlier call with the same masks, columns and organs has worked out; it is
            filled. Most of the time goes there.

    Raises:
        InputError: masks that do not fit, overlap, or lack an organ of the flow.
    """
    names = tuple(flow.organs if columns is None else columns)
    masks = masks.bool()
    _check(flow, masks, names)
    rows = [names.index(organ) for organ in flow.organs]
    shapes = {maps.shape[-2:]: maps.dtype for maps in flow.maps.values()}
    places = {} if known is None else known
    for grid, dtype in shapes.items():
        if grid not in places:
            places[grid] = Places.on(masks, rows, (grid[0], grid[1]), dtype)
    by_stage = [places[maps.shape[-2:]] for maps in flow.maps.values()]
    charged = [
        place.charge(maps, status >= Status.GAP_DEGENERATE)
        for place, maps, status in zip(by_stage, flow.maps.values(), flow.status, strict=True)
    ]
    return Leakage(
        share=torch.stack([found.share for found in charged]),
        rim=torch.stack([found.rim for found in charged]),
        background=torch.stack([found.background for found in charged]),
        mirrored=torch.stack([found.mirrored for found in charged]),
        coarse=torch.stack([place.coarse for place in by_stage]),
        area=torch.stack([place.area for place in by_stage]),
        mirrored_area=torch.stack([place.mirrored_area for place in by_stage]),
        counted=torch.stack([place.counted for place in by_stage]),
        stages=flow.stages,
        rules=flow.rules,
        organs=flow.organs,
        columns=names,
    )


def _check(flow: Flow, masks: Tensor, columns: tuple[str, ...]) -> None:
    if masks.ndim != 4 or masks.shape[:2] != (len(columns), flow.scores.shape[1]):
        raise InputError(
            f"the masks have shape {tuple(masks.shape)}; the columns and the flow's slices ask for "
            f"({len(columns)}, {flow.scores.shape[1]}, H, W)"
        )
    for organ in flow.organs:
        if organ not in columns:
            raise unknown("column", organ, columns, "the leakage matrix")
    if (masks.sum(0) > 1).any():
        raise InputError("the masks overlap; a pixel can be charged to one organ only")
