"""Does the map predict the cut? Remove the places it marks, and places like them.

A map that tells where the evidence is must cost more Dice, when the cells it marks are cut out of
its stage, than as many cells elsewhere: its own pattern moved within the body, which keeps the
shape of its blobs; cells of the body drawn at random; the brightest cells of the image and those
where the activation is largest, which know the image and not the network or the organ; and the
cells that the map of the untrained network marks. Only positive cells are removed. Cells in the
organ win this game for any map, so it is also played with cells outside the organ and its rim
alone.
"""

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution.flow import A_FLOW, Flow
from segtrace.attribution.forward import Output
from segtrace.causal import guards
from segtrace.causal.baselines import Baselines
from segtrace.causal.batches import SLICES, Batches, Clock
from segtrace.causal.faithfulness.removal import WAYS, Removal, passes
from segtrace.causal.outcome import Judge
from segtrace.causal.replacement import replacing
from segtrace.errors import InputError, unknown
from segtrace.labelled import Dataset, Form
from segtrace.network.cached_forward import CachedForward, Timetable
from segtrace.network.joints import settled
from segtrace.network.sites import Site
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import OnProgress

__all__ = ["WAYS", "WHERE", "deletion"]

WHERE = ("anywhere", "outside")


DELETION = Form(
    {"lost": "where site rule organ way slice", "whole": "organ slice"},
    {"where": "where", "sites": "site", "rules": "rule", "organs": "organ", "ways": "way",
     "cases": "case slice"},
    ("fractions",),
)  # fmt: skip


@guards.held(
    where=guards.some(guards.names),
    flow=A_FLOW,
    untrained=guards.optional(A_FLOW),
    body=guards.optional(guards.instance(Tensor, "a tensor of bool")),
)
def deletion(
    net: nn.Module,
    flow: Flow,
    sites: Sequence[Site],
    images: Tensor,
    truth: Tensor,
    channels: Mapping[str, OrganLike],
    baselines: Baselines | None = None,
    *,
    cases: Sequence[str] | None = None,
    where: Sequence[str] = WHERE,
    fractions: Sequence[float] = (0.05, 0.1, 0.2),
    draws: int = 5,
    cut: str = "channel_mean",
    seed: int = 0,
    untrained: Flow | None = None,
    body: Tensor | None = None,
    batch: int = SLICES,
    output: Output | None = None,
    activation: str | None = None,
    progress: OnProgress | None = None,
) -> Dataset:
    """Remove the marked cells of every map of a flow.

    Costs, for every site, rule, ``where`` and fraction, 3 + 2 ``draws`` passes (one more with
    ``untrained``) of what lies behind the site, times the organs of the fullest slice. Use slices
    of cases that the network was not trained on.

    Args:
        net: the network.
        flow: maps at these sites for these slices and organs.
        sites: the sites, in the flow's order or part of them.
        images: (N, C, *image) the slices of the flow.
        truth: (N, *image) label map, or masks (N, C, *image).
        channels: organ -> channel, of the flow's organs.
        baselines: for the cut, see :func:`segtrace.causal.replacement.replacing`.
        cases: name of each slice's case; by default every slice is one of its own.
        where: ``anywhere``, ``outside`` the organ and its rim, or both.
        fractions: parts of a stage's cells, in (0, 1).
        draws: shifted and random patterns per map.
        cut: what stands in the place of removed cells.
        seed: of the patterns.
        untrained: the same maps of the untrained network, a control more.
        body: (N, *image) bool, where tissue is: controls stay there; ``None`` for everywhere.
        batch: slices per pass; halves when memory runs out.
        output: picks the logits from what the network returns.
        activation: of the logits; ``None`` where the number of channels says it.
        progress: called with an estimate before the start and after every pass.

    Returns:
        ``lost``: Dice lost, mean over fractions and draws; axes where, site, rule, organ, way and
        slice. The ways are :data:`WAYS`; NaN where the organ is
        absent, the map marks nothing, too few cells are outside the organ, or the untrained
        network is not known. ``whole``: Dice of the network as it is; organ, slice. ``case``: of
        each slice. ``fractions``, in the attributes: those given.

    Raises:
        InputError: sites or organs that the flow does not hold; fractions outside (0, 1); an organ
            that is in none of the slices or that the network does not find at all.
    """
    net = unwrapped(net)
    names = tuple(cases) if cases is not None else tuple(str(n) for n in range(len(images)))
    _check(flow, sites, images, channels, names, where, fractions)
    x = as_input(net, images)
    with undisturbed(net, x.device), torch.no_grad():
        judge = Judge.at(net, x, channels, truth, "logit", activation, output).checked()
        sites = settled(net, sites, x)
        timetable = Timetable.of(net, x[:1])
        replacement = replacing(net, sites, x, names, cut, baselines, draws, seed, output)
        runs = list(
            Batches(batch).over(
                len(x), lambda part: CachedForward.of(net, x[part], timetable, sites, output)
            )
        )
        whole = torch.cat([judge.whole(run.logits, part).dice for part, run in runs], 1)
        _refuse_blind(whole, tuple(channels))
        tissue = torch.ones_like(judge.masks[0]).cpu() if body is None else body.cpu().bool()
        count = passes(flow, sites, len(fractions), draws, untrained is not None)
        clock = Clock(len(where) * count, _seconds(runs[0][1], sites), progress)
        removal = Removal(runs, replacement, judge, tuple(fractions), draws, seed,
                          body=tissue, step=clock.step)  # fmt: skip
        left = torch.stack(
            [
                torch.stack([removal.left(flow, site, place, untrained) for site in sites])
                for place in where
            ]
        )
    names_of = {
        "where": where,
        "sites": [site.name for site in sites],
        "rules": flow.rules,
        "organs": channels,
        "ways": WAYS,
        "cases": names,
    }
    numbers = {"lost": whole[:, None] - left, "whole": whole, "fractions": tuple(fractions)}
    return DELETION.dataset(names_of | numbers)


def _seconds(run: CachedForward, sites: Sequence[Site]) -> float:
    """What one slice takes behind a site, on average over the sites."""
    start = time.perf_counter()
    for site in sites:
        run.run(site)
    return (time.perf_counter() - start) / (len(sites) * len(run.x))


def _check(
    flow: Flow,
    sites: Sequence[Site],
    images: Tensor,
    channels: Mapping[str, OrganLike],
    cases: Sequence[str],
    where: Sequence[str],
    fractions: Sequence[float],
) -> None:
    for site in sites:
        if site.name not in flow.stages:
            raise unknown("map of", site.name, flow.stages, "this flow")
    for place in where:
        if place not in WHERE:
            raise unknown("place", place, WHERE)
    if tuple(channels) != flow.organs:
        raise InputError(
            f"the flow explains {', '.join(flow.organs)}; give their channels in this order"
        )
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        raise InputError(f"fractions are {tuple(fractions)}; give parts between 0 and 1")
    if not len(cases) == len(images) == flow.scores.shape[1]:
        raise InputError(
            f"{len(images)} slices, {len(cases)} cases, {flow.scores.shape[1]} slices in the flow; "
            "they must be as many"
        )


def _refuse_blind(whole: Tensor, organs: Sequence[str]) -> None:
    for organ, dice in zip(organs, whole, strict=True):
        if not float(dice.nansum()) > 0:
            raise InputError(
                f"the network's Dice for {organ!r} is 0 in every slice: there is nothing to lose, "
                "and no verdict on its maps; leave the organ out"
            )
