"""One map out of the maps of several stages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from segtrace.attribution.flow import A_FLOW, Flow, Status
from segtrace.errors import InputError, unknown
from segtrace.network import guards

WAYS = ("minmax", "max", "weighted", "product", "maximum")
OF_MINMAX = ("minmax", "product", "maximum")
"""Those that scale each map from its minimum to its maximum; others divide by the maximum."""


@dataclass(frozen=True)
class Aggregate:
    """A map over several stages.

    Attributes:
        map: (R, O, N, H, W) in [0, 1]; NaN where no stage could be used.
        used: (R, O, N) number of stages that went in.
        stages: names of the stages asked for.
        how: the way, one of :data:`WAYS`.
    """

    map: Tensor
    used: Tensor
    stages: tuple[str, ...]
    how: str


@guards.held(
    flow=A_FLOW,
    stages=guards.optional(guards.names),
    how=guards.a_name,
    weights=guards.optional(guards.numbers),
)
def aggregate(
    flow: Flow,
    stages: Iterable[str] | None = None,
    how: str = "minmax",
    weights: Mapping[str, float] | None = None,
) -> Aggregate:
    """The maps of all decoder stages in one (Mullan and Sonka 2022).

    Each map is rectified, resized to the largest (bilinear, half-pixel centres) and scaled;
    ``minmax`` then takes the plain mean 1/|L| Σ_l minmax(U(ReLU(L_l))). That is what the authors'
    code does; their abstract speaks of a weighted sum. ``max`` scales by the maximum alone, so
    that zero stays zero. ``weighted`` divides that by the weights given, Σ_l m_l L_l/max / Σ_l m_l,
    e.g. by the Dice lost when the stage is cut. ``product`` and ``maximum`` are SegNBDT's (Wan et
    al. 2020): Π_l and max_l of minmax(U(ReLU(L_l))), which is bright where all stages are, and
    where one is.

    Scaling gives a dying stage the same vote as a strong one, so stages whose status is not ``ok``
    are left out, and counted. The authors take every convolution after the bottleneck; here the
    stages' own outputs are taken.

    Do use it as a picture of the decoder as a whole. Do not use it for numbers over epochs.

    Args:
        flow: the maps.
        stages: their names; by default those that begin with ``dec``.
        how: a name in :data:`WAYS`.
        weights: stage -> m >= 0; for ``weighted``.

    Raises:
        InputError: unknown stages or way, no stages, weights that are missing or negative.
    """
    names = tuple(n for n in flow.stages if n.startswith("dec")) if stages is None else (*stages,)
    for name in names:
        if name not in flow.maps:
            raise unknown("stage", name, flow.maps, "this flow")
    if not names:
        raise InputError(f"no stage begins with dec; name some of {', '.join(flow.stages)}")
    if how not in WAYS:
        raise unknown("way to aggregate", how, WAYS)
    share = _shares(names, how, weights)
    size = max((flow.maps[name].shape[3:] for name in names), key=lambda cells: cells.numel())
    usable = torch.stack([flow.status[flow.stages.index(n)] == Status.OK for n in names])
    there = usable.reshape(*usable.shape, *[1] * len(size))  # (L, R, O, N, 1, 1)
    votes = there * torch.tensor([share[n] for n in names]).to(usable.device).reshape(
        -1, *[1] * (there.ndim - 1)
    )
    scaled = torch.stack(
        [_scaled(on_grid(flow.maps[n].relu(), size), how in OF_MINMAX) for n in names]
    )
    if how in ("product", "maximum"):
        used = usable.sum(0)
        among = torch.where(there, scaled, 1.0 if how == "product" else 0.0)
        found = among.prod(0) if how == "product" else among.amax(0)
        none = (used == 0).reshape(*used.shape, *[1] * len(size))
        return Aggregate(found.masked_fill(none, torch.nan), used, names, how)
    # A map that is not finite must not reach the sum through 0 · NaN.
    total = torch.where(there, votes * scaled, 0).sum(0)
    return Aggregate(total / votes.sum(0), usable.sum(0), names, how)


def with_merged(flow: Flow, merged: Mapping[str, Aggregate]) -> Flow:
    """A flow with maps over several stages as sites more, behind its own.

    Args:
        flow: the maps.
        merged: name -> what :func:`aggregate` made of them. Where it could use no stage, the status
            is the least that its stages have.
    """
    status = [flow.status]
    for one in merged.values():
        own = flow.status[[flow.stages.index(name) for name in one.stages]]
        status.append(own.amin(0).where(one.used == 0, Status.OK).to(own)[None])
    unknown = flow.kappa[:1].expand(len(merged), *flow.kappa.shape[1:]) * torch.nan
    return replace(
        flow,
        maps={**flow.maps, **{name: one.map for name, one in merged.items()}},
        status=torch.cat(status),
        kappa=torch.cat([flow.kappa, unknown]),
        gradient_l1=torch.cat([flow.gradient_l1, unknown.to(flow.gradient_l1)]),
    )


def _shares(
    names: Iterable[str], how: str, weights: Mapping[str, float] | None
) -> Mapping[str, float]:
    if how != "weighted":
        return dict.fromkeys(names, 1.0)
    weights = weights or {}
    for name in names:
        if not weights.get(name, -1) >= 0:
            raise InputError(f"weighted needs a weight >= 0 of stage {name!r}; got {dict(weights)}")
    return weights


def on_grid(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (…, *cells) resized to (…, *size): linear along each axis, half-pixel centres."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    before = maps.shape[: -len(size)]
    flat = maps.reshape(-1, 1, *maps.shape[-len(size) :])
    resized = nn.functional.interpolate(flat, size=tuple(size), mode=mode, align_corners=False)
    return resized.reshape(*before, *size)


def _scaled(maps: Tensor, from_minimum: bool) -> Tensor:
    """To [0, 1], each map by itself; a map without a range stays 0."""
    cells = tuple(range(3, maps.ndim))
    if from_minimum:
        maps = maps - maps.amin(cells, keepdim=True)
    return maps / maps.amax(cells, keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
