"""Which of two paths into a decoder stage is needed more, and does a map name it?

Over all edges of a network, the number of cells alone ranks them nearly as their cuts do, so a map
that grows with resolution looks as if it knew. What enters *one* decoder stage, over the skip and
from below, has one resolution: there a map's size on one edge is held against its size on the
other, and against what cutting each costs. Chance names the costlier one in half of the pairs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution import targets
from segtrace.attribution.flow import A_FLOW, Flow
from segtrace.attribution.integrate import attribution_patching
from segtrace.attribution.rules import MapOf, Rule
from segtrace.attribution.trace import trace
from segtrace.causal import guards
from segtrace.causal.baselines import Baselines
from segtrace.causal.faithfulness.ranking import GRADIENT_NORM, sizes_of
from segtrace.causal.necessity import Necessity
from segtrace.errors import InputError
from segtrace.labelled import Dataset, names_along, tensor
from segtrace.measures.over_cases import by_case
from segtrace.network.edges import Edge
from segtrace.network.hooks import observe
from segtrace.network.joints import settled
from segtrace.network.logits import Output
from segtrace.network.sites import Site
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped

LEAST_DIFFERENCE = 0.05
"""Dice. Where the two cuts cost no more apart than this, neither path is needed more."""
PATCHING = "attribution patching"
CONSTANT = "always the same path"
CONTROLS = (GRADIENT_NORM, "activation norm", "number of values", CONSTANT)
"""What a map must beat: its two factors each alone, what the architecture says by itself, and one
answer, skip or up, to all pairs, whichever of the two is right more often in the network."""


@guards.held(guards.aligned, baselines=guards.BASELINES, edges=guards.some_or_none)
def sizes(
    net: nn.Module,
    edges: Mapping[str, Edge],
    images: Tensor,
    truth: Tensor,
    channels: Mapping[str, OrganLike],
    baselines: Baselines,
    rules: Iterable[str | Rule | MapOf] = ("seg_grad_cam", "grad_pam"),
    *,
    output: Output | None = None,
    activation: str | None = None,
) -> dict[str, Tensor]:
    """How large every map is on every edge, Σ over cells of |map|: the predictors, and controls.

    Sums, and not means: a cut takes away all cells. Beside the rules stands attribution patching,
    Σ_k G ⊙ (A - stored mean), which estimates the score that the cut costs. The controls
    are the gradient alone, Σ|∂S/∂A|; the activation alone, Σ|A|; and the number of values,
    channels x cells.

    Args:
        net: the network.
        edges: name -> edge.
        images: (N, C, *image).
        truth: (N, *image) label map, or masks (N, C, *image).
        channels: organ -> channel, see :func:`segtrace.attribution.targets.organs`.
        baselines: stored means over training slices, of the edges.
        rules: as in :func:`segtrace.trace`.
        output: picks the logits from what the network returns.
        activation: of the logits; ``None`` where the number of channels says it.

    Returns:
        Name -> (E, O, N) float64; NaN where the organ is absent from the slice.

    Raises:
        InputError: edges that cannot be found; baselines of another network.
    """
    target = targets.organs(channels, "gt", truth, activation)
    asked: dict[str, Any] = {"edges": edges, "output": output, "activation": activation}
    flow = trace(net, {}, images, target, rules, **asked)
    patched = attribution_patching(net, {}, images, target, baselines.channels, **asked)
    own, (estimate,) = sizes_of(flow), patched.rules
    found = {rule: own[rule] for rule in flow.rules}
    found |= {PATCHING: sizes_of(patched)[estimate]}
    return found | factors(net, list(edges.values()), images, flow, output)


@guards.held(flow=A_FLOW)
def factors(
    net: nn.Module,
    sites: Sequence[Site],
    images: Tensor,
    flow: Flow,
    output: Output | None = None,
) -> dict[str, Tensor]:
    """What a map must beat on sites, its two factors each alone and how many values there are.

    Args:
        net: the network.
        sites: those of the flow, in its order.
        images: (N, C, *image), those of the flow.
        flow: of any rule.
        output: picks the logits from what the network returns.

    Returns:
        Name (all but the last of :data:`CONTROLS`) -> (S, O, N) float64; NaN where an organ is
        absent.
    """
    found, absent = {GRADIENT_NORM: sizes_of(flow)[GRADIENT_NORM]}, (flow.region_px == 0).cpu()
    passed = _activations(net, sites, images, output)
    for name, of in zip(CONTROLS[1:3], (_norm, _count), strict=True):
        each = torch.stack([of(activation) for activation in passed]).cpu()  # (S, N)
        every = each[:, None].expand(-1, len(flow.organs), -1).double()
        found[name] = every.masked_fill(absent, torch.nan)
    return found


def _norm(activation: Tensor) -> Tensor:
    return activation.double().abs().flatten(1).sum(1)


def _count(activation: Tensor) -> Tensor:
    return torch.full((len(activation),), float(activation[0].numel()))


def _activations(
    net: nn.Module, sites: Sequence[Site], images: Tensor, output: Output | None
) -> list[Tensor]:
    net = unwrapped(net)
    x = as_input(net, images)
    with undisturbed(net, x.device), torch.no_grad():
        seen = observe(net, settled(net, sites, x), x, output)
    return [seen.activations[site.name] for site in sites]


def pairs(edges: Mapping[str, Edge], without: Iterable[str] = ()) -> dict[str, tuple[int, int]]:
    """Decoder stage -> numbers of the two edges that enter it; stages with more or fewer are left.

    Args:
        edges: name -> edge.
        without: names of edges that are left out: cut vertices, whose cut costs all there is.

    Raises:
        InputError: no stage has two.
    """
    found: dict[str, list[int]] = {}
    left = set(without)
    for number, (name, edge) in enumerate(edges.items()):
        if name not in left:
            found.setdefault(edge.stage, []).append(number)
    several = {stage: (own[0], own[1]) for stage, own in found.items() if len(own) == 2}
    if not several:
        raise InputError(
            "no decoder stage has two edges, so there is no pair to choose from; name edges of a "
            "network with skips"
        )
    return several


def choices(
    lost: Necessity, edges: Mapping[str, Edge], predictors: Mapping[str, Tensor]
) -> Dataset:
    """Whether each predictor is larger on the edge whose cut costs more, pair by pair.

    Args:
        lost: of the edges, in their order.
        edges: name -> edge.
        predictors: name -> (E, O, N), as :func:`sizes` gives them.

    Returns:
        Over ``organ``, decoder ``stage`` and ``case``: ``lost``, the Dice lost by the cut of the
        first edge less that of the second; with the axis ``predictor``, to which the control
        :data:`CONSTANT` is added, ``named``: 1 where it is
        larger on the costlier edge, 0 on the other, 0.5 on neither, NaN where the cuts cost the
        same but for :data:`LEAST_DIFFERENCE` or the organ is not there. ``overall`` and
        ``lost_overall`` are the same of the means over cases.
    """
    import xarray as xr

    vertices = lost.data["site"][lost.data["cut_vertex"]]
    two, cases = pairs(edges, names_along(vertices, "site")), names_along(lost.data, "case")
    first, second = (torch.tensor([pair[n] for pair in two.values()]) for n in (0, 1))

    def apart(values: Tensor) -> Tensor:  # (E, O, N) -> (O, stage, case)
        each = by_case(values, cases)
        return (each[first] - each[second]).movedim(0, 1)

    costs = apart(tensor(lost.dice_lost))
    overall = costs.nanmean(-1)
    sized = torch.stack([
        *(apart(values) for values in predictors.values()),
        torch.full_like(costs, usual_side(overall)),
    ])  # fmt: skip
    axes = ("organ", "stage", "case")
    return xr.Dataset(
        {
            "lost": (axes, costs),
            "named": (("predictor", *axes), _named(costs, sized)),
            "lost_overall": (axes[:2], overall),
            "overall": (("predictor", *axes[:2]), _named(overall, sized.nanmean(-1))),
        },
        {
            "predictor": [*predictors, CONSTANT],
            "organ": names_along(lost.data, "organ"),
            "stage": list(two),
            "case": list(dict.fromkeys(cases)),
        },
    )


def usual_side(costs: Tensor) -> float:
    """1 where the first edges cost more in most pairs, -1 where the second do.

    Args:
        costs: Dice lost by the cut of the first edge less that of the second, of every pair.
    """
    apart = costs[costs.abs() > LEAST_DIFFERENCE]
    return 1.0 if 2 * int((apart > 0).sum()) >= len(apart) else -1.0


def _named(costs: Tensor, sized: Tensor) -> Tensor:
    """1, 0.5 or 0: whether the sign of what is predicted is that of the costs."""
    agree = (sized.sign() * costs.sign() + 1) / 2
    undecided = ~(costs.abs() > LEAST_DIFFERENCE) | sized.isnan()
    return agree.masked_fill(undecided, torch.nan)
