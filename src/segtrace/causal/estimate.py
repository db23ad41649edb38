"""Attribution patching with what a cut puts in a site's place: the score that it would cost."""

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow
from segtrace.attribution.patching import NAME, patching_rule
from segtrace.attribution.rules import Rule
from segtrace.causal.replacement import Replacement


def estimating(replacement: Replacement, draws: int = 1) -> Rule:
    """The rule whose maps sum up to what a cut would cost; of several draws, to their mean.

    Args:
        replacement: what the cut puts in the place of an activation.
        draws: as many as the cut has.
    """

    def reference(site: str, activation: Tensor, which: slice) -> Tensor:
        drawn = [replacement(site, activation, which, draw) for draw in range(draws)]
        return torch.stack(drawn).mean(0) if draws > 1 else drawn[0]

    return patching_rule(reference)


def estimated(flow: Flow) -> Tensor:
    """(S, O, N) float64: the score that cutting each site would cost, to first order.

    In units of φ, a mean over the region's pixels, as the score of a
    :class:`~segtrace.causal.necessity.Necessity` is; NaN where the region is empty.

    Args:
        flow: with the rule of :func:`estimating` among its rules.
    """
    rule = flow.rules.index(NAME)
    total = torch.stack([maps[rule].double().flatten(2).sum(2) for maps in flow.maps.values()])
    return per_pixel(total, flow.region_px)


def per_pixel(total: Tensor, region_px: Tensor) -> Tensor:
    """(…, O, N) float64 sums over regions as means over their (O, N) pixels; NaN of none."""
    return total.double() / torch.where(region_px > 0, region_px, torch.nan)
