"""Does a stage's map lie on the organ? Numbers for every stage, rule, organ and slice.

What the numbers are stands in :data:`segtrace.measures.measure.MEASURES`. A number that is not
defined is NaN, never 0.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.errors import InputError, unknown
from segtrace.labelled import DataArray, Dataset, mean, tensor
from segtrace.measures import energy, guards, pixels
from segtrace.measures.measure import Measure, RatioOfSums, Traced, table, wanted
from segtrace.measures.over_cases import by_case
from segtrace.measures.resize import IMAGE

AXES = ("site", "rule", "organ", "slice")
"""Of every measure."""
COLUMNS = ("epoch", "case", "slice", "organ", "rule", "stage", "status", "region", "region_px",
           "score")  # fmt: skip
"""Of measures.csv, before one a measure."""


@guards.held(guards.spaced)
def measure(
    flow: Flow,
    masks: Tensor,
    spacing: Tensor | None = None,
    measures: Literal["leading", "all"] = "leading",
    *,
    parts: tuple[Flow, Flow] | None = None,
    body: Tensor | None = None,
) -> Dataset:
    """Numbers of every map, with the axes site, rule, organ and slice.

    Which: :data:`segtrace.measures.measure.MEASURES`, in its order. Those of a stage's maps and
    those of images on the image's grid are computed together.

    A map that is gap-degenerate keeps its numbers here; :func:`readable` leaves them out.

    Args:
        flow: the maps.
        masks: (O, N, *image) bool, where each organ lies on the image's grid.
        spacing: (N, 2) mm of a pixel of that grid along rows and columns, of volumes (N, 3) with
            planes before them; without it measures in mm are NaN.
        measures: ``leading``, or ``all`` of them (slower: maps are resized and sorted).
        parts: the flows of two parts of every organ's region, for ``locality``.
        body: (N, *image) bool, where the patient is, for ``outside``.

    Returns:
        A number a measure, float64, with its title and unit; NaN where it is not defined: the organ
        is absent, the map is dead or not finite, the grid too coarse. ``status``, ``region_px`` and
        ``scores`` of the flow stand beside them as coordinates.

    Raises:
        InputError: masks that are not those of the flow's organs and slices.
    """
    if tuple(masks.shape[:2]) != tuple(flow.scores.shape) or masks.ndim != flow.axes + 2:
        raise InputError(
            f"the masks have shape {tuple(masks.shape)}; the flow's organs and slices ask for "
            f"({', '.join(map(str, flow.scores.shape))}, {IMAGE[flow.axes]})"
        )
    if measures not in ("leading", "all"):
        raise InputError(f"no measures {measures!r}; say 'leading' or 'all'")
    asked = wanted(measures)
    of = {each: [one for one in asked if one.each == each] for each in ("stage", "flow", "image")}
    found = {
        **_of_stages(of["stage"], flow, masks, body),
        **_of_flow(of["flow"], Traced(flow, parts)),
        **_of_images(of["image"], flow, masks, spacing),
    }
    mute = (flow.status == Status.ABSENT) | (flow.status == Status.NONFINITE)
    numbers = {one.name: (AXES, found[one.name].masked_fill(mute, torch.nan).cpu(), one.attributes)
               for one in asked}  # fmt: skip
    beside = flow.to_xarray(maps=False)[["status", "region_px", "scores"]]
    return beside.set_coords(beside.data_vars).assign(numbers)


def _precision(maps: Tensor) -> torch.dtype:
    return torch.float64 if maps.dtype == torch.float64 else torch.float32


def _by_grid(maps: Iterable[Tensor], masks: Tensor) -> dict[torch.Size, energy.Organs]:
    """The masks on every grid that a stage has, each computed once."""
    dtypes = {signed.shape[3:]: signed.dtype for signed in maps}
    return {grid: energy.Organs.on(masks.to(dtype), grid) for grid, dtype in dtypes.items()}


def _of_stages(
    measures: Sequence[Measure], flow: Flow, masks: Tensor, body: Tensor | None
) -> dict[str, Tensor]:
    """Measure -> (S, R, O, N) of those that are read off all maps of a stage."""
    maps = [signed.to(_precision(signed)) for signed in flow.maps.values()]
    organs = _by_grid(maps, masks)
    area = energy.area(masks.float(), flow.axes)
    tissue = {} if body is None else _by_grid(maps, body)
    stages = (
        energy.StageMaps(signed, organs[signed.shape[3:]], area, tissue.get(signed.shape[3:]))
        for signed in maps
    )
    by_stage = [[one.of(stage) for one in measures] for stage in stages]
    return {
        one.name: torch.stack(values)
        for one, values in zip(measures, zip(*by_stage, strict=True), strict=True)
    }


def _of_flow(measures: Sequence[Measure], traced: Traced) -> dict[str, Tensor]:
    """The same of those that are read off the flow, expanded to all its maps."""
    shape = traced.flow.status.shape
    return {one.name: one.of(traced).expand(shape) for one in measures}


def _of_images(
    measures: Sequence[Measure], flow: Flow, masks: Tensor, spacing: Tensor | None
) -> dict[str, Tensor]:
    """The same of those that are read off maps on the image's grid: slower, they are resized."""
    if not measures:
        return {}
    found = pixels.of_images(flow.maps, masks, spacing, [one.of for one in measures])
    return {one.name: values for one, values in zip(measures, found, strict=True)}


@guards.held()
def readable(measured: Dataset) -> Dataset:
    """The numbers of maps that may be read: NaN from gap-degenerate on.

    What is said of the gradient, the score and the masks and not of the map stays, ``kappa`` first:
    it is what shows that a map is degenerate.

    Args:
        measured: as :func:`measure` returns it.
    """
    stay = {one.name for one in table().values() if not one.of_map}
    unreadable = tensor(measured["status"]) >= Status.GAP_DEGENERATE
    return measured.assign(
        {
            name: (values.dims, tensor(values).masked_fill(unreadable, torch.nan), values.attrs)
            for name, values in measured.items()
            if name not in stay
        }
    )


def _enough(name: str, value: Any) -> None:
    """The measures that an average over slices is made of."""
    guards.measured(name, value)
    needed = {"mass", *(part for ratio in _ratios(value).values() for part in ratio)}
    if lacking := needed - set(value):
        raise unknown("measure", min(lacking), list(value), name)


@guards.held(measured=_enough)
def over_slices(measured: Dataset) -> Dataset:
    """One number a site, rule and organ, over the slices whose map may be read.

    The mean over the slices where a measure is defined; or a ratio of sums, as ``gain``,
    Σ(mass - area) / Σ(ceiling - area), where the measure says so. NaN where no slice has it.
    ``n_valid`` is the number of slices whose map could be judged (mass is defined).

    Args:
        measured: as :func:`measure` returns it.
    """
    measured = readable(measured)
    found = {"n_valid": tensor(measured["mass"]).isfinite().sum(-1)}
    for name in _ratios(measured):
        above, below = terms(measured, name)
        found[name] = energy.ratio(above.nansum(-1), below.nansum(-1))
    ratios = {name: (AXES[:-1], values) for name, values in found.items()}
    return mean(measured, "slice").assign(ratios)


def terms(measured: Dataset, name: str = "gain") -> tuple[Tensor, Tensor]:
    """What the sums of a ratio of sums are taken of, NaN where the measure is not defined.

    Of ``gain`` (mass - area, ceiling - area), (S, R, O, N) each.
    """
    above, below, base = (tensor(measured[part]) for part in _ratios(measured)[name])
    undefined = tensor(measured[name]).isnan()
    over, under = above - base, below - base
    return over.masked_fill(undefined, torch.nan), under.masked_fill(undefined, torch.nan)


def gains_by_case(measured: Dataset, cases: Sequence[str]) -> DataArray:
    """The gain of every case, its own ratio of sums; axes site, rule, organ and ``case``."""
    above, room = terms(measured)
    like = measured["gain"].isel(slice=0).reset_coords(drop=True)
    each = by_case(above, cases, room)
    found = like.expand_dims(case=list(dict.fromkeys(cases)), axis=-1)
    return found.copy(data=each)


def _ratios(names: Iterable[Any]) -> dict[str, RatioOfSums]:
    """Measure -> what it is the ratio of, of those that are put together so."""
    given = set(names)
    return {one.name: one.slices for one in table().values() if one.slices and one.name in given}
