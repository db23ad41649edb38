"""Within a decoder stage, does a map name the path, skip or up, whose cut costs more?"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from segtrace.causal.baselines import Baselines
from segtrace.causal.faithfulness.paths import choices, sizes
from segtrace.causal.faithfulness.tally import Tally, tally
from segtrace.causal.necessity import necessity
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.labelled import Dataset, rows
from segtrace.network.edges import Edge
from segtrace.progress import Steps, step
from segtrace.report.captions import title_of
from segtrace.report.claims.claim import Claim, told
from segtrace.report.claims.paths import path_claim
from segtrace.report.figures.drawing import save_figure
from segtrace.report.figures.paths import path_figure
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.tables import save_table
from segtrace.studies.cut_networks import check_kept
from segtrace.studies.inputs.images import Images, LooksAt
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.study import refuse_beside
from segtrace.tracking.cuts import CUT
from segtrace.tracking.edges import sites
from segtrace.tracking.explained import Network, organs_on

LEFT_ASIDE = ("image", "log_dir", "stages", "region", "score", "measures", "aggregate", "untrained")
"""Options of ``explain.py`` that say nothing here: all edges, true regions, logits."""


@dataclass(frozen=True)
class Paths:
    """Which of the two paths into a decoder stage each map names, over networks.

    Give the last checkpoints of several runs that differ in their seed: networks are the unit, and
    fewer than five are counted without a claim.

    Attributes:
        cut: what stands in the place of an edge, see :data:`segtrace.causal.replacement.CUTS`.

    Raises:
        InputError: an unknown cut, or one by what no checkpoint holds.
    """

    looks_at: ClassVar[LooksAt] = "spread"
    of_one_run: ClassVar[bool] = False
    cut: str = CUT

    def __post_init__(self) -> None:
        check_kept(self.cut)

    def check(self, options: Mapping[str, Any]) -> None:
        """Checkpoints, which hold what stands for a cut, and labelled slices."""
        if options["checkpoint"] is None:
            raise InputError("study=paths needs checkpoint=…, which holds what stands for a cut")
        why = "maps are held against cuts on labelled slices"
        refuse_beside(options, "study=paths", LEFT_ASIDE, why)

    def run(self, networks: Networks, images: Images) -> Iterator["PathsFound"]:
        """The choices of every network, and their tally."""
        found, facts, steps = [], [], Steps(len(networks))
        for number, (trained, _) in enumerate(networks, 1):
            steps.next(f"Network {number} of {len(networks)}, {trained.name}: cuts and maps")
            found.append(choices_of(trained, images.slices, self.cut, networks.seed))
            facts.append(trained.facts)
        yield PathsFound(same(found), facts, images.slices.marks, self.cut)


def choices_of(trained: TrainedNetwork, probes: Probes, cut: str = CUT, seed: int = 0) -> Dataset:
    """What :func:`segtrace.causal.faithfulness.paths.choices` finds of a network on slices.

    Raises:
        InputError: slices without labels; missing baselines; edges that are not known.
    """
    network = trained.on(probes)
    edges = _edges(network, trained.edges)
    baselines = _baselines(trained)
    if probes.labels is None:
        raise InputError("maps are held against cuts on labelled slices; these have no labels")
    truth = probes.labels
    _, held = organs_on(truth, network.channels, network.settings.organs)
    with step(f"{trained.name}: cutting edges") as progress:
        lost = necessity(
            network.net,
            list(edges.values()),
            probes.images,
            truth,
            held,
            baselines,
            cases=probes.cases,
            cut=cut,
            seed=seed,
            activation=network.settings.activation,
            progress=progress,
        )
    found = sizes(
        network.net,
        edges,
        probes.images,
        truth,
        held,
        baselines,
        network.settings.rules,
        activation=network.settings.activation,
    )
    return choices(lost, edges, found)


def _edges(network: Network, edges: Mapping[str, Any] | None) -> dict[str, Edge]:
    found = sites(network.net, network.stages, edges)
    own = {site.name: site for site in found if isinstance(site, Edge)}
    if not own:
        raise InputError("study=paths needs a network whose edges are known; say edges=edges.yaml")
    return own


def _baselines(trained: TrainedNetwork) -> Baselines:
    if trained.baselines is None:
        raise InputError(
            f"{trained.name} holds no baselines, which stand in the place of what is cut; train "
            "with callbacks.baselines"
        )
    return trained.baselines


def same(found: list[Dataset]) -> list[Dataset]:
    """The choices of several networks.

    Raises:
        InputError: they are of other maps, organs or decoder stages.
    """
    for axis in ("predictor", "organ", "stage"):
        names = [tuple(one[axis].values.tolist()) for one in found]
        if other := next((n for n, own in enumerate(names) if own != names[0]), 0):
            raise InputError(
                f"networks 1 and {other + 1} have the {axis}s {', '.join(names[0])} and "
                f"{', '.join(names[other])}; give networks of one kind"
            )
    return found


@dataclass(frozen=True)
class PathsFound:
    """The choices of all networks.

    Attributes:
        choices: of each network.
        facts: of each network, for the table.
        marks: what the slices are not, in capitals.
        cut: what stood in the place of an edge.
    """

    choices: list[Dataset]
    facts: list[Mapping[str, Any]]
    marks: tuple[str, ...]
    cut: str

    @cached_property
    def tallies(self) -> list[Tally]:
        """How often each predictor named the costlier path."""
        return tally(self.choices)

    @cached_property
    def claim(self) -> Claim:
        """Which maps name it more often than every control, or that none does."""
        return path_claim(self.tallies)

    def write(self, folder: Path) -> None:
        """Print the finding; write ``paths.csv``, ``paths_tally.csv`` and the figure.

        A row of ``paths.csv`` is a network, predictor, organ and decoder stage: the Dice lost by
        the cut of the first edge less that of the second, mean over cases, and whether the
        predictor named the costlier one (empty: they cost the same).
        """
        found = self.tallies
        print("\n".join(told([self.claim])) + f"\n  cut: {self.cut}")
        along = ("predictor", "organ", "stage")
        columns = (*along, "lost_overall", "overall")
        table = [
            {"network": n, "sha256": facts.get("sha256"), **row}
            for n, (one, facts) in enumerate(zip(self.choices, self.facts, strict=True), 1)
            for row in rows(one, along, columns)
        ]
        renamed = {"lost_overall": "dice_lost_apart", "overall": "named"}
        save_table(
            folder / "paths.csv",
            [{renamed.get(name, name): value for name, value in row.items()} for row in table],
        )
        save_table(folder / "paths_tally.csv", [asdict(one) for one in found])
        save_figure(folder / "figures", "paths", *path_figure(found, self.marks))

    def show(self, page: Page) -> None:
        """The finding with its figure."""
        found = self.tallies
        figure, caption = path_figure(found, self.marks)
        counted = [
            {"map": title_of(one.predictor), "named": one.hits, "of": one.pairs, "rate": one.rate}
            for one in found
        ]
        page.sections.append(
            Section(
                "Skip or up: which maps name the path that is needed more?",
                tuple(told([self.claim])),
                (Shown(embedded(figure), caption),),
                (Table.of("Every network, organ and stage: paths.csv.", counted),),
            )
        )
