"""A training told epoch by epoch, while it runs or from its checkpoints: the same words."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from segtrace.attribution.stages import StagesLike
from segtrace.data.probes import Probes
from segtrace.measures.change import between_epochs, between_stages
from segtrace.report.record import Record
from segtrace.tracking.explained import Explained, Settings
from segtrace.tracking.history import History
from segtrace.tracking.leaks import LeakMeter, Leaks
from segtrace.tracking.pace import CHARTS, EVERY, NUMBERS, Pace
from segtrace.tracking.sink import Sink


class Network(NamedTuple):
    """What is traced: the arguments of :func:`segtrace.tracking.explained.explain_probes`."""

    net: nn.Module
    stages: StagesLike
    probes: Probes
    channels: Mapping[str, int]
    settings: Settings


class Course:
    """The numbers of all epochs so far, and what is drawn of them when.

    Args:
        draw_every: see :data:`~segtrace.tracking.pace.EVERY`, which it overrides.
        files: write the maps' pictures as files too.
    """

    def __init__(self, draw_every: Mapping[str, int] | None = None, *, files: bool = True) -> None:
        self.history = History()
        self.pace = Pace(EVERY | dict(draw_every or {}))
        self.files = files
        self._meter = LeakMeter()
        self._before: Record | None = None
        self._laid_out = False

    def leaks(
        self,
        network: Network,
        explained: Explained,
        final: bool,
        output: Callable[[Any], Tensor] | None = None,
    ) -> Leaks | None:
        """Whose evidence lies on whose pixels, where charts are due; it takes a trace more."""
        record = explained.record
        if not self.pace.due(CHARTS, record.epoch or 0, final):
            return None
        found = self._meter.of(record)
        if record.epoch == 0:
            self.history.leak = found
            return Leaks(record, found, None, None)
        centred = self._meter.of_centred(*network, output=output)
        return Leaks(record, found, centred, self.history.leak)

    def tell(
        self,
        sink: Sink,
        explained: Explained,
        leaks: Leaks | None,
        dice: Mapping[str, float],
        final: bool,
    ) -> None:
        """Add an epoch, and write what is due.

        Args:
            sink: where to.
            explained: its maps and measures.
            leaks: its leakage, or ``None`` where charts are not due.
            dice: organ -> validation Dice, as far as known.
            final: no epoch follows.

        Raises:
            InputError: it does not fit the epochs before it.
        """
        self.history.add(explained, dice)
        if not self._laid_out:
            sink.layout(self.history)
            self._laid_out = True
        self._pictures(sink, explained, final)
        sink.numbers(explained, self.history)
        if "locality" in explained.values:  # measures="all"
            sink.changes(change_rows(self._before, explained.record))
            self._before = explained.record
        self._charts(sink, leaks, final)

    def end(self, sink: Sink, explained: Explained, leaks: Leaks | None) -> None:
        """Make up what the newest epoch was spared, where it turns out that none follows.

        Args:
            sink: where to.
            explained: the maps and measures that were told.
            leaks: its leakage, or ``None`` where it was drawn already.
        """
        self._pictures(sink, explained, final=True)
        self._charts(sink, leaks, final=True)

    def _pictures(self, sink: Sink, explained: Explained, final: bool) -> None:
        epoch, rules = self.history.epochs[-1], self.history.rules
        due = [rule for rule in rules if self.pace.due(rule, epoch, final)]
        sink.pictures(explained, due, files=self.files)

    def _charts(self, sink: Sink, leaks: Leaks | None, final: bool) -> None:
        if leaks is not None:
            sink.leaks(leaks)
            sink.timelines(self.history)
        if final:
            sink.end(self.history)

    @property
    def reached(self) -> dict[str, int]:
        """What is written -> its last epoch; see :meth:`Sink.forget`."""
        told = {NUMBERS: self.history.epochs[-1]} if self.history.epochs else {}
        return {**self.pace.last, **told}

    def to_plain(self) -> dict[str, Any]:
        """What a resumed run needs to go on: plain values and tensors."""
        return {"history": self.history.to_plain(), "drawn": self.pace.last}

    def go_on(self, plain: Mapping[str, Any]) -> None:
        """Take up what :meth:`to_plain` gave."""
        self.history = History.from_plain(plain["history"])
        self._laid_out = bool(self.history.epochs)
        self.pace.last = dict(plain["drawn"])


def change_rows(before: Record | None, record: Record) -> list[dict[str, Any]]:
    """How maps differ from the next stage's and from the epoch's before, means over slices.

    One row a rule, organ and stage; NaN at the last stage and at the first epoch.
    """
    flow = record.flow
    depth = {f"{name}_to_next_stage": values.nanmean(-1).tolist()
             for name, values in between_stages(flow).items()}  # fmt: skip
    churn = {}
    if before is not None:
        churn = {f"{name}_since_epoch": values.nanmean(-1).tolist()
                 for name, values in between_epochs(before.flow, flow).items()}  # fmt: skip
    last, nan = len(flow.stages) - 1, float("nan")
    names = [name.replace("_to_next_stage", "_since_epoch") for name in depth]
    return [
        {
            "epoch": record.epoch,
            "since": None if before is None else before.epoch,
            "rule": rule,
            "organ": organ,
            "stage": stage,
            **{name: nan if s == last else values[s][r][o] for name, values in depth.items()},
            **{name: churn[name][s][r][o] if churn else nan for name in names},
        }
        for r, rule in enumerate(flow.rules)
        for o, organ in enumerate(flow.organs)
        for s, stage in enumerate(flow.stages)
    ]
