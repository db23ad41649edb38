"""Put a rule to the test: do its maps lie on the evidence that was planted?"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from segtrace.attribution import targets
from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.rules import MapOf, Rule
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.attribution.targets import Target
from segtrace.attribution.trace import trace
from segtrace.causal.faithfulness.verdict import NOT_SUPPORTED, NOTHING, SUPPORTED, TOO_FEW
from segtrace.errors import InputError, unknown
from segtrace.measures import energy
from segtrace.measures.over_cases import LEAST_CASES, OverCases, over_cases
from segtrace.network.stages import resolve as resolve_stages
from segtrace.planted.network import ENOUGH, PlantedNetwork, PlantedSlices
from segtrace.planted.score import REFUSED, Interval, PlantedScore, StageScore
from segtrace.planted.swap import held_at_mark
from segtrace.tracking import guards
from segtrace.tracking.explained import Network

HELD = 0.5
"""Part of the class margin from which on a stage is said to hold the class at the mark. Above the
0.45 of the disc that a near mark and its surroundings cover: a class held evenly all over the disc
is not held at the mark."""
WHY = ("margin", "logit")
MapsOf = Callable[[Network, Mapping[str, Target]], Flow]
"""What makes maps: a network with its slices, and what is explained of each class."""


@guards.held(net=guards.optional(guards.a_network_class))
def score_planted(
    rule: str | Rule | MapOf,
    checkpoint: str | Path,
    *,
    why: str = "margin",
    net: type[nn.Module] | None = None,
) -> PlantedScore:
    """Do a rule's maps lie on the mark that decides the class, and not on its decoy?

    Validation slices are explained at every stage, on the disc as it is in truth. Of each map,
    ``gain`` on the mark: (mass - area) / (ceiling - area), mass being the part of the positive map
    on the mark's pixels, area that of a uniform map, ceiling that of the best map the stage's grid
    can show. A map *names* the mark if, over cases, its gain lies above 0 (the mean gain of a map
    moved about by chance is that of the uniform one), above its gain on the decoy, and above the
    untrained network's gain.

    Whether there is anything to name is found by swapping: the activations within AROUND pixels of
    the mark are exchanged for those of the slice's twin, which shows the same but for the marks.
    ``held`` = Σ (margin - margin swapped) / Σ (margin - margin of the twin), the margin being the
    class's logit minus the other's on the disc: 1 where all that the stage knows of the class lies
    there, 0 where it has moved on, to the disc in the end. A map that names the mark where less
    than half is held there, or does not where more is, is ``not supported here``.

    Args:
        rule: a name, a :class:`~segtrace.attribution.rules.Rule`, or a function (activation,
            gradient) -> map.
        checkpoint: of ``train.py experiment=planted``; ``epoch_000.ckpt`` beside it is the
            untrained network, without which that comparison is left out.
        why: what is explained: the class's ``margin`` over the other class, or its ``logit``.
        net: the class of its network, for one outside the table of known ones.

    Returns:
        Scores of all stages. A slice counts where its map can be read (see
        :class:`~segtrace.attribution.flow.Status`) and ``gain`` is defined; a stage without such a
        slice is NaN.

    Raises:
        InputError: a checkpoint that is none of planted evidence; an unknown rule or ``why``.
    """
    (score,) = score_rules([*resolve_rules(rule)], checkpoint, why=why, net=net)
    return score


def score_rules(
    rules: Sequence[str | Rule | MapOf],
    checkpoint: str | Path,
    *,
    why: str = "margin",
    net: type[nn.Module] | None = None,
) -> tuple[PlantedScore, ...]:
    """Several rules for the price of one: see :func:`score_planted`."""
    chosen = resolve_rules(rules)
    if why not in WHY:
        raise unknown("why", why, WHY)
    network = PlantedNetwork.load(checkpoint, net)
    slices = network.slices()

    def traced(own: nn.Module) -> Flow:
        asked = targets_of(network, slices, why)
        return trace(own, network.stages, slices.images, asked, chosen).cpu()

    return _scores(network, slices, traced)


def score_maps(
    maps: MapsOf,
    checkpoint: str | Path,
    *,
    count: int | None = None,
    stages: Sequence[str] | None = None,
    why: str = "margin",
    net: type[nn.Module] | None = None,
) -> PlantedScore:
    """The same of maps that no rule makes, those of an explainer say, by the same measure.

    Maps of the image have the one stage :data:`~segtrace.attribution.flow.INPUT`, where all of the
    class is held at the mark: twins differ in nothing else.

    Args:
        maps: (network with its slices, targets of its classes) -> their maps; of an explainer
            :func:`segtrace.explainers.explainer.maps_by`.
        checkpoint: as of :func:`score_planted`.
        count: the first slices of each case alone, an even number; ``None`` for all.
        stages: names out of the network's stages, of which maps are asked for; ``None`` for all.
        why: as there.
        net: as there.

    Raises:
        InputError: as there; a count that parts twins.
    """
    if why not in WHY:
        raise unknown("why", why, WHY)
    if count is not None and (count < 2 or count % 2):
        raise InputError(f"count={count}; give an even number from 2, lest twins be parted")
    network = PlantedNetwork.load(checkpoint, net)
    slices = network.slices() if count is None else network.slices().first(count)

    def made(own: nn.Module) -> Flow:
        return maps(network.on(slices, own, stages), targets_of(network, slices, why))

    return _scores(network, slices, made)[0]


def _scores(
    network: PlantedNetwork, slices: PlantedSlices, maps: Callable[[nn.Module], Flow]
) -> tuple[PlantedScore, ...]:
    """One a rule of the flow."""
    dice, right = network.dice(slices), network.right(slices)
    flow, before = maps(network.net), network.untrained()
    null = None if before is None else maps(before)
    stages = resolve_stages(network.net, network.stages)
    held = held_at_mark(network.net, stages, slices)
    reason = ""
    if not min(dice, right) > ENOUGH:
        reason = f"Dice {dice:.2f}, class right {right:.2f}; the task is learned above {ENOUGH}"
    return tuple(
        PlantedScore(
            rule=rule,
            task=network.source.task,
            seed=network.source.seed,
            epoch=network.epoch,
            dice=dice,
            reason=reason,
            stages=tuple(
                _scored((stage, r), slices, held[stage], flow, null, bool(reason))
                for stage in flow.stages
                if stage in held  # and not edges, of which it is not known
            ),
        )
        for r, rule in enumerate(flow.rules)
    )


def targets_of(network: PlantedNetwork, slices: PlantedSlices, why: str) -> dict[str, Target]:
    """Class -> its margin over the other class, or the background, where it is; or its logit."""
    channels = network.channels

    def against(own: int) -> int:
        return next((other for other in channels.values() if other != own), 0)

    return {
        name: targets.margin(own, against(own), "gt", slices.truth)
        if why == "margin"
        else targets.organ(own, "gt", slices.truth)
        for name, own in channels.items()
    }


def gains(flow: Flow, which: tuple[str, int], masks: Tensor, own: Tensor) -> Tensor:
    """(N,) gain of each slice's own map on its mask; NaN where one of the two says nothing.

    Args:
        flow: of the two classes.
        which: stage, and number of the rule along the flow's.
        masks: (N, H, W) bool.
        own: (N,) number of each slice's organ along the flow's.
    """
    (stage, rule), number = which, torch.arange(len(own))
    maps = flow.maps[stage][rule, own, number]
    status = flow.status[flow.stages.index(stage), rule, own, number]
    grid = (maps.shape[-2], maps.shape[-1])
    places = energy.Organs.on(masks.to(maps.dtype), grid)
    found = energy.gain(places.mass(maps), places.ceiling(), energy.area(masks.float()))
    return energy.nan_where(status >= Status.GAP_DEGENERATE, found)


def _scored(
    which: tuple[str, int],
    slices: PlantedSlices,
    held: tuple[Tensor, Tensor],
    flow: Flow,
    null: Flow | None,
    refused: bool,
) -> StageScore:
    own = (slices.own - 1).clamp(min=0)  # without a class its maps are absent, and not counted
    gain = gains(flow, which, slices.evidence, own)
    decoy = gains(flow, which, slices.decoy, own)
    before = torch.full_like(gain, torch.nan)
    if null is not None:
        before = gains(null, which, slices.evidence, own)
    cases = slices.cases
    named, beyond_decoy = over_cases(gain, cases), over_cases(gain - decoy, cases)
    beyond_untrained = over_cases(gain - before, cases)
    share = float(energy.ratio(held[0].sum(), held[1].sum()))
    beaten = (named, beyond_decoy, beyond_untrained)[: 2 + (null is not None)]
    names = all(bool(found.above()) for found in beaten)
    return StageScore(
        stage=which[0],
        verdict=REFUSED if refused else _word(int(named.cases), share >= HELD, names),
        held=share,
        held_interval=_ends(over_cases(held[0], cases, held[1])),
        gain=float(named.mean),
        gain_interval=_ends(named),
        decoy=float(over_cases(decoy, cases).mean),
        beyond_decoy=_ends(beyond_decoy),
        untrained=float(over_cases(before, cases).mean),
        beyond_untrained=_ends(beyond_untrained),
        slices=int(gain.isfinite().sum()),
        cases=int(named.cases),
    )


def _word(cases: int, held: bool, named: bool) -> str:
    if cases < LEAST_CASES:
        return TOO_FEW
    if held != named:
        return NOT_SUPPORTED
    return SUPPORTED if held else NOTHING


def _ends(found: OverCases) -> Interval:
    return float(found.low), float(found.high)
