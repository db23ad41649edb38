"""Does a stage's map lie on the organ? Numbers for every stage, rule, organ and slice.

What the numbers are stands in :data:`segtrace.measures.measure.MEASURES`. A number that is not
defined is NaN, never 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.errors import InputError, unknown
from segtrace.measures import energy, guards, pixels
from segtrace.measures.measure import Measure, RatioOfSums, Traced, table, wanted


@guards.held(guards.spaced)
def measure(
    flow: Flow,
    masks: Tensor,
    spacing: Tensor | None = None,
    measures: Literal["leading", "all"] = "leading",
    *,
    parts: tuple[Flow, Flow] | None = None,
) -> dict[str, Tensor]:
    """Numbers of every map. S stages, R rules, O organs, N slices.

    Which: :data:`segtrace.measures.measure.MEASURES`, in its order. Those of a stage's maps and
    those of images on the image's grid are computed together.

    A map that is gap-degenerate keeps its numbers here; :func:`readable` leaves them out.

    Args:
        flow: the maps.
        masks: (O, N, H, W) bool, where each organ lies on the image's grid.
        spacing: (N, 2) mm of a pixel of that grid along rows and columns; without it measures in
            mm are NaN.
        measures: ``leading``, or ``all`` of them (slower: maps are resized and sorted).
        parts: the flows of two parts of every organ's region, for ``locality``.

    Returns:
        measure -> (S, R, O, N) float64; NaN where a measure is not defined: the organ is absent,
        the map is dead or not finite, the grid too coarse.

    Raises:
        InputError: masks that are not those of the flow's organs and slices.
    """
    if tuple(masks.shape[:2]) != tuple(flow.scores.shape) or masks.ndim != 4:
        raise InputError(
            f"the masks have shape {tuple(masks.shape)}; the flow's organs and slices ask for "
            f"({', '.join(map(str, flow.scores.shape))}, H, W)"
        )
    if measures not in ("leading", "all"):
        raise InputError(f"no measures {measures!r}; say 'leading' or 'all'")
    asked = wanted(measures)
    of = {each: [one for one in asked if one.each == each] for each in ("stage", "flow", "image")}
    found = {
        **_of_stages(of["stage"], flow, masks),
        **_of_flow(of["flow"], Traced(flow, parts)),
        **_of_images(of["image"], flow, masks, spacing),
    }
    mute = (flow.status == Status.ABSENT) | (flow.status == Status.NONFINITE)
    return {one.name: found[one.name].masked_fill(mute, torch.nan) for one in asked}


def _precision(maps: Tensor) -> torch.dtype:
    return torch.float64 if maps.dtype == torch.float64 else torch.float32


def _by_grid(maps: Iterable[Tensor], masks: Tensor) -> dict[torch.Size, energy.Organs]:
    """The masks on every grid that a stage has, each computed once."""
    dtypes = {signed.shape[-2:]: signed.dtype for signed in maps}
    return {
        grid: energy.Organs.on(masks.to(dtype), (grid[0], grid[1]))
        for grid, dtype in dtypes.items()
    }


def _of_stages(measures: Sequence[Measure], flow: Flow, masks: Tensor) -> dict[str, Tensor]:
    """Measure -> (S, R, O, N) of those that are read off all maps of a stage."""
    maps = [signed.to(_precision(signed)) for signed in flow.maps.values()]
    organs = _by_grid(maps, masks)
    area = energy.area(masks.float())
    stages = (energy.StageMaps(signed, organs[signed.shape[-2:]], area) for signed in maps)
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


@guards.held(guards.of_one_flow)
def readable(values: Mapping[str, Tensor], status: Tensor) -> dict[str, Tensor]:
    """The values of maps that may be read: NaN from gap-degenerate on.

    What is said of the gradient, the score and the masks and not of the map stays, ``kappa`` first:
    it is what shows that a map is degenerate.

    Args:
        values: measure -> (S, R, O, N).
        status: (S, R, O, N) the flow's.
    """
    unreadable = status >= Status.GAP_DEGENERATE
    stay = {one.name for one in table().values() if not one.of_map}
    return {
        name: value if name in stay else value.masked_fill(unreadable, torch.nan)
        for name, value in values.items()
    }


def _enough(name: str, value: Any) -> None:
    """The measures that an average over slices is made of."""
    guards.values(name, value)
    needed = {"mass", *(part for ratio in _ratios(value).values() for part in ratio)}
    if lacking := needed - value.keys():
        raise unknown("measure", min(lacking), value, name)


@guards.held(guards.of_one_flow, values=_enough)
def over_slices(values: Mapping[str, Tensor], status: Tensor | None = None) -> dict[str, Tensor]:
    """One number a stage, rule and organ: (S, R, O, N) -> (S, R, O).

    The mean over the slices where a measure is defined; or a ratio of sums, as ``gain``,
    Σ(mass - area) / Σ(ceiling - area), where the measure says so.

    Args:
        values: as :func:`measure` returns them.
        status: the flow's; given, only the maps that may be read count, see :func:`readable`.

    Returns:
        measure -> (S, R, O), NaN where no slice has it; and ``n_valid``, the number of slices
        whose map could be judged (mass is defined).
    """
    if status is not None:
        values = readable(values, status)
    reduced = {name: value.nanmean(-1) for name, value in values.items()}
    for name in _ratios(values):
        above, below = terms(values, name)
        reduced[name] = energy.ratio(above.nansum(-1), below.nansum(-1))
    return reduced | {"n_valid": count_valid(values)["mass"]}


def terms(values: Mapping[str, Tensor], name: str = "gain") -> tuple[Tensor, Tensor]:
    """What the sums of a ratio of sums are taken of, NaN where the measure is not defined.

    Of ``gain`` (mass - area, ceiling - area).
    """
    above, below, base = _ratios(values)[name]
    undefined = values[name].isnan()
    over, under = values[above] - values[base], values[below] - values[base]
    return over.masked_fill(undefined, torch.nan), under.masked_fill(undefined, torch.nan)


def _ratios(values: Iterable[str]) -> dict[str, RatioOfSums]:
    """Measure -> what it is the ratio of, of those that are put together so."""
    given = set(values)
    return {one.name: one.slices for one in table().values() if one.slices and one.name in given}


def count_valid(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Slices in which a measure is defined: (S, R, O, N) -> (S, R, O) int64."""
    return {name: value.isfinite().sum(-1) for name, value in values.items()}


@guards.held(guards.one_each)
def rows(
    flow: Flow,
    values: Mapping[str, Tensor],
    cases: Sequence[str],
    slices: Sequence[int],
    *,
    epoch: int | None,
    region: str,
) -> list[dict[str, Any]]:
    """The long table of a flow: one row a slice, organ, rule and stage.

    Columns: ``epoch case slice organ rule stage status region region_px score``, then one a
    measure in the order of the table.

    Args:
        flow: the maps.
        values: measure -> (S, R, O, N).
        cases: name of each slice's case.
        slices: number of each slice in its case, from the feet up.
        epoch: finished passes, or ``None`` where unknown.
        region: what was explained, e.g. ``gt``.
    """
    names = [name for name in table() if name in values]
    columns = torch.stack([values[name] for name in names], -1).tolist()  # [s][r][o][n] -> numbers
    status = flow.status.tolist()
    region_px, scores = flow.region_px.tolist(), flow.scores.tolist()
    return [
        {
            "epoch": epoch,
            "case": case,
            "slice": int(number),
            "organ": organ,
            "rule": rule,
            "stage": stage,
            "status": Status(status[s][r][o][n]).label,
            "region": region,
            "region_px": region_px[o][n],
            "score": scores[o][n],
            **dict(zip(names, columns[s][r][o][n], strict=True)),
        }
        for n, (case, number) in enumerate(zip(cases, slices, strict=True))
        for o, organ in enumerate(flow.organs)
        for r, rule in enumerate(flow.rules)
        for s, stage in enumerate(flow.stages)
    ]
