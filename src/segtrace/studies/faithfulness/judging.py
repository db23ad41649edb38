"""Put the maps to the test: does what they mark, and how they rank, bear out when it is cut?"""

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from segtrace.causal.baselines import Baselines
from segtrace.causal.faithfulness.ranking import Ranking
from segtrace.causal.faithfulness.verdict import Verdict
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.labelled import Dataset, names_along
from segtrace.network.edges import Edge
from segtrace.network.sites import Site
from segtrace.network.stages import Stage
from segtrace.progress import step
from segtrace.report.scene import FINAL
from segtrace.studies.faithfulness.cuts import FaithfulnessCuts
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.tracking.edges import sites
from segtrace.tracking.explained import Network, organs_on

Shown = Callable[[str], Any]
"""Words -> a context that gives what to hand to a long piece of work as its ``progress``."""


def no_progress(_words: str) -> Any:
    """No progress output."""
    return nullcontext()


@dataclass(frozen=True)
class FaithfulnessResult:
    """What cutting says of a network's maps.

    Attributes:
        epoch: finished passes; ``None`` where not known.
        verdicts: on the places that each rule marks at each stage, organ by organ and together.
        rankings: of the edges by maps and shares, and by what those must beat; empty for a network
            without known edges.
        carried: what each edge carries to another case's slice; ``None`` without known edges.
        cases: how many the slices are of.
        slices: how many.
        left_out: organ -> why nothing is said of it.
        untrained: whether the untrained network was there to be held against.
        marks: what the slices are not, in capitals.
        stages: all of the network's, of which some may have been asked for.
    """

    epoch: int | None
    verdicts: tuple[Verdict, ...]
    rankings: tuple[Ranking, ...]
    carried: Dataset | None
    cases: int
    slices: int
    left_out: Mapping[str, str]
    untrained: bool
    marks: tuple[str, ...]
    stages: tuple[str, ...]


def judge_maps(
    network: Network,
    edges: Mapping[str, Any] | None,
    baselines: Baselines | None,
    *,
    untrained: Network | None = None,
    epoch: int | None = None,
    seed: int = 0,
    shown: Shown = no_progress,
) -> FaithfulnessResult:
    """Cut what the maps mark, and rank the edges by what cutting them costs.

    Use slices of several cases that the network was not trained on: the case is the unit.

    Args:
        network: network and slices; the settings say which rules.
        edges: name -> edge; ``None`` for the table of known networks, ``{}`` for none.
        baselines: means over training slices.
        untrained: the same network before training, as a control.
        epoch: finished passes.
        seed: of all draws.
        shown: shows how far each part has come.

    Raises:
        InputError: slices without labels; missing baselines; a network that finds no organ at all;
            of the stages the head alone.
    """
    probes = network.probes
    if probes.labels is None:
        raise InputError("maps are tried against labels, which these slices lack")
    if baselines is None:
        raise InputError(
            "this checkpoint holds no baselines, which stand in the place of what is cut; train "
            "with callbacks.baselines"
        )
    truth = probes.labels
    asked, held = organs_on(truth, network.channels, network.settings.organs)
    cuts = FaithfulnessCuts(network, truth, held, baselines, seed)
    places = sites(network.net, network.stages, edges)
    stages = _judged(places, network.settings.stages)
    with shown("Cutting edges") as progress:
        lost = cuts.necessity(places, progress)
    there = (lost.data["whole_dice"] > 0).any("slice")
    found = names_along(there[there], "organ")
    if not found:
        raise InputError(
            "the network finds none of the organs on these slices (Dice 0): there is nothing to "
            "lose, and no verdict on its maps"
        )
    cuts = replace(cuts, channels={organ: held[organ] for organ in found})
    with shown("Removing what maps mark") as progress:
        judged = cuts.verdicts(stages, untrained, progress)
    own = {place.name: place for place in places if isinstance(place, Edge)}
    return FaithfulnessResult(
        epoch=epoch,
        verdicts=tuple(judged),
        rankings=tuple(cuts.rankings(own, lost, untrained)) if own else (),
        carried=cuts.carried(list(own.values())) if own else None,
        cases=len(set(probes.cases)),
        slices=len(probes),
        left_out=_left_out(list(asked), held, found),
        untrained=untrained is not None,
        marks=probes.marks,
        stages=tuple(place.name for place in places if isinstance(place, Stage)),
    )


def judge_trained(
    trained: TrainedNetwork, untrained: TrainedNetwork | None, probes: Probes, seed: int = 0
) -> FaithfulnessResult:
    """Test a checkpoint's maps, with a line for every part.

    Args:
        trained: the network.
        untrained: the same before training, if it is at hand.
        probes: slices of several cases.
        seed: of all draws.

    Raises:
        InputError: see :func:`judge_maps`.
    """
    before = None if untrained is None else untrained.on(probes)
    return judge_maps(
        trained.on(probes),
        trained.edges,
        trained.baselines,
        untrained=before,
        epoch=trained.epoch,
        seed=seed,
        shown=step,
    )


def _judged(places: Collection[Site], names: Collection[str] | None) -> list[Stage]:
    """The stages asked for whose maps are judged: all but the head, whose map is the prediction."""
    stages = [place for place in places if isinstance(place, Stage) and place.name != FINAL]
    chosen = [stage for stage in stages if names is None or stage.name in names]
    if not chosen:
        before = ",".join(stage.name for stage in stages)
        raise InputError(
            f"at the {FINAL} the map is the prediction redrawn, and is not judged; name a stage "
            f"before it, of stages=[{before}]"
        )
    return chosen


def _left_out(asked: list[str], held: Collection[str], found: list[str]) -> dict[str, str]:
    absent = dict.fromkeys((o for o in asked if o not in held), "on none of the slices")
    return absent | dict.fromkeys((o for o in held if o not in found), "not found at all (Dice 0)")
