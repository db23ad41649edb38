"""What the studies of the nuances share: labelled slices of every case, and how they are told."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure
from torch import Tensor

from segtrace.causal.baselines import Baselines
from segtrace.errors import InputError
from segtrace.progress import counted, say
from segtrace.report.claims.claim import Claim, told
from segtrace.report.claims.recognition import why_not
from segtrace.report.figures.drawing import save_figure
from segtrace.report.files import save_png
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.pictures.cells import Picture
from segtrace.report.record import Record
from segtrace.report.tables import Row, save_table
from segtrace.studies.inputs.images import Images, LooksAt
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.slices import Closing, Maps
from segtrace.studies.study import Result, refuse_beside
from segtrace.tracking.explained import Network, explain_probes, settled


@dataclass(frozen=True)
class Looked:
    """A network on labelled slices.

    Attributes:
        trained: the network.
        network: the same on the slices, settled.
        record: its maps.
        untrained: the maps of the untrained network; ``None`` without one.
        before: that network on the slices.
        seed: of all draws.
    """

    trained: TrainedNetwork
    network: Network
    record: Record
    untrained: Record | None
    before: Network | None
    seed: int

    @property
    def left_out(self) -> dict[str, str]:
        """Organ -> why nothing is claimed of it."""
        return why_not(self.record.scene, self.record.flow.prediction, self.record.flow.organs)

    @property
    def truth(self) -> Tensor:
        """(N, *image) the labels, or masks."""
        labels = self.network.probes.labels
        assert labels is not None  # seen by Nuance.run
        return labels if labels.ndim > self.network.probes.images.ndim - 1 else labels.long()

    @property
    def baselines(self) -> Baselines:
        """What stands in the place of an activation.

        Raises:
            InputError: the checkpoint holds none.
        """
        if self.trained.baselines is None:
            raise InputError(
                f"{self.trained.name} holds no baselines, which stand in the place of what is "
                "cut; train with callbacks.baselines, or say study.cut=resample"
            )
        return self.trained.baselines


@dataclass(frozen=True, eq=False)
class Found:
    """What a study of a nuance found of a network.

    Attributes:
        name: of the study, for its files.
        heading: of its section.
        claims: in words; those without tests are no claims.
        notes: further sentences.
        figure: with its caption; ``None`` where there is nothing to draw.
        table: every number, for ``{name}.csv``.
        shown: the rows that the page shows; ``None`` for none.
        within: where it goes, below the folder of all results.
        pictures: further ones that the claims name, by their paths.
    """

    name: str
    heading: str
    claims: Sequence[Claim]
    notes: Sequence[str]
    figure: tuple[Figure, str] | None
    table: Sequence[Row]
    shown: Table | None
    within: Path
    pictures: Mapping[str, Picture] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """All of them."""
        return [*told(self.claims), *self.notes]

    def write(self, folder: Path) -> None:
        """``{name}.csv``, ``figures/{name}.png``, and the sentences in the terminal."""
        place = folder / self.within
        save_table(place / f"{self.name}.csv", self.table)
        if self.figure is not None:
            save_figure(place / "figures", self.name, *self.figure)
        for path, picture in self.pictures.items():
            save_png(place / path, picture)
        print("\n".join(self.sentences))

    def show(self, page: Page) -> None:
        """A section with all of it."""
        drawn = () if self.figure is None else (Shown(embedded(self.figure[0]), self.figure[1]),)
        tables = () if self.shown is None else (self.shown,)
        page.sections.append(Section(self.heading, tuple(self.sentences), drawn, tables))


@dataclass(frozen=True)
class Nuance(ABC):
    """A study on labelled slices, of ``data=…`` one of every held-out case."""

    looks_at: ClassVar[LooksAt] = "spread"
    of_one_run: ClassVar[bool] = True
    name: ClassVar[str]

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse what it would leave aside."""
        why = "networks are looked at one by one, on labelled slices"
        refuse_beside(options, f"study={self.name}", ("image", "log_dir"), why)

    def run(self, networks: Networks, images: Images) -> Iterator[Result]:
        """The maps of every network, and what is found of it."""
        for trained, within in networks:
            network = settled(trained.on(images.slices))
            if network.probes.labels is None:
                raise InputError(
                    f"study={self.name} needs labelled slices; give data=… data.root=…"
                )
            self.check_stages(network)
            shown = networks.untrained_beside(trained)
            before = shown or networks.untrained_of(trained)
            other, untrained = None, None
            if before is not None:
                other = settled(before.on(network.probes))
                found = explain_probes(*other, epoch=before.epoch)
                untrained = found.record
                if shown is not None:  # else the page would show other regions, or other epochs
                    yield Maps(shown, found, within / "untrained")
            say(f"{trained.name}: maps of {counted(len(network.probes), 'slice')}")
            explained = explain_probes(*network, epoch=trained.epoch)
            yield Maps(trained, explained, within)
            looked = Looked(trained, network, explained.record, untrained, other, networks.seed)
            yield self.found(looked, within)
            yield Closing.of(trained)

    def check_stages(self, network: Network) -> None:  # noqa: B027  # most look at any stages
        """Refuse stages without those that it looks at, before any work."""

    @abstractmethod
    def found(self, looked: Looked, within: Path) -> Found:
        """What it finds of one network."""


def left_out_words(looked: Looked) -> list[str]:
    """Of which organs nothing is claimed, and why; empty where there are none."""
    told = "; ".join(f"{organ}: {why}" for organ, why in looked.left_out.items())
    return [f"Left out of means and tests: {told}."] if told else []
