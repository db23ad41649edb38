"""The maps that are compared: of every rule and explainer, and those that know nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from torch import Tensor, nn

from segtrace.activation import organs_of, predicted_mask
from segtrace.attribution.aggregate import aggregate, with_merged
from segtrace.attribution.flow import Flow
from segtrace.attribution.targets import Target
from segtrace.causal.faithfulness.comparison import CONTROL
from segtrace.causal.faithfulness.masking import brightness
from segtrace.explainers.explainer import Budget, Explainer, OutOfTimeError
from segtrace.explainers.image_result import INPUT
from segtrace.explainers.stage_maps import flow_of
from segtrace.measures.locality import locality
from segtrace.network.undisturbed import unwrapped
from segtrace.progress import say, step
from segtrace.report.captions import title_of
from segtrace.tracking.explained import Network, chosen_organs, flows_of_parts, traced

DECODER = "the whole decoder"
"""All decoder stages in one map, each divided by its maximum."""
RULE, EXPLAINER = "rule", "explainer"
PREDICTION, IMAGE, RANDOM = "the prediction itself", "the CT itself", "random pixels"


@dataclass(frozen=True)
class Row:
    """Maps that are measured as one.

    Attributes:
        name: of the row.
        kind: ``rule``, ``explainer`` or ``control``.
        maps: one or several (O, N, *cells), signed; of several the mean of the numbers is taken.
        status: (O, N) of them.
        locality: (O, N) of the maps of a rule; ``None`` where it was not asked.
        seconds: of all slices, shared with the rows of the same run; NaN where nothing was run.
        passes: forward passes, likewise, a slice.
    """

    name: str
    kind: str
    maps: tuple[Tensor, ...]
    status: Tensor
    locality: Tensor | None = None
    seconds: float = torch.nan
    passes: float = torch.nan


@dataclass
class Spent:
    """What a run took: seconds, and slices that went through the network."""

    seconds: float = 0.0
    slices: int = 0


@contextmanager
def spent(net: nn.Module) -> Iterator[Spent]:
    """Count inside the block; the network is as before behind it."""
    found, start = Spent(), perf_counter()

    def count(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        found.slices += len(given[0])

    handle = unwrapped(net).register_forward_pre_hook(count)
    try:
        yield found
    finally:
        handle.remove()
        found.seconds = perf_counter() - start


def telling(stages: Sequence[str]) -> list[str]:
    """The bottleneck and the last decoder stage; all stages where these are not known."""
    sides = ([name for name in stages if name.startswith(side)] for side in ("enc", "dec"))
    found = [own[-1] for own in sides if own]
    return found if len(found) == 2 else list(stages)


def of_rules(network: Network, asked: Sequence[str] | None) -> tuple[Flow, list[Row]]:
    """The flow of the rules, and their rows: the stages asked for, and the decoder in one.

    Args:
        network: which is settled.
        asked: names of stages; ``None`` for :func:`telling` ones.
    """
    with spent(network.net) as cost:
        record = traced(network)
    flow, slices = record.flow, len(network.probes)
    masks = record.masks(flow.organs)
    apart = locality(*flows_of_parts(network, masks))  # (S, R, O, N)
    decoder = [name for name in flow.stages if name.startswith("dec")]
    stages = list(asked or telling(flow.stages))
    if len(decoder) > 1:
        flow = with_merged(flow, {DECODER: aggregate(flow, decoder, "max")})
        stages.append(DECODER)
    rows = [
        Row(
            f"{title_of(rule)} at {site}",
            RULE,
            (flow.maps[site][r],),
            flow.status[flow.sites.index(site), r],
            apart[flow.sites.index(site), r] if site != DECODER else None,
            cost.seconds,
            cost.slices / slices,
        )
        for r, rule in enumerate(flow.rules)
        for site in stages
    ]
    return flow, rows


def of_explainer(
    explainer: Explainer, network: Network, targets: Mapping[str, Target], epoch: int | None
) -> Iterator[Row]:
    """A row a map of the image, or of a stage that the settings name.

    None where it draws no map of every organ, or lacks the time, which is said.
    """
    try:
        with spent(network.net) as cost:
            found = explainer.explain(network, targets, Budget(explainer.max_seconds, step), epoch)
    except OutOfTimeError as error:
        say(str(error))
        return
    flow = found.flow
    if flow is None or flow.organs != tuple(targets):
        say(f"{explainer.title} draws no map of every organ, so it is left out")
        return
    for s, site in enumerate(flow.sites):
        if site != INPUT and site not in (network.settings.stages or flow.sites):
            continue  # an edge: skip and up would be two rows more a stage
        where = "" if site == INPUT else f" at {site}"
        for r, rule in enumerate(flow.rules):
            name = explainer.title if len(flow.rules) == 1 else f"{explainer.title}, {rule}"
            yield Row(f"{name}{where}", EXPLAINER, (flow.maps[site][r],), flow.status[s, r], None,
                      cost.seconds, cost.slices / len(network.probes))  # fmt: skip


def controls(flow: Flow, network: Network, draws: int, seed: int) -> list[Row]:
    """Rows that know nothing: random pixels, the CT, and the prediction that is explained."""
    images = network.probes.images
    shape = (len(flow.organs), *brightness(images).shape)
    by = torch.Generator().manual_seed(seed)
    drawn = tuple(torch.rand(shape, generator=by) for _ in range(draws))
    asked = chosen_organs(network.channels, list(flow.organs))
    organs = organs_of(asked, flow.activation).values()
    found = torch.stack([predicted_mask(flow.prediction, one) for one in organs]).float()
    maps = {RANDOM: drawn, IMAGE: (brightness(images).expand(shape),), PREDICTION: (found,)}
    return [Row(name, CONTROL, own, _status(flow, own[0])) for name, own in maps.items()]


def untrained(rows: Sequence[Row]) -> list[Row]:
    """Rows of the untrained network, as controls."""
    return [replace(row, name=f"{row.name}, untrained", kind=CONTROL) for row in rows]


def together(flow: Flow, rows: Sequence[Row]) -> tuple[Flow, list[int]]:
    """One flow of all maps, a site each, and the row that each is of."""
    of = [r for r, row in enumerate(rows) for _ in row.maps]
    names = [f"{rows[r].name} {k}" for k, r in enumerate(of)]
    maps = [one for row in rows for one in row.maps]
    unknown = torch.full((len(of), *flow.scores.shape), torch.nan)
    joined = replace(
        flow,
        maps={name: one[None] for name, one in zip(names, maps, strict=True)},
        status=torch.stack([rows[r].status for r in of])[:, None].to(torch.int8),
        kappa=unknown,
        gradient_l1=unknown.double(),
        rules=("map",),
    )
    return joined, of


def _status(flow: Flow, maps: Tensor) -> Tensor:
    scores = dict(zip(flow.organs, flow.scores, strict=True))
    own = flow_of("map", flow.score, {INPUT: maps}, scores, flow.region_px, flow.prediction,
                  flow.activation)  # fmt: skip
    return own.status[0, 0]
