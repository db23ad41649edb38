"""Attribution patching beside the cuts that it estimates: how far off, and in which order."""

from collections.abc import Mapping

import torch
from torch import Tensor

from segtrace.causal.faithfulness.agreement import by_row
from segtrace.causal.faithfulness.paths import pairs
from segtrace.causal.necessity import Necessity
from segtrace.labelled import Dataset, names_along, tensor
from segtrace.measures.over_cases import by_case
from segtrace.network.edges import Edge

LEAST_LOSSES = 4
"""Of fewer an order says nothing: two are in the right one half of the time."""


def beside_cuts(estimate: Tensor, lost: Necessity) -> Dataset:
    """The estimates beside what the same cuts cost, and how far off they are at every site.

    Args:
        estimate: (S, O, N) of the sites, organs and slices of ``lost``, see :func:`estimated`.
        lost: made with the cut that the estimate is of.

    Returns:
        Over ``site``, ``organ`` and ``slice``: ``estimate``, and ``score_lost`` and ``dice_lost``
        by the cut. Over ``site``, of all its organs and slices: ``pairs``, how many those are;
        ``bias``, mean of estimate less score lost; ``rmse``, the root of the mean square of that;
        ``size``, the root of the mean square of the score lost: what an estimate of 0 is off by.
    """
    real = lost.score_lost
    found = real.to_dataset(name="score_lost").assign(
        estimate=(real.dims, estimate), dice_lost=lost.dice_lost
    )
    off, axes = found["estimate"] - real, real.dims[1:]
    return found.assign(
        pairs=off.notnull().sum(axes),
        bias=off.mean(axes),
        rmse=(off**2).mean(axes) ** 0.5,
        size=(real.where(off.notnull()) ** 2).mean(axes) ** 0.5,
        place=lost.data["place"],
        cut_vertex=lost.data["cut_vertex"],
    )


def within_stages(
    lost: Necessity, edges: Mapping[str, Edge], predictors: Mapping[str, Tensor]
) -> Dataset:
    """How predictors order the losses among the edges of one decoder stage, which one grid holds.

    Over all sites the number of cells alone orders the losses (see
    :mod:`segtrace.causal.faithfulness.paths`); within a decoder stage it is the same.

    Args:
        lost: of the edges, in their order; cut vertices are left out.
        edges: name -> edge.
        predictors: name -> (E, O, N).

    Returns:
        ``rho`` over ``predictor``, ``organ`` and ``stage``: Spearman's, over the two edges and all
        cases together, with the score lost; NaN where one of the two does not vary, and of fewer
        than :data:`LEAST_LOSSES`. ``losses`` over organ and stage: how many there are.

    Raises:
        InputError: no stage has two edges.
    """
    import xarray as xr
    from scipy.stats import spearmanr

    vertices = names_along(lost.data["site"][lost.data["cut_vertex"]], "site")
    two, cases = pairs(edges, vertices), names_along(lost.data, "case")

    def of_stages(values: Tensor) -> Tensor:  # (E, O, N) -> (stage, O, 2 C)
        each = by_case(values, cases)
        return torch.stack([each[list(own)].movedim(0, 1).flatten(1) for own in two.values()])

    real, found = of_stages(tensor(lost.score_lost)), {}
    for name, values in predictors.items():
        guess = of_stages(values)
        known = ~(guess.isnan() | real.isnan())
        found[name] = torch.tensor([
            [float(by_row(spearmanr, g[k][None], r[k][None])) if k.sum() >= LEAST_LOSSES
             else torch.nan for g, r, k in zip(*stage, strict=True)]
            for stage in zip(guess, real, known, strict=True)
        ])  # fmt: skip
    rho = torch.stack([*found.values()]).transpose(1, 2)
    names = [list(predictors), names_along(lost.data, "organ"), list(two)]
    axes = ("predictor", "organ", "stage")
    losses = real.isfinite().sum(-1).T
    return xr.Dataset(
        {"rho": (axes, rho), "losses": (axes[1:], losses)}, dict(zip(axes, names, strict=True))
    )
