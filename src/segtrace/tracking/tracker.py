"""What is kept of a training over its epochs, while it runs or from its checkpoints."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from segtrace.errors import InputError
from segtrace.labelled import tensor
from segtrace.network.logits import Output
from segtrace.progress import say
from segtrace.report.record import Record
from segtrace.tracking.changes import change_rows
from segtrace.tracking.cuts import Cuts
from segtrace.tracking.estimates import Course
from segtrace.tracking.explained import Explained, Network
from segtrace.tracking.history import History
from segtrace.tracking.leaks import LeakMeter, Leaks
from segtrace.tracking.writer import CHARTS, CUTS, NUMBERS, OVERVIEW, Writer

EVERY = {"grad_pam": 5, CHARTS: 10}
"""Epochs between two drawings of a rule's maps, or of the charts; 1 for what is not named."""


@dataclass(frozen=True)
class Epoch:
    """An epoch, and how to look at it.

    Attributes:
        number: finished passes.
        final: no epoch follows.
        network: with the weights of this epoch, and the slices.
        explain: its maps and measures; ``None`` where they are not wanted of this epoch.
        cut: what it costs to cut its stages and edges, called where that is due; ``None`` where it
            cannot be cut.
        dice: organ -> validation Dice, as far as known.
        loss: mean over the steps since the epoch before; ``None`` where not known.
        output: picks the logits from what the network returns.
    """

    number: int
    final: bool
    network: Network
    explain: Callable[[], Explained] | None = None
    cut: Callable[[], Cuts | None] | None = None
    dice: Mapping[str, float] = field(default_factory=dict)
    output: Output | None = None
    loss: float | None = None


class Tracker:
    """The numbers of all epochs so far, and what is written of them when.

    The callback updates it while a training runs, ``explain.py`` with one checkpoint after the
    other: what they leave behind is the same. The first epoch and the final one are always drawn
    and cut.

    Args:
        draw_every: see :data:`EVERY`, which it overrides.
        cut_every: epochs between two cuts; ``None`` for never.
        files: write the maps' pictures as files too.

    Raises:
        InputError: ``cut_every`` below 1.

    Attributes:
        history: the numbers.
        explained: the newest maps and measures.
        untrained: the cuts of epoch 0, which stand beside all others.
        cuts: the newest cuts.
        seconds: what the maps of the last update took, without cuts.
    """

    def __init__(
        self,
        draw_every: Mapping[str, int] | None = None,
        cut_every: int | None = None,
        *,
        files: bool = True,
    ) -> None:
        if cut_every is not None and cut_every < 1:
            raise InputError(f"cut_every={cut_every}; give 1 or more, or null for never")
        self.history = History()
        self.explained: Explained | None = None
        self.untrained: Cuts | None = None
        self.cuts: Cuts | None = None
        self.seconds = 0.0
        self._every = EVERY | dict(draw_every or {})
        self._cut_every = cut_every
        self._files = files
        self._done: dict[str, int] = {}
        self._cut_epochs: list[int] = []
        self._lost: list[Tensor] = []
        self._course = Course()
        self._meter = LeakMeter()
        self._before: Record | None = None
        self._losses: dict[int, float] = {}

    @property
    def epoch(self) -> int | None:
        """The last that was explained."""
        return self.history.epochs[-1] if self.history.epochs else None

    def due(self, name: str, epoch: int, final: bool) -> bool:
        """Whether something is to be done now; asking changes nothing.

        Args:
            name: a rule, whose maps are drawn; :data:`~segtrace.tracking.writer.CHARTS`;
                ``OVERVIEW``; ``CUTS``.
            epoch: finished passes.
            final: no epoch follows.
        """
        last = self._done.get(name)
        every = self._cut_every if name == CUTS else self._every.get(name, 1)
        if every is None or last == epoch:
            return False
        return last is None or final or epoch - last >= every

    def update(self, writer: Writer, epoch: Epoch) -> Leaks | None:
        """Add an epoch, and write what is due; once more as the final one, what it was spared.

        Args:
            writer: where to.
            epoch: the next one, or the newest where it turns out that none follows.

        Returns:
            Whose evidence lies on whose pixels, where charts were due.

        Raises:
            InputError: it does not fit the epochs before it.
        """
        leaks, began = None, time.monotonic()
        if epoch.explain is not None:
            leaks = self._update_maps(writer, epoch, epoch.explain)
        self.seconds = time.monotonic() - began
        if epoch.cut is not None and self.due(CUTS, epoch.number, epoch.final):
            self._update_cuts(writer, epoch.number, epoch.cut())
        return leaks

    def finish(self, writer: Writer) -> None:
        """Write what only the end of a training can fill."""
        if self.history.epochs:
            writer.end(self.history)

    def _update_maps(
        self, writer: Writer, epoch: Epoch, explain: Callable[[], Explained]
    ) -> Leaks | None:
        new = epoch.number != self.epoch
        explained = explain() if new or self.explained is None else self.explained
        due = self.due(CHARTS, epoch.number, epoch.final)
        leaks = self._leaks(epoch, explained) if due else None
        if new:
            self.history.add(explained, epoch.dice)
            self._losses |= {} if epoch.loss is None else {epoch.number: epoch.loss}
        self._draw(writer, epoch, explained)
        if new:
            self._write_numbers(writer, explained)
        if due:
            if leaks is not None:
                writer.leaks(leaks)
            writer.timelines(self.history)
            self._done[CHARTS] = epoch.number
        if epoch.final:
            self.finish(writer)
        self.explained = explained
        return leaks

    def _leaks(self, epoch: Epoch, explained: Explained) -> Leaks | None:
        """Whose evidence lies on whose pixels, unless organs overlap; it takes a trace more."""
        if not self._meter.is_told(explained.record):
            if self._done.get(CHARTS) is None:
                say("Organs overlap, so that no pixel belongs to one alone: no leakage is told.")
            return None
        found = self._meter.of(explained.record)
        if epoch.number == 0:
            self.history.leak = found
            return Leaks(explained.record, found, None, None)
        centred = self._meter.of_centred(epoch.network, epoch.output)
        return Leaks(explained.record, found, centred, self.history.leak)

    def _draw(self, writer: Writer, epoch: Epoch, explained: Explained) -> None:
        rules = [r for r in self.history.rules if self.due(r, epoch.number, epoch.final)]
        if self.due(OVERVIEW, epoch.number, epoch.final):
            writer.overview(explained, self.history, self._losses)
            self._done[OVERVIEW] = epoch.number
        writer.pictures(explained, rules, files=self._files)
        self._done |= dict.fromkeys(rules, epoch.number)

    def _write_numbers(self, writer: Writer, explained: Explained) -> None:
        writer.numbers(explained, self.history)
        writer.estimates(self._course.add(explained))
        if "locality" in explained.measures:  # measures="all"
            writer.changes(change_rows(self._before, explained.record))
            self._before = explained.record

    def _update_cuts(self, writer: Writer, epoch: int, cuts: Cuts | None) -> None:
        """Add what cutting cost; ``None`` where no organ asked for is on any slice."""
        self.cuts = cuts
        self._done[CUTS] = epoch
        if cuts is None:
            return
        if epoch == 0:
            self.untrained = cuts
        if not self._cut_epochs and cuts.left_out:
            say(f"On none of the probes, so not cut: {', '.join(cuts.left_out)}.")
        self._cut_epochs.append(epoch)
        self._lost.append(tensor(cuts.necessity.lost["mean"]))
        writer.cuts(cuts, self.untrained if epoch > 0 else None)
        writer.cut_timelines(cuts, self._cut_epochs, self._lost)
        self._course.check(cuts)
        writer.estimate_course(self._course, cuts)

    @property
    def reached(self) -> dict[str, int]:
        """What is written -> its last epoch; see :meth:`Writer.truncate`."""
        return _reached(self._drawn, self.history.epochs, self._cut_epochs)

    @property
    def _drawn(self) -> dict[str, int]:
        return {name: epoch for name, epoch in self._done.items() if name != CUTS}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on: plain values and tensors."""
        return {
            "history": self.history.to_plain(),
            "losses": dict(self._losses),
            "course": self._course.to_plain(),
            "drawn": self._drawn,
            "cuts": {
                "untrained": None if self.untrained is None else self.untrained.to_plain(),
                "epochs": list(self._cut_epochs),
                "lost": list(self._lost),
                "done": {name: epoch for name, epoch in self._done.items() if name == CUTS},
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave; one without cuts, too."""
        self.history = History.from_plain(state["history"])
        self._done = dict(state["drawn"])
        self._losses = dict(state.get("losses", {}))
        if "course" in state:  # which older ones lack
            self._course = Course.from_plain(state["course"])
        if "cuts" in state:
            self._load_cuts(state["cuts"])

    def _load_cuts(self, state: Mapping[str, Any]) -> None:
        untrained = state["untrained"]
        self.untrained = None if untrained is None else Cuts.from_plain(untrained)
        self._cut_epochs, self._lost = list(state["epochs"]), list(state["lost"])
        if self._cut_every is not None:
            self._done |= state["done"]


def reached_in(state: Mapping[str, Any]) -> dict[str, int]:
    """What :attr:`Tracker.reached` was when its state was kept; see :meth:`Tracker.state_dict`."""
    cut = state["cuts"]["epochs"] if "cuts" in state else []
    return _reached(state["drawn"], state["history"]["epochs"], cut)


def _reached(
    drawn: Mapping[str, int], explained: Sequence[int], cut: Sequence[int]
) -> dict[str, int]:
    last = {NUMBERS: explained, CUTS: cut}
    return {**drawn, **{name: epochs[-1] for name, epochs in last.items() if epochs}}
