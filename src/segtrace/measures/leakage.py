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
from segtrace.labelled import DataArray, Dataset, Form, Result, tensor
from segtrace.measures import guards
from segtrace.measures.energy import nan_where, ratio
from segtrace.measures.places import Places
from segtrace.measures.resize import IMAGE, Grid


@dataclass(frozen=True, eq=False)
class Leakage(Result):
    """Parts of every positive map by where they lie.

    For every map share.sum("onto") + rim + background = 1; where ``onto`` is the map's own organ
    stands what lies on that organ.

    Attributes:
        data: axes ``site``, ``rule``, ``organ`` (that is explained), ``onto`` and ``slice``.
            ``share`` Λ, on organ onto outside the rim of the map's own; NaN for a map without
            evidence or one that may not be read (gap-degenerate and worse). ``rim``: on the rim,
            max(2 px, half a cell) around the organ. ``background``: on no organ. ``mirrored``: on
            the mirror image of onto (left for right, along the axis asked for), outside the organ
            and its rim. ``others``: where onto lies in the other cases, the mean over their slices,
            outside the organ and its rim; 0 where there is no other case.
            Whatever the rule: ``coarse``, the share that the perfect map of this stage's grid has;
            ``area``, the part of the image under the pixels that ``share`` counts;
            ``mirrored_area`` and ``others_area``, the same for those; ``counted``, both organs are
            there and
            the rim leaves at least half of onto.
    """

    form = Form(
        {
            "share": "site rule organ onto slice",
            "rim": "site rule organ slice",
            "background": "site rule organ slice",
            "mirrored": "site rule organ onto slice",
            "others": "site rule organ onto slice",
            "coarse": "site organ onto slice",
            "area": "site organ onto slice",
            "mirrored_area": "site organ onto slice",
            "others_area": "site organ onto slice",
            "counted": "site organ onto slice",
        },
        {"stages": "site", "rules": "rule", "organs": "organ", "columns": "onto"},
        later={"others": "share", "others_area": "area"},
    )

    @cached_property
    def usable(self) -> DataArray:
        """Bool, axes as ``share``: what the means are taken over."""
        share = self.data["share"]
        return (share.notnull() & self.data["counted"]).transpose(*share.dims)

    @cached_property
    def summary(self) -> Dataset:
        """Over the slices that hold both organs; axes site, rule, organ, onto.

        ``density``, D = Σ share / Σ area: 1 is what a uniform map puts there; NaN on nothing.
        ``share``, its mean; NaN without such a slice. ``density_coarse``, D of the perfect map of
        each stage's grid. ``density_mirrored``, D on the mirror image of onto: what its place, and
        not the organ, explains. ``density_others``, D where onto lies in the other cases: what the
        same pattern in all maps explains. ``slices``, their number; fewer than 3 are too few to
        say anything.
        """
        of = {name: tensor(self.data[name]) for name in self.form.numbers}
        usable, share = tensor(self.usable), of["share"]
        numbers = {
            "density": _ratio(usable, share, of["area"]),
            "share": nan_where(~usable, share).nanmean(-1),
            "density_coarse": _ratio(usable, of["coarse"][:, None].expand_as(share), of["area"]),
            "density_mirrored": _ratio(usable, of["mirrored"], of["mirrored_area"]),
            "density_others": _ratio(usable, of["others"], of["others_area"]),
            "slices": usable.sum(-1),
        }
        axes = self.data["share"].dims[:-1]
        names = self.data.drop_vars(self.form.numbers)
        return names.assign({name: (axes, values) for name, values in numbers.items()})


def _ratio(usable: Tensor, share: Tensor, area: Tensor) -> Tensor:
    there = usable & (area > 0)[:, None]  # where no pixel counts, a share is a residue
    return ratio(share.masked_fill(~there, 0).sum(-1), (area[:, None] * usable).sum(-1))


Grids = dict[Grid, Places]
"""Cells along each axis -> where the organs lie, as maps of this size see them."""


@guards.held(cases=guards.optional(guards.names_or_numbers))
def leakage(
    flow: Flow,
    masks: Tensor,
    columns: Sequence[str] | None = None,
    *,
    mirror: int = -1,
    cases: Sequence[str] | None = None,
    known: Grids | None = None,
) -> Leakage:
    """Charge every positive map to the organs it lies on.

    Args:
        flow: the maps.
        masks: (J, N, *image) bool, where the organs lie; they must not overlap.
        columns: names along J, among them all organs of the flow; default those organs.
        mirror: the axis of the image along which the patient's left and right lie, counted from
            the last: -1, columns, -2, rows, or in 3-D -3, planes.
        cases: name of each slice's case; default, every slice is a case of its own.
        known: what an earlier call with the same masks, columns, organs, mirror and cases has
            worked out; it is filled. Most of the time goes there.

    Raises:
        InputError: masks that do not fit, overlap, or lack an organ of the flow; an axis that the
            image does not have; other than one case a slice.
    """
    names = tuple(flow.organs if columns is None else columns)
    masks = masks.bool()
    _check(flow, masks, names)
    _check_mirror(mirror, masks.ndim - 2)
    slices = masks.shape[1]
    own_cases = list(map(str, range(slices))) if cases is None else list(cases)
    if len(own_cases) != slices:
        raise InputError(
            f"{len(own_cases)} cases for {slices} slices; give the name of a case for each"
        )
    rows = [names.index(organ) for organ in flow.organs]
    shapes = {maps.shape[3:]: maps.dtype for maps in flow.maps.values()}
    places = {} if known is None else known
    for grid, dtype in shapes.items():
        if grid not in places:
            places[grid] = Places.on(masks, rows, grid, dtype, mirror, own_cases)
    by_stage = [places[maps.shape[3:]] for maps in flow.maps.values()]
    charged = [
        place.charge(maps, status >= Status.GAP_DEGENERATE)
        for place, maps, status in zip(by_stage, flow.maps.values(), flow.status, strict=True)
    ]
    charges = {name: torch.stack([getattr(one, name) for one in charged])
               for name in ("share", "rim", "background", "mirrored", "others")}  # fmt: skip
    held = {name: torch.stack([getattr(one, name) for one in by_stage])
            for name in ("coarse", "area", "mirrored_area", "others_area", "counted")}  # fmt: skip
    along = {"stages": flow.stages, "rules": flow.rules, "organs": flow.organs, "columns": names}
    return Leakage.of(**charges, **held, **along)


def overlapping(masks: Tensor) -> bool:
    """Whether organs (J, N, *image) share pixels, which cannot be charged to one of them."""
    return bool((masks.sum(0) > 1).any())


def _check(flow: Flow, masks: Tensor, columns: tuple[str, ...]) -> None:
    if masks.ndim != flow.axes + 2 or masks.shape[:2] != (len(columns), flow.scores.shape[1]):
        raise InputError(
            f"the masks have shape {tuple(masks.shape)}; the columns and the flow's slices ask for "
            f"({len(columns)}, {flow.scores.shape[1]}, {IMAGE[flow.axes]})"
        )
    for organ in flow.organs:
        if organ not in columns:
            raise unknown("column", organ, columns, "the leakage matrix")
    if overlapping(masks):
        raise InputError("the masks overlap; a pixel can be charged to one organ only")


def _check_mirror(mirror: int, axes: int) -> None:
    if not -axes <= mirror < 0:
        raise InputError(f"mirror is {mirror}; the image has the axes {-axes} to -1")
