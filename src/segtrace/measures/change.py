"""How maps change along depth and along epochs, compared on the image's grid.

``jensen_shannon_divergence``, in bits, is that of the maps as distributions: 0 for equal maps, 1
for maps that do not overlap. ``spearman`` is the correlation of ranks over all pixels;
``spearman_support`` over the pixels where at least one map is positive, since two mostly black
maps agree on the black.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segtrace.attribution.flow import Flow
from segtrace.errors import InputError
from segtrace.labelled import Dataset
from segtrace.measures import guards
from segtrace.measures.resize import IMAGE, Grid, resized

Floats = NDArray[np.float64]

MEASURES = ("jensen_shannon_divergence", "spearman", "spearman_support")


@guards.held()
def between_stages(flow: Flow, size: Grid | None = None) -> Dataset:
    """Every stage against the next one, in the flow's order.

    Args:
        flow: the maps.
        size: (H, W) or (D, H, W) of the common grid; default that of the prediction.

    Returns:
        :data:`MEASURES` of every stage but the last, float64; axes site, rule, organ, slice. NaN
        where a map is dead or not finite, and for the correlations where a map is constant.

    Raises:
        InputError: a size of slices for volumes, or the other way round.
    """
    size = _common(flow, size)
    stages = list(flow.maps.values())
    before = _Ranked.of(stages[0], size)
    found = []
    for maps in stages[1:]:
        after = _Ranked.of(maps, size)
        found.append(_compare(before, after))
        before = after
    return _named(found, flow)


@guards.held()
def between_epochs(earlier: Flow, later: Flow, size: Grid | None = None) -> Dataset:
    """Every map against the one of another epoch.

    With successive epochs ``jensen_shannon_divergence`` is the churn.

    Args:
        earlier: flow of the earlier epoch.
        later: flow of the later epoch; same stages, rules, organs and slices.
        size: (H, W) or (D, H, W) of the common grid; default that of the prediction.

    Returns:
        The same of every stage.

    Raises:
        InputError: flows of different stages or shapes; a size of slices for volumes, or the other
            way round.
    """
    if earlier.stages != later.stages or earlier.status.shape != later.status.shape:
        raise InputError(
            "epochs can be compared for the same stages, rules, organs and slices only; these have "
            f"{', '.join(earlier.stages)} {tuple(earlier.status.shape[1:])} and "
            f"{', '.join(later.stages)} {tuple(later.status.shape[1:])}"
        )
    size = _common(later, size)
    pairs = ((earlier.maps[stage], later.maps[stage]) for stage in later.stages)
    found = [_compare(_Ranked.of(one, size), _Ranked.of(other, size)) for one, other in pairs]
    return _named(found, later)


def _common(flow: Flow, size: Grid | None) -> Grid:
    if size is not None and len(size) != flow.axes:
        raise InputError(f"size is {size}; the maps ask for ({IMAGE[flow.axes]})")
    return size or flow.prediction.shape[-flow.axes :]


def _named(found: Sequence[Tensor], flow: Flow) -> Dataset:
    """(R, O, N, measure) of the first stages of a flow."""
    names = flow.to_xarray(maps=False).coords.to_dataset().isel(site=slice(len(found)))
    shape = (0, *flow.status.shape[1:], len(MEASURES))
    stacked = torch.stack([*found]) if found else torch.empty(shape, dtype=torch.float64)
    axes = ("site", "rule", "organ", "slice")
    return names.assign({name: (axes, stacked[..., i]) for i, name in enumerate(MEASURES)})


class _Ranked:
    """Maps of one stage as distributions over pixels, with their ranks; both computed once."""

    def __init__(self, shape: tuple[int, ...], shares: list[Floats | None]) -> None:
        self.shape = shape
        self.shares = shares
        self.ranks = [None if share is None else average_ranks(share) for share in shares]

    @classmethod
    def of(cls, maps: Tensor, size: Grid) -> "_Ranked":
        """Of maps (R, O, N, *cells), resized to a size; None for a map without evidence."""
        images = resized(maps.detach().cpu().relu(), size).flatten(0, 2).flatten(1).numpy()
        return cls(tuple(maps.shape[:3]), [_share(image) for image in images])


def _share(image: Floats) -> Floats | None:
    """The image as a distribution, or None where it is not finite or has nothing positive."""
    summed = image.sum(dtype=np.float64)
    return image / summed.astype(image.dtype) if np.isfinite(summed) and summed > 0 else None


def _compare(one: _Ranked, other: _Ranked) -> Tensor:
    """(R, O, N, measure)."""
    found = np.full((len(one.shares), len(MEASURES)), np.nan)
    for i, (p, q, r, s) in enumerate(
        zip(one.shares, other.shares, one.ranks, other.ranks, strict=True)
    ):
        if p is not None and q is not None and r is not None and s is not None:
            found[i] = jsd(p, q), correlation(r, s), support_correlation(p, q, r, s)
    return torch.from_numpy(found).view(*one.shape, len(MEASURES))


def jsd(p: Floats, q: Floats) -> float:
    """Jensen-Shannon divergence of two distributions in bits: 0 the same, 1 without overlap.

    Args:
        p: (pixels,) from 0, summing to 1.
        q: likewise.
    """
    mixed = (p + q) / 2
    return (_information(p, mixed) + _information(q, mixed)) / 2


def _information(p: Floats, mixed: Floats) -> float:
    """Σ p log2(p / mixed); where p is 0 the term is 0."""
    ratio = np.divide(p, mixed, out=np.ones_like(p), where=p > 0)
    return float((p * np.log2(ratio)).sum(dtype=np.float64))


def average_ranks(values: Floats) -> Floats:
    """Ranks 1 … n of values (n,) >= 0, ties sharing their mean rank."""
    order = _order(values)
    rising = values[order]
    begins = np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]]))
    ends = np.append(begins[1:], values.size)
    ranks = np.empty(values.size)
    ranks[order] = np.repeat((begins + 1 + ends) / 2, ends - begins)
    return ranks


def _order(values: Floats) -> NDArray[np.int64]:
    """Positions of values (n,) >= 0 in rising order."""
    if values.dtype != np.float32:
        return values.argsort()
    # The bits of floats >= 0 are in the order of their values, and integers that carry their own
    # position sort four times as fast as positions by their values.
    packed = values.view(np.int32).astype(np.int64) << 32 | np.arange(values.size)
    packed.sort()
    return packed & 0xFFFFFFFF


def correlation(one: Floats, other: Floats) -> float:
    """Pearson correlation of two lists (of ranks: Spearman's); NaN if one of them is constant."""
    one, other = one - one.mean(), other - other.mean()
    # Sums and not @: BLAS wakes threads for a product that takes microseconds.
    norm = np.sqrt((one * one).sum() * (other * other).sum())
    return float((one * other).sum() / norm) if norm > 0 else np.nan


def support_correlation(p: Floats, q: Floats, ranks_p: Floats, ranks_q: Floats) -> float:
    """Spearman's correlation over the pixels where p or q is positive, from the ranks over all."""
    support = (p > 0) | (q > 0)
    outside = p.size - int(support.sum())

    # The pixels left out are ties at 0, the lowest ranks: positive ones move down by their
    # number, the zeros that stay by half of it, the mean of what is left of their tie.
    def moved(share: Floats, ranks: Floats) -> Floats:
        return (ranks - np.where(share > 0, outside, outside / 2))[support]

    return correlation(moved(p, ranks_p), moved(q, ranks_q))


def decoder_stages(stages: Sequence[str]) -> list[int]:
    """Positions of dec1, dec2, …, head among the stages."""
    return [i for i, stage in enumerate(stages) if stage.startswith("dec") or stage == "head"]


def refinement(gain: Tensor, stages: Sequence[str]) -> Tensor:
    """Does ``gain`` rise along dec1 -> head? Kendall's τ of depth and gain, in [-1, 1].

    Gain and not mass: mass rises with resolution alone.

    Args:
        gain: (S, …) per stage, NaN where not defined.
        stages: names along S.

    Returns:
        (…) float64; 1 rises at every stage, -1 falls; NaN with fewer than 3 stages that have it.
    """
    curve = gain[decoder_stages(stages)]
    defined = curve.isfinite().sum(0)
    steps = (curve[None] - curve[:, None]).sign()  # [i, j] = sign(gain_j - gain_i)
    later = torch.ones(len(curve), len(curve), dtype=torch.bool).triu(1)
    rising = steps[later].nansum(0)
    tau = rising / (defined * (defined - 1) / 2)
    return tau.masked_fill(defined < 3, torch.nan)


def contrast(gain: Tensor, stages: Sequence[str]) -> Tensor:
    """Mean gain of the decoder's stages less that of the encoder's.

    What Hasany et al. 2023 say of their Figure 1: the encoder takes in the entire image (gain near
    0), the decoder localises.

    Args:
        gain: (S, …) per stage, NaN where not defined; see :func:`segtrace.measures.energy.gain`.
        stages: names along S; ``head`` belongs to neither side.

    Returns:
        (…), above 0 where the decoder localises better; NaN where one side has no stage with it.
    """
    decoder = [i for i, stage in enumerate(stages) if stage.startswith("dec")]
    encoder = [i for i, stage in enumerate(stages) if stage.startswith("enc")]
    return gain[decoder].nanmean(0) - gain[encoder].nanmean(0)
