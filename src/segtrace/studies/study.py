"""What ``explain.py`` runs: a study, named by ``_target_`` in conf/study, and what it finds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from segtrace.errors import InputError
from segtrace.explainers.explainer import Explainer
from segtrace.report.page.page import Page
from segtrace.studies.inputs.images import Images, LooksAt
from segtrace.studies.inputs.networks import Networks


class Result(Protocol):
    """A piece of what a study found: written, and shown on the page, before the next is made."""

    def write(self, folder: Path) -> None:
        """Write tables, pictures and maps, below the folder of all results."""

    def show(self, page: Page) -> None:
        """Add its maps, or a section, to the page."""


class Study(Protocol):
    """A question to networks; its constructor is the schema of the options under ``study``.

    Attributes:
        looks_at: which images are explained; ``tables`` for none, and no network either.
        of_one_run: whether several checkpoints must be epochs of one training.
    """

    looks_at: ClassVar[LooksAt]
    of_one_run: ClassVar[bool]

    def check(self, options: Mapping[str, Any]) -> None:
        """Hold the other options of ``explain.py`` against this study, before any work.

        Raises:
            InputError: one that it needs, or would leave aside.
        """

    def run(self, networks: Networks, images: Images) -> Iterator[Result]:
        """Find it, a piece at a time.

        Args:
            networks: those asked for, in the order of their epochs.
            images: the slices or volumes asked for.
        """


@runtime_checkable
class RunsExplainers(Study, Protocol):
    """A study that runs the explainers itself: they are part of its question, not beside it."""

    def run_beside(
        self, networks: Networks, images: Images, explainers: Mapping[str, Explainer]
    ) -> Iterator[Result]:
        """As :meth:`Study.run`, with the explainers that were asked for."""


def refuse_beside(
    options: Mapping[str, Any], study: str, others: tuple[str, ...], why: str
) -> None:
    """Refuse options that a study would leave aside.

    Raises:
        InputError: the first of the others that is given.
    """
    for other in others:
        if options.get(other) not in (None, False, {}):
            raise InputError(f"{study} and {other} do not go together: {why}; leave {other} out")
