"""Maps of the most telling slices: of one network, or over the epochs of a training."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from segtrace.attribution.patching import Estimates
from segtrace.axes import are_volumes
from segtrace.causal.replacement import CUTS
from segtrace.errors import InputError, unknown
from segtrace.progress import Steps, counted
from segtrace.report.page.page import About, Page
from segtrace.report.page.sections import Section
from segtrace.report.scene import REGIONS
from segtrace.studies.cut_networks import Ablated, ablate, check_collected, cutter, epochs_between
from segtrace.studies.from_checkpoints import FromCheckpoints
from segtrace.studies.inputs.images import Images, LooksAt, given_of
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.study import Result
from segtrace.tracking.estimates import wanted
from segtrace.tracking.explained import (
    FAILURES,
    Explained,
    Network,
    explain_probes,
    of_failures,
)


@dataclass(frozen=True)
class Maps:
    """Maps and measures of one network.

    Attributes:
        trained: the network.
        explained: its maps.
        within: where they go, below the folder of all results.
        shared_scale: one colour scale for the maps of a picture.
    """

    trained: TrainedNetwork
    explained: Explained
    within: Path
    shared_scale: bool = False

    def write(self, folder: Path) -> None:
        """Write them; see :meth:`~segtrace.tracking.explained.Explained.write`."""
        place = folder / self.within
        self.explained.write(place, self.trained.facts, shared_scale=self.shared_scale)

    def show(self, page: Page) -> None:
        """Add the epoch."""
        page.add(self.explained, self.trained.whole)


@dataclass(frozen=True)
class MapsOfErrors(Maps):
    """The same where the network was wrong."""

    def show(self, page: Page) -> None:
        """Add them as another region of the newest epoch."""
        page.add_region(self.explained)


@dataclass(frozen=True)
class Closing:
    """What is known once all networks are explained.

    Attributes:
        about: what stands beside the maps.
        sections: what stands below them.
    """

    about: About
    sections: tuple[Section, ...] = ()

    @classmethod
    def of(cls, trained: TrainedNetwork) -> "Closing":
        """What made the last network, and the cautions of the slices."""
        facts = trained.facts
        window, cautions = trained.preprocessing.shown, facts.get("cautions", ())
        return cls(About(facts=facts, window=window, cautions=cautions))

    def write(self, folder: Path) -> None:
        """Nothing more: each network has left its files."""

    def show(self, page: Page) -> None:
        """Say it on the page."""
        page.about = self.about
        page.sections += self.sections


@dataclass(frozen=True)
class Slices:
    """The study that is run where none is named.

    Attributes:
        failures: explain the last network where it was wrong, too: two traces more. ``None`` for
            one network alone and nothing asked of it but its maps.
        shared_scale: in pictures and figures one scale for all maps of an organ, which shows weak
            ones as weak.
        smooth: pictures and figures resize maps before they rectify them, and draw no cells.
        cut: what stands in the place of an activation: ``channel_mean``, ``zero``, ``resample``,
            ``mean_map``; ``None`` for what the training did, and for nothing where one network is
            explained alone.
    """

    looks_at: ClassVar[LooksAt] = "slices"
    of_one_run: ClassVar[bool] = True
    failures: bool | None = None
    shared_scale: bool = False
    smooth: bool = False
    cut: str | None = None

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse an unknown cut, one of images without labels, and slices named twice over."""
        if self.cut is not None and self.cut not in CUTS:
            raise unknown("cut", self.cut, CUTS)
        check_collected(self.cut, options.get("data"))
        if self.cut is not None and options["image"]:
            raise InputError(
                f"cut={self.cut} is judged on labelled slices: those of the checkpoint, or of "
                "data=…; leave image out"
            )
        given, data, image = given_of(options["probes"]), options.get("data"), options["image"]
        if given and not data and (image is None or "from" in given):
            name = [*given][-1]
            raise InputError(
                f"probes.{name}={given[name]} is for slices of data=…, and "
                + ("an image has no parts" if image else "a checkpoint brings its own")
                + "; leave it out"
            )

    def run(self, networks: Networks, images: Images) -> Iterator[Result]:
        """Every network: its maps, and what was cut; at last the errors of the last one."""
        training, last, ablated = self._training(networks), None, None
        wrong = training is None if self.failures is None else self.failures
        steps = Steps(len(networks) + (training is None) + wrong * len(FAILURES))
        for trained, within in networks:
            network = trained.on(images.slices)
            slices = counted(
                len(network.probes), "volume" if are_volumes(network.probes.images) else "slice"
            )
            if untrained := networks.untrained_beside(trained):
                steps.next(f"{untrained.name}, untrained: maps of {slices}")
                before = self._explained(untrained.on(network.probes), untrained.epoch)
                yield Maps(untrained, before, within / "untrained")
            steps.next(f"{trained.name}: maps of {slices}")
            means = None if training is None else wanted(network, trained.edges, trained.baselines)
            found = self._explained(network, trained.epoch, means)
            last = Maps(trained, found, within, self.shared_scale)
            yield last
            if training is not None:
                cut = cutter(trained, network.probes, self.cut, images.data)
                training.update(network, last.explained, trained.dice, cut)
                ablated = training.ablated
            elif self.cut is not None:
                other = networks.untrained_of(trained)
                ablated = ablate(trained, other, network.probes, self.cut, images.data)
                ablated.write(networks.folder / within)
            self.draw(last, networks.folder / within)
        if last is not None:
            yield from self._errors(last, images, steps) if wrong else ()
            yield self._closing(last, ablated, training)

    def draw(self, maps: Maps, folder: Path) -> None:
        """Further figures of a network, into its folder; none here."""

    def sections(self, last: Maps, ablated: Ablated | None) -> tuple[Section, ...]:
        """What is told below the maps of the last network and of the last cuts; nothing here."""
        return ()

    def _explained(
        self, network: Network, epoch: int | None, estimates: Estimates | None = None
    ) -> Explained:
        found = explain_probes(*network, epoch=epoch, estimates=estimates)
        return replace(found, record=replace(found.record, smooth=self.smooth))

    def _training(self, networks: Networks) -> FromCheckpoints | None:
        """The training that the checkpoints are of; ``None`` for a network alone."""
        if not networks.are_a_training:
            return None
        described = networks.described
        return FromCheckpoints(
            networks.folder,
            networks.options["log_dir"],
            {one["epoch"]: one.get("dice", {}).get("mean", math.nan) for one in described},
            epochs_between(self.cut, described[0]),
            shared_scale=self.shared_scale,
        )

    def _errors(self, last: Maps, images: Images, steps: Steps) -> Iterator[Result]:
        network = last.trained.on(images.slices)
        for settings in of_failures(network.probes, network.settings):
            network = network._replace(settings=settings)
            steps.next(f"{last.trained.name}: maps of {REGIONS[settings.region]}")
            explained = self._explained(network, last.trained.epoch)
            yield MapsOfErrors(last.trained, explained, last.within / settings.region)

    def _closing(
        self, last: Maps, ablated: Ablated | None, training: FromCheckpoints | None
    ) -> Closing:
        facts = last.trained.facts
        about = About(
            facts=facts,
            events=None if training is None else training.events,
            routes={} if ablated is None else ablated.routes(),
            window=last.trained.preprocessing.shown,
            cautions=facts.get("cautions", ()),
        )
        return Closing(about, self.sections(last, ablated))
