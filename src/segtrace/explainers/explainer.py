"""What a method of another paper has to be, so that explain.py runs it beside its study."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from torch import nn

from segtrace.attribution.flow import Flow
from segtrace.attribution.targets import Target
from segtrace.causal.baselines import Baselines
from segtrace.errors import InputError
from segtrace.progress import OnProgress
from segtrace.report.page.sections import Section
from segtrace.tracking.explained import Network


class OutOfTimeError(InputError):
    """The time was over before anything could be said; other methods may still have theirs."""


@dataclass(frozen=True)
class Budget:
    """How long an explainer may work, and who hears how far it has come.

    Attributes:
        max_seconds: until then the work may go on; ``None`` for as long as it takes.
        hears: words -> a context that gives who hears of the progress, whose first report, at 0
            passes done, is the estimate before the start.
    """

    max_seconds: float | None
    hears: Callable[[str], AbstractContextManager[OnProgress | None]]

    @contextmanager
    def shown(self, words: str) -> Iterator[OnProgress | None]:
        """What to hand to the work as its progress: it never tells more time than there is."""
        limit = self.max_seconds
        said = words if limit is None else f"{words}, stopping at max_seconds={limit:g}"
        with self.hears(said) as tell:
            if tell is None or limit is None:
                yield tell
            else:
                yield lambda p: tell(replace(p, left=min(p.left, max(0.0, limit - p.seconds))))

    def is_over(self, start: float) -> bool:
        """Whether work that began then (:func:`time.perf_counter`) has to end."""
        return self.max_seconds is not None and perf_counter() - start > self.max_seconds


def checked_seconds(max_seconds: float | None) -> None:
    """Refuse no time at all.

    Raises:
        InputError: with what to say instead.
    """
    if max_seconds is not None and not max_seconds > 0:
        raise InputError(
            f"max_seconds={max_seconds}; give more than 0, or None (YAML: null) for no limit"
        )


class Result(Protocol):
    """What an explainer found."""

    def write(self, folder: Path) -> None:
        """Write its files."""

    def section(self) -> Section:
        """What the page says of it."""

    @property
    def flow(self) -> Flow | None:
        """Its maps; ``None`` of a method that draws none."""


class Explainer(Protocol):
    """A method with a cost of its own; its constructor is the schema of its options.

    Attributes:
        name: of its folder and in tables.
        title: how people call it.
        equation: its papers in words and what it computes.
        papers: keys of the bibliography.
        of_volumes: whether it takes them beside slices.
        max_seconds: see :class:`Budget`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    equation: ClassVar[str]
    papers: ClassVar[tuple[str, ...]]
    of_volumes: ClassVar[bool]

    @property
    def max_seconds(self) -> float | None:
        """See :class:`Budget`."""

    def explain(
        self,
        network: Network,
        targets: Mapping[str, Target],
        budget: Budget,
        epoch: int | None = None,
    ) -> Result:
        """Explain slices.

        Args:
            network: the network, its slices, and the settings: stages and score.
            targets: organ -> what is explained of it.
            budget: time and progress.
            epoch: finished passes of the network, where known.
        """


def options_of(explainer: Explainer) -> dict[str, Any]:
    """Its options as a manifest holds them; not what it is handed of the network."""
    plain = (str, int, float, list, tuple, type(None))
    return {name: one for name, one in vars(explainer).items() if isinstance(one, plain)}


def facts_of(explainer: Explainer) -> dict[str, Any]:
    """What every manifest begins with: the method, its papers and its options."""
    return {
        "explainer": explainer.name,
        "equation": explainer.equation,
        "papers": list(explainer.papers),
        "options": options_of(explainer),
    }


@runtime_checkable
class Cutting(Protocol):
    """An explainer that cuts, for which a checkpoint holds what stands in an activation's place."""

    def cutting(self, baselines: Baselines | None, edges: Mapping[str, Any] | None) -> Self:
        """The same with what is known of the network.

        Args:
            baselines: means over training slices.
            edges: name -> edge; ``None`` for the table of known networks.
        """


def maps_by(explainer: Explainer) -> Callable[[Network, Mapping[str, Target]], Flow]:
    """An explainer as a function: a network with its slices, targets -> maps.

    It takes the time that it needs, whatever its ``max_seconds``, and says nothing.

    Raises:
        InputError: when it is called, an explainer whose result is no maps.
    """

    def maps(network: Network, targets: Mapping[str, Target]) -> Flow:
        budget = Budget(None, lambda _words: nullcontext(None))
        found = explainer.explain(network, targets, budget).flow
        if found is None:
            raise InputError(f"{explainer.title} makes no maps; name an explainer that does, rise")
        return found

    return maps


@runtime_checkable
class Particular(Protocol):
    """An explainer whose options do not go with every network and all slices."""

    def check_fit(self, network: Network) -> None:
        """Refuse what does not go together; it takes a forward pass of one slice at most.

        Args:
            network: the network and its slices, as :meth:`Explainer.explain` takes them.

        Raises:
            InputError: with what to give instead.
        """


@runtime_checkable
class BySize(Particular, Protocol):
    """One whose ``check_fit`` asks for the number and size of slices, not for what they show.

    So that empty ones tell as much, before those of a new image are chosen.

    Attributes:
        by_size: true.
    """

    by_size: ClassVar[bool]


@runtime_checkable
class Comparing(Protocol):
    """An explainer that holds a network against itself before its training, and tells HU."""

    def comparing(self, untrained: nn.Module | None, window: tuple[float, float]) -> Self:
        """The same with what is known of the network.

        Args:
            untrained: the network before its training, where it is at hand.
            window: what 0 and 1 of its input stand for, in HU where the slices' values are HU.
        """
