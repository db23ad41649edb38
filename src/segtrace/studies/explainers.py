"""Run the explainers that were asked for: each on the last network of a study, on its slices."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segtrace.errors import InputError, UsersCodeError
from segtrace.explainers.explainer import (
    Budget,
    BySize,
    Comparing,
    Cutting,
    Explainer,
    OutOfTimeError,
    Particular,
)
from segtrace.explainers.explainer import Result as Found
from segtrace.progress import say, step
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section
from segtrace.studies.inputs.images import Images
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.tracking.explained import targets_of


@dataclass(frozen=True)
class Explanation:
    """What one of them found.

    Attributes:
        found: its result.
        within: its folder, below that of all results.
    """

    found: Found
    within: Path

    def write(self, folder: Path) -> None:
        """Into a folder of its own."""
        self.found.write(folder / self.within)

    def show(self, page: Page) -> None:
        """Its section."""
        page.sections.append(self.found.section())


@dataclass(frozen=True)
class NotDone:
    """An explainer whose time was over too early, while the others go on.

    Attributes:
        title: of the method.
        why: what is said of it.
    """

    title: str
    why: str

    def write(self, folder: Path) -> None:
        """There is nothing to write."""

    def show(self, page: Page) -> None:
        """Say so."""
        page.sections.append(Section(self.title, (self.why,)))


def on_network(explainer: Explainer, trained: TrainedNetwork, networks: Networks) -> Explainer:
    """The explainer, with what is known of the network where it cuts, or compares."""
    if isinstance(explainer, Cutting):
        return explainer.cutting(trained.baselines, trained.edges)
    if isinstance(explainer, Comparing):
        before, window = networks.untrained_of(trained), trained.preprocessing.shown
        return explainer.comparing(None if before is None else before.net, window)
    return explainer


@contextmanager
def placed(name: str) -> Iterator[None]:
    """What is refused of an explainer inside the block is told with its place in the options."""
    where = f"explainers.{name}"
    try:
        yield
    except InputError as error:
        if isinstance(error, UsersCodeError) or str(error).startswith(where):
            raise
        raise InputError(f"{where}: {error}") from error


def check_before_image(explainers: Mapping[str, Explainer], images: Images) -> None:
    """Refuse options that go with no slices of the network's size, before an image is read.

    Args:
        explainers: by the names of their folders.
        images: of which nothing is asked that would have to be read, or predicted.

    Raises:
        InputError: see :class:`~segtrace.explainers.explainer.BySize`.
    """
    if not explainers or images.options["image"] is None:
        return
    trained = images.last()
    for name, own in _particular(explainers, trained):
        if isinstance(own, BySize):
            with placed(name):
                own.check_fit(trained.on(images.blank(trained)))


def check_explainers(
    explainers: Mapping[str, Explainer], networks: Networks, images: Images
) -> None:
    """Refuse options that do not go with the last network or the slices, before any work on them.

    Args:
        explainers: by the names of their folders.
        networks: of which the last is explained.
        images: the slices.

    Raises:
        InputError: see :class:`~segtrace.explainers.explainer.Particular`.
    """
    if not explainers:
        return
    trained, _ = networks.last
    for name, own in _particular(explainers, trained):
        with placed(name):
            own.check_fit(trained.on(images.slices))


def _particular(
    explainers: Mapping[str, Explainer], trained: TrainedNetwork
) -> Iterator[tuple[str, Particular]]:
    """Those that refuse some networks or slices, with what is known of the network to cut it."""
    for name, one in explainers.items():
        own = one.cutting(trained.baselines, trained.edges) if isinstance(one, Cutting) else one
        if isinstance(own, Particular):
            yield name, own


def run_explainers(
    explainers: Mapping[str, Explainer], networks: Networks, images: Images
) -> Iterator[Explanation | NotDone]:
    """One result an explainer, in ``explainers/{name}`` beside the network's maps.

    Args:
        explainers: by the names of their folders.
        networks: of which the last is explained.
        images: the slices.
    """
    if not explainers:
        return
    trained, within = networks.last
    network = trained.on(images.slices)
    targets = targets_of(network.probes, network.channels, network.settings)
    for name, explainer in explainers.items():
        budget = Budget(explainer.max_seconds, step)
        try:
            own = on_network(explainer, trained, networks)
            found = own.explain(network, targets, budget, trained.epoch)
        except OutOfTimeError as error:
            say(str(error))
            yield NotDone(explainer.title, str(error))
            continue
        yield Explanation(found, within / "explainers" / name)
