"""Do the maps depend on what the network learned? Weights drawn anew, from the head down."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure
from torch import Tensor

from segtrace.causal.sanity.cascade import BESIDE, JUDGED, Asked, cascade, passes_of
from segtrace.causal.sanity.groups import Group, groups_of
from segtrace.causal.sanity.judging import STEPS, Sanity, judge
from segtrace.errors import InputError
from segtrace.labelled import Dataset, mean, names_along, rows
from segtrace.progress import counted, say, step
from segtrace.report.captions import title_of
from segtrace.report.claims.claim import Claim, told
from segtrace.report.claims.recognition import why_not
from segtrace.report.claims.sanity import COMPARED, sanity_claims
from segtrace.report.figures.drawing import save_figure
from segtrace.report.figures.sanity import sanity_figure
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.record import Record
from segtrace.report.tables import save_table
from segtrace.studies.inputs.images import Images, LooksAt
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.slices import Closing, Maps
from segtrace.studies.study import Result, refuse_beside
from segtrace.tracking.explained import Network, chosen_organs, explain_probes, settled

ALONG = ("step", "region", "site", "rule", "organ")
REGIONS = ("gt", "pred")
STEP = {"above": "all above new", "all": "all new"}
MEANING = (
    "A pass says less like the trained map than that bound, not unlike it, nor right. Where the "
    "similarity lies at the bound in truth, a pass or a fail is told in at most 5 % of networks."
)
"""What the verdicts are, and what their error is of."""


@dataclass(frozen=True)
class SanityCheck:
    """Cascading randomisation of the weights (Adebayo et al. 2018), of every rule and stage.

    Of ``data=…`` a slice of every held-out case is taken; a checkpoint alone brings its own.

    Attributes:
        seeds: how often fresh weights are drawn for every stage.

    Raises:
        InputError: no draw.
    """

    looks_at: ClassVar[LooksAt] = "spread"
    of_one_run: ClassVar[bool] = True
    seeds: int = 3

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"seeds={self.seeds}; give 1 draw of fresh weights or more")

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse what it would leave aside, and regions that move with the weights."""
        why = "maps are held against those of the same network with fresh weights"
        refuse_beside(options, "study=sanity", ("log_dir", "untrained"), why)
        if (region := options["region"]) is not None:
            _check_region(region)

    def run(self, networks: Networks, images: Images) -> Iterator[Result]:
        """The maps of every network, and how alike they stay."""
        for trained, within in networks:
            network = settled(trained.on(images.slices))
            _check_region(network.settings.region)
            say(f"{trained.name}: maps of {counted(len(network.probes), 'slice')}")
            explained = explain_probes(*network, epoch=trained.epoch)
            yield Maps(trained, explained, within)
            groups = groups_of(network.net, network.places, network.probes.images[:1])
            count = passes_of(len(groups), self.seeds)
            words = (f"{trained.name}: drawing the weights of {counted(len(groups), 'stage')} anew "
                     f"{self.seeds}x, {count} traces")  # fmt: skip
            with step(words) as progress:
                found = cascade(
                    network.net,
                    groups,
                    asked_of(network),
                    _masks(explained.record),
                    network.probes.cases,
                    seeds=self.seeds,
                    seed=networks.seed,
                    progress=progress,
                )
            yield Cascaded(found, explained.record, groups, network.probes.marks, within)
            yield Closing.of(trained)


def _check_region(region: str) -> None:
    if region not in REGIONS:
        raise InputError(
            f"region={region}: study=sanity keeps the region while weights change; say region=gt "
            "or region=pred"
        )


def asked_of(network: Network) -> Asked:
    """What is traced of a network that is settled: the stages, organs and rules of its settings."""
    settings = network.settings
    stages = {stage.name: stage for stage in network.places}
    kept = [stages[name] for name in settings.stages or stages]
    organs = chosen_organs(network.channels, settings.organs)
    return Asked(kept, network.probes.images, organs, settings.rules, settings.score,
                 settings.activation)  # fmt: skip


def _masks(record: Record) -> Tensor:
    """(O, N, H, W) the region, which stays as it is."""
    organs = record.flow.organs
    return record.masks(organs) if record.region == "gt" else record.found(organs)


@dataclass(frozen=True, eq=False)
class Cascaded:
    """How alike the maps of a network stay while its weights are drawn anew.

    Attributes:
        data: what :func:`segtrace.causal.sanity.cascade.cascade` found.
        record: the trained network's maps.
        groups: its weights.
        marks: what the slices are not, in capitals.
        within: where it goes, below the folder of all results.
    """

    data: Dataset
    record: Record
    groups: tuple[Group, ...]
    marks: tuple[str, ...]
    within: Path

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Organ -> why no verdict rests on it."""
        return why_not(self.record.scene, self.record.flow.prediction, self.record.flow.organs)

    @cached_property
    def judged(self) -> Dataset:
        """What the verdicts rest on: the organs that the network finds."""
        organs = [name for name in names_along(self.data, "organ") if name not in self.left_out]
        return self.data.sel(organ=organs)

    @cached_property
    def verdicts(self) -> list[Sanity]:
        """Of every rule and stage."""
        return judge(self.judged)

    @cached_property
    def claims(self) -> list[Claim]:
        """In words."""
        about = f"{self.data.sizes['slice']} slices"
        tests = len(self.verdicts) * len(JUDGED) * len(STEPS)
        return sanity_claims(self.verdicts, about, self.left_out, tests)

    @cached_property
    def figure(self) -> tuple[Figure, str]:
        """Drawn once, for the file and the page: of the organs that are found, or else of all."""
        shown = self.judged if self.judged.sizes["organ"] else self.data
        return sanity_figure(shown, self.verdicts, self.marks)

    @property
    def sentences(self) -> list[str]:
        """What is read in brackets, what was found, and what is not clear of the network."""
        key = (
            "In brackets the similarity that decides, which comes closest to a fail: |ρ| of the "
            "map, or ρ of |map|, to the trained map, with the weights of all stages above or of "
            "all stages drawn anew / its bound, the 95 % quantile of the same among the trained "
            f"network's maps of other cases. {MEANING}"
        )
        said = [key, *told(self.claims)]
        if permuted := self.data.attrs["permuted"]:
            said.append(f"Permuted, having no reset_parameters: {', '.join(permuted)}.")
        if unclear := self.data.attrs["unclear"]:
            said.append(f"Not called in a forward pass, so drawn anew with {self.groups[-1].name}, "
                        f"the last: {', '.join(unclear)}.")  # fmt: skip
        return said

    def write(self, folder: Path) -> None:
        """``sanity.csv``, ``sanity_verdicts.csv`` and the figure.

        A row of ``sanity.csv`` is a step (the stage drawn anew last), region, stage, rule and
        organ: means over slices and draws. A row of ``sanity_verdicts.csv`` is a rule and stage.
        """
        place = folder / self.within
        columns = (*ALONG, *JUDGED, *BESIDE, *(f"null_{name}" for name in JUDGED))
        table = rows(mean(self.data, "slice"), ALONG, columns)
        save_table(place / "sanity.csv", [row for row in table if row["ssim"] == row["ssim"]
                                          or row[JUDGED[0]] == row[JUDGED[0]]])  # fmt: skip
        save_table(place / "sanity_verdicts.csv", [one.row() for one in self.verdicts])
        save_figure(place / "figures", "sanity", *self.figure)
        print("\n".join(self.sentences))

    def show(self, page: Page) -> None:
        """The figure, the sentences, and a table of the verdicts."""
        picture, caption = self.figure
        table = [
            {
                "rule": title_of(one.rule),
                "stage": one.site,
                "verdict": one.verdict,
                "decided by": f"{COMPARED[one.compared]}, {STEP[one.step]}",
                "similarity": one.like,
                "bound": one.null,
                "all above new": one.above,
                "all new": one.all,
                "all new, other region": one.elsewhere,
                "trained, other region": one.region,
            }
            for one in self.verdicts
        ]
        page.sections.append(
            Section(
                "Do the maps depend on the weights?",
                tuple(self.sentences),
                (Shown(embedded(picture), caption),),
                (Table.of("Similarity to the trained map, mean over organs and cases; a row is of "
                          "the one that decides: |ρ| of the map, or ρ of |map|. Every organ and "
                          "step: sanity.csv; p: sanity_verdicts.csv.", table),),
            )
        )  # fmt: skip
