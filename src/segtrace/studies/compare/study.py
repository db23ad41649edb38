"""Which method's maps carry the prediction? All of them in one table, beside what knows nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from segtrace.causal.faithfulness.comparison import columns
from segtrace.causal.faithfulness.pixels import passes_of_map
from segtrace.errors import InputError, unknown
from segtrace.explainers.dardouillet2022.kernel_shap import KernelShap
from segtrace.explainers.desai2020 import AblationCam
from segtrace.explainers.explainer import Explainer
from segtrace.explainers.mullan2023 import KernelWeighted
from segtrace.explainers.petsiuk2018 import Rise
from segtrace.progress import Steps, clock, counted, say
from segtrace.report.claims.recognition import why_not
from segtrace.studies.compare.files import Compared
from segtrace.studies.compare.numbers import HIDING, numbers
from segtrace.studies.compare.rows import Row, controls, of_explainer, of_rules, telling, untrained
from segtrace.studies.explainers import on_network
from segtrace.studies.inputs.images import Images, LooksAt
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.study import Result, refuse_beside
from segtrace.tracking.explained import Network, scene, settled, targets_of

LEFT_ASIDE = ("log_dir", "measures", "aggregate")
"""Options of ``explain.py`` that say nothing here."""
CHEAP: tuple[type[Explainer], ...] = (Rise, KernelShap, AblationCam, KernelWeighted)
"""Explainers that are run where none is named: at most some thousand passes a slice."""


@dataclass(frozen=True)
class Compare:
    """Every rule and explainer on the same slices, by the same measures.

    Give slices of five cases or more that the network was not trained on (``data=…``): of fewer
    there are numbers and no claim.

    Attributes:
        steps: parts that the pixels are taken in, and steps of the threshold; 100 as the authors'
            1 %, which costs five times as much. An organ smaller than one part is gone with the
            first: no deletion is then below 1 / (2 steps).
        hidden: what stands in the place of pixels: ``black`` (0 of the network's input), ``blur``,
            ``mean``.
        draws: random maps, whose mean is one row.
        explainers: whether those that are cheap enough are run where none is named by
            ``explainer=[…]``.

    Raises:
        InputError: options without sense.
    """

    looks_at: ClassVar[LooksAt] = "spread"
    of_one_run: ClassVar[bool] = True
    steps: int = 20
    hidden: Sequence[str] = ("black",)
    draws: int = 3
    explainers: bool = True

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise InputError(f"steps={self.steps}; take the pixels in 2 parts or more")
        if self.draws < 1:
            raise InputError(f"draws={self.draws}; give 1 random map or more")
        if not self.hidden or isinstance(self.hidden, str):
            raise InputError(f"hidden={self.hidden}; give a list of {', '.join(HIDING)}")
        for name in self.hidden:
            if name not in HIDING:
                raise unknown("way to hide pixels", name, HIDING)

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse what it would leave aside."""
        refuse_beside(options, "study=compare", LEFT_ASIDE, "all rows are measured alike")

    def run(self, networks: Networks, images: Images) -> Iterator[Result]:
        """With the explainers that are cheap enough."""
        yield from self.run_beside(networks, images, {})

    def run_beside(
        self, networks: Networks, images: Images, explainers: Mapping[str, Explainer]
    ) -> Iterator[Result]:
        """A comparison a network; see :class:`segtrace.studies.study.RunsExplainers`."""
        named = list(explainers.values())
        cheap = [one() for one in CHEAP] if self.explainers and not named else []
        if cheap:
            titles = ", ".join(one.title for one in cheap)
            say(f"With {titles}: explainer=[…] takes others, study.explainers=false none")
        say(self._cost([*named, *cheap]))
        steps = Steps(len(networks))
        for trained, within in networks:
            network = settled(trained.on(images.slices))
            cases = counted(len(set(network.probes.cases)), "case")
            slices = f"{counted(len(network.probes), 'slice')} of {cases} (probes.n of each)"
            steps.next(f"{trained.name}: maps of {slices}, and what they carry")
            yield self._found(trained, network, networks, within, [*named, *cheap])

    def _cost(self, explainers: Sequence[Explainer]) -> str:
        """What all of it will take at most, in a sentence."""
        limits = [one.max_seconds for one in explainers]
        known = [one for one in limits if one is not None]
        most = clock(sum(known)) if len(known) == len(limits) else "no limit"
        each = 1 + passes_of_map(len(self.hidden), self.steps, self.steps)
        made = f"Explainers: {most} in all at most (max_seconds of each). " if limits else ""
        return (
            f"{made}Then measuring: {each} forward passes of one image for every row, organ and "
            "slice; study.steps sets how many"
        )

    def _found(
        self,
        trained: TrainedNetwork,
        network: Network,
        networks: Networks,
        within: Path,
        explainers: Sequence[Explainer],
    ) -> Compared:
        asked, settings = network.settings.stages, replace(network.settings, stages=None)
        flow, rows = of_rules(network._replace(settings=settings), asked)
        beside = self._untrained(trained, network, networks, asked)
        stages = [*(asked or telling(flow.stages))]
        short = network._replace(settings=replace(settings, stages=stages))
        targets = targets_of(network.probes, network.channels, settings)
        for explainer in explainers:
            rows += of_explainer(
                on_network(explainer, trained, networks), short, targets, trained.epoch
            )
        rows += [*beside, *controls(flow, network, self.draws, networks.seed)]
        shown = scene(network.probes, network.channels)
        return Compared(
            numbers(network, flow, rows, self.hidden, self.steps, networks.seed),
            columns(self.hidden),
            {
                **trained.facts,
                "region": network.settings.region,
                "cases": list(dict.fromkeys(network.probes.cases)),
            },
            why_not(shown, flow.prediction, flow.organs),
            network.probes.marks,
            within,
        )

    def _untrained(
        self,
        trained: TrainedNetwork,
        network: Network,
        networks: Networks,
        asked: Sequence[str] | None,
    ) -> list[Row]:
        if trained.settings.region != "gt":
            say("No rows of the untrained network: it predicts another region; say region=gt")
            return []
        before = networks.untrained_of(trained)
        if before is None:
            return []
        there = settled(before.on(network.probes))
        settings = replace(network.settings, stages=None)
        return untrained(of_rules(there._replace(settings=settings), asked)[1])
