"""What a callback has seen of one fit: it begins with the fit, and goes on with it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from torch import Tensor

from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.tracking.course import Course, Network
from segtrace.tracking.explained import Explained, explain_probes
from segtrace.tracking.sink import Sink
from segtrace.training.callbacks.cutter import Cutter
from segtrace.training.callbacks.last_epoch import LastEpoch

Output = Callable[[Any], Tensor] | None
"""Picks the logits from what a network returns."""


@dataclass(frozen=True)
class Asked:
    """What the callback was asked for; the same for every fit. See ``FlowCallback``."""

    probes: Probes | int
    every_n_epochs: int | Literal["auto"]
    draw_every: Mapping[str, int] | None
    cut_every: int | None
    edges: Mapping[str, Any] | None
    training_slices: Tensor | None


class Watch:
    """The state of one fit.

    Args:
        asked: what to do.

    Attributes:
        probes: the slices, once they are chosen.
        interval: epochs between two explanations.
        course: the numbers of all epochs.
        cutter: what cuts, and what it found.
        explained: the last epoch's maps and measures.
        left: what the last finished pass left behind, while it may prove to be the last of all.
        resumed: what a checkpoint told of the slices; ``None`` where none was read.
        at_work: something is being explained, or was broken off.
    """

    def __init__(self, asked: Asked) -> None:
        self.probes = asked.probes
        self.interval = 1 if asked.every_n_epochs == "auto" else asked.every_n_epochs
        self.course = Course(asked.draw_every)
        self.cutter = Cutter(asked.cut_every, asked.edges, asked.training_slices)
        self.explained: Explained | None = None
        self.left = LastEpoch()
        self.resumed: Mapping[str, Any] | None = None
        self.at_work = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Whoever breaks the block off does not want it done once more: it stays ``at_work``."""
        self.at_work = True
        yield
        self.at_work = False

    @property
    def epoch(self) -> int | None:
        """The last that was explained."""
        return self.course.history.epochs[-1] if self.course.history.epochs else None

    def goes_on(self, epoch: int, *, restored: bool) -> bool:
        """Whether this is what was seen of the training that now stands at an epoch.

        Args:
            epoch: finished passes.
            restored: the training comes out of a checkpoint.
        """
        known = self.epoch is not None and self.epoch <= epoch
        return known and (self.resumed is not None or not restored)

    @property
    def reached(self) -> dict[str, int]:
        """What is written -> its last epoch; see :meth:`Sink.forget`."""
        return self.course.reached | self.cutter.course.reached

    def explain(
        self,
        network: Network,
        sink: Sink,
        epoch: int,
        final: bool,
        dice: Mapping[str, float],
        output: Output,
    ) -> None:
        """Trace and measure the weights in place, and tell it."""
        explained = explain_probes(*network, epoch=epoch, output=output)
        leaks = self.course.leaks(network, explained, final, output)
        self.course.tell(sink, explained, leaks, dice, final)
        self.explained = explained

    def end(self, network: Network, sink: Sink, dice: Mapping[str, float], output: Output) -> None:
        """Make up what the epoch was spared whose weights are in place, since none follows it."""
        epoch = self.left.epoch
        if epoch is not None and self.epoch != epoch:
            self.explain(network, sink, epoch, True, dice, output)
        elif self.explained is not None:
            leaks = self.course.leaks(network, self.explained, True, output)
            self.course.end(sink, self.explained, leaks)

    def to_plain(self) -> dict[str, Any]:
        """What a resumed run needs to go on: plain values and tensors."""
        return self.course.to_plain() | {
            "cuts": self.cutter.course.to_plain(),
            "interval": self.interval,
            "watched": watched(self.probes) if isinstance(self.probes, Probes) else {},
        }

    def go_on(self, plain: Mapping[str, Any], *, adapts: bool) -> None:
        """Take up what :meth:`to_plain` gave.

        Args:
            plain: that.
            adapts: the interval is found while training, not asked for.
        """
        self.course.go_on(plain)
        if "cuts" in plain:
            self.cutter.course.go_on(plain["cuts"])
        if adapts and "interval" in plain:
            self.interval = int(plain["interval"])
        self.resumed = plain.get("watched", {})

    def check_slices(self, probes: Probes) -> None:
        """A timeline is of the same slices throughout.

        Raises:
            InputError: the training that goes on was watched on others.
        """
        if self.resumed and watched(probes) != self.resumed:
            cases = ", ".join(dict.fromkeys(self.resumed["cases"]))
            raise InputError(
                f"the training that goes on was watched on other slices (of {cases}) than those "
                f"now chosen (of {', '.join(dict.fromkeys(probes.cases))}); give the same "
                "validation data and the same number of probes"
            )


def watched(probes: Probes) -> dict[str, Any]:
    """Which slices these are, as plain values: no image, and noise on one changes nothing."""
    labels = b"" if probes.labels is None else probes.labels.numpy().tobytes()
    return {
        "cases": list(probes.cases),
        "slices": list(probes.slices),
        "labels": sha256(labels).hexdigest(),
    }
