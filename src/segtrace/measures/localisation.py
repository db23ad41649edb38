"""Does a stage's map lie on the organ? Numbers for every stage, rule, organ and slice.

Definitions: Score-CAM's energy-based pointing game (``mass``), the same against what the stage's
grid can show at best (``gain``), and the magnitudes that normalisation hides. A number that is not
defined is NaN, never 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.errors import InputError
from segtrace.measures import energy, guards, pixels
from segtrace.measures.locality import locality

LEADING = (
    "mass",
    "gain",
    "ceiling",
    "area",
    "kappa",
    "magnitude",
    "gradient",
    "score_per_px",
    "max",
    "frac_pos",
)
"""The measures of every epoch, in the order of the table."""

ALL = (*LEADING, "lift", *pixels.MEASURES, "locality")
"""What ``measures="all"`` gives."""

NOT_OF_THE_MAP = ("ceiling", "area", "kappa", "gradient", "score_per_px")
"""What can be said whether or not the map may be read."""


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

    ``mass``, ``gain``, ``ceiling``, ``area``: see :mod:`segtrace.measures.energy`. ``kappa``: the
    coherence of the gradient. ``magnitude``, ``max``, ``frac_pos``: of the map at its own
    resolution. ``gradient``: log10(1e-12 + Σ|G|). ``score_per_px``: the explained score over the
    pixels of the region. The rest, with ``measures="all"``, in :mod:`segtrace.measures.pixels`.

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
    maps = {stage: signed.to(_precision(signed)) for stage, signed in flow.maps.items()}
    organs = _by_grid(maps.values(), masks)
    area = energy.area(masks.float())
    by_stage = [_of_stage(signed, organs[signed.shape[-2:]], area) for signed in maps.values()]
    values = {name: torch.stack([stage[name] for stage in by_stage]) for name in by_stage[0]}
    values |= _of_gradient(flow)
    if measures == "all":
        values["lift"] = energy.ratio(values["mass"], values["area"])
        values |= pixels.measure(flow.maps, masks, spacing)
        values["locality"] = torch.full_like(values["mass"], torch.nan)
        if parts is not None:
            values["locality"] = locality(*parts)
    mute = (flow.status == Status.ABSENT) | (flow.status == Status.NONFINITE)
    return {
        name: values[name].masked_fill(mute, torch.nan)
        for name in (ALL if measures == "all" else LEADING)
    }


def _precision(maps: Tensor) -> torch.dtype:
    return torch.float64 if maps.dtype == torch.float64 else torch.float32


def _by_grid(maps: Iterable[Tensor], masks: Tensor) -> dict[torch.Size, energy.Organs]:
    """The masks on every grid that a stage has, each computed once."""
    dtypes = {signed.shape[-2:]: signed.dtype for signed in maps}
    return {
        grid: energy.Organs.on(masks.to(dtype), (grid[0], grid[1]))
        for grid, dtype in dtypes.items()
    }


def _of_stage(maps: Tensor, organs: energy.Organs, area: Tensor) -> dict[str, Tensor]:
    """Sums over the maps (R, O, N, h, w) of one stage; each (R, O, N)."""
    mass = organs.mass(maps)
    ceiling, area = organs.ceiling().expand_as(mass), area.expand_as(mass)
    return {
        "mass": mass,
        "gain": energy.gain(mass, ceiling, area),
        "ceiling": ceiling,
        "area": area,
        **energy.magnitudes(maps),
    }


def _of_gradient(flow: Flow) -> dict[str, Tensor]:
    """What is the same for every rule, expanded to (S, R, O, N)."""
    per_px = energy.ratio(flow.scores.double(), flow.region_px).expand_as(flow.kappa)
    shared = {
        "kappa": flow.kappa.double(),
        "gradient": (energy.FLOOR + flow.gradient_l1.double()).log10(),
        "score_per_px": per_px,
    }
    return {name: value[:, None].expand(flow.status.shape) for name, value in shared.items()}


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
    return {
        name: value if name in NOT_OF_THE_MAP else value.masked_fill(unreadable, torch.nan)
        for name, value in values.items()
    }


@guards.held(guards.of_one_flow, values=guards.enough)
def over_slices(values: Mapping[str, Tensor], status: Tensor | None = None) -> dict[str, Tensor]:
    """One number a stage, rule and organ: (S, R, O, N) -> (S, R, O).

    ``gain`` is the ratio of sums, Σ(mass - area) / Σ(ceiling - area) over the slices where it is
    defined: a mean of ratios is ruled by slivers. Every other measure is the mean over the slices
    where it is defined.

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
    if "gain" in values:
        above, room = gain_terms(values)
        reduced["gain"] = energy.ratio(above.nansum(-1), room.nansum(-1))
    return reduced | {"n_valid": count_valid(values)["mass"]}


def gain_terms(values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(mass - area, ceiling - area), NaN where gain is not defined: what sums are taken of."""
    undefined = values["gain"].isnan()
    above = (values["mass"] - values["area"]).masked_fill(undefined, torch.nan)
    room = (values["ceiling"] - values["area"]).masked_fill(undefined, torch.nan)
    return above, room


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
    measure in the order of :data:`ALL`.

    Args:
        flow: the maps.
        values: measure -> (S, R, O, N).
        cases: name of each slice's case.
        slices: number of each slice in its case, from the feet up.
        epoch: finished passes, or ``None`` where unknown.
        region: what was explained, e.g. ``gt``.
    """
    names = [name for name in ALL if name in values]
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
