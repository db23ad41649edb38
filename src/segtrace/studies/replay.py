"""The course of a training after the fact, from its checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter

from segtrace.checkpoint import loading as checkpoint
from segtrace.errors import InputError
from segtrace.names import file_name
from segtrace.report.captions import plain
from segtrace.report.figures.animation import Animation
from segtrace.report.figures.paper import epoch_grid, save_figure
from segtrace.report.files import check_writable, save_bytes
from segtrace.report.page.fitting import by_importance
from segtrace.report.record import Record
from segtrace.report.tensorboard import Writer
from segtrace.tracking.course import Course, Network
from segtrace.tracking.explained import Explained
from segtrace.tracking.sink import Sink

ROWS = 8
"""Epochs in a printed grid: the first, the last, the best, and those spaced in the logarithm."""
FRAMES, FRAME_ROWS = 24, 2
"""Epochs in an animation, chosen in the same way, and slices in each of its frames."""

SAME = {
    "network": "networks",
    "stages": "stages",
    "organs": "organs",
    "preprocessing": "preprocessing",
}
"""What the checkpoints of one timeline have in common."""


def in_order(paths: Sequence[Path]) -> dict[int, Path]:
    """Epoch -> checkpoint, rising.

    Raises:
        InputError: checkpoints of different networks, label sets, or probes; an epoch twice.
    """
    described = [(path, checkpoint.describe(path)) for path in paths]
    first, begin = described[0]
    found: dict[int, Path] = {}
    for path, description in described:
        _check_same(first, begin, path, description)
        epoch = int(description["epoch"])
        if epoch in found:
            raise InputError(
                f"{found[epoch]} and {path} are both of epoch {epoch}; a timeline takes one run, "
                "each epoch once (to compare runs: runs=…)"
            )
        found[epoch] = path
    return dict(sorted(found.items()))


def _check_same(
    first: Path, begin: Mapping[str, Any], path: Path, description: Mapping[str, Any]
) -> None:
    for key, words in SAME.items():
        if description[key] != begin[key]:
            raise InputError(
                f"{first} and {path} have different {words}; one timeline takes the checkpoints "
                "of one run"
            )
    if description["probes"]["hash"] != begin["probes"]["hash"]:
        raise InputError(
            f"{first} and {path} were watched on different slices; one timeline takes the "
            "checkpoints of one run"
        )


class Replay:
    """What the callback would have left behind, written from checkpoints.

    Args:
        folder: for tables, timelines, leakage, events and figures, named as under ``flow/``.
        log_dir: of TensorBoard; ``None`` for files alone.
        epochs: all that will come, rising -> mean validation Dice, NaN where not known; without
            any, nothing is written: a network alone.
        shared_scale: one colour scale for all maps of a printed grid.

    Attributes:
        sink: where everything goes.
        events: the leakage events of the last epoch, in sentences; ``None`` where they were not
            looked for.

    Raises:
        InputError: ``log_dir`` cannot be written, or holds one of the epochs.
    """

    def __init__(
        self,
        folder: Path,
        log_dir: str | None,
        epochs: Mapping[int, float],
        shared_scale: bool = False,
    ) -> None:
        writer: Writer | None = None
        if log_dir is not None:
            check_writable(log_dir)
            _refuse_logged(Path(log_dir), list(epochs))
            writer = SummaryWriter(log_dir)
        self.sink = Sink(folder, writer)
        self._course = Course(files=False)
        self._epochs, self._shared_scale = list(epochs), shared_scale
        self._records: list[Record] = []
        self._animations: dict[tuple[str, str], Animation] = {}
        self.events: list[str] | None = None
        ranked = ranks(epochs) if epochs else []
        self._in_grid, self._in_animation = set(ranked[:ROWS]), set(ranked[:FRAMES])

    def add(self, network: Network, explained: Explained, dice: Mapping[str, float]) -> None:
        """Tell the next epoch."""
        if not self._epochs:
            return
        epoch = explained.record.epoch
        final = epoch == self._epochs[-1]
        leaks = self._course.leaks(network, explained, final)
        self._course.tell(self.sink, explained, leaks, dice, final)
        if epoch in self._in_grid:
            self._records.append(explained.record)
        if epoch in self._in_animation:
            self._animate(explained)
        if leaks is not None:
            rules = self._course.history.rules
            self.events = [
                f"{event.sentence} ({plain(rule)})"
                for rule in rules
                for event in leaks.events(rule)
            ]
        if final:
            self._close()

    def _animate(self, explained: Explained) -> None:
        """Keep a frame of every organ, by the leading rule; all frames show the same slices."""
        record, rule = explained.record, explained.record.flow.rules[0]
        for organ in record.flow.organs:
            # Without a truth the most telling slices would change from epoch to epoch.
            fixed = range(min(FRAME_ROWS, len(record.scene.cases)))
            rows = list(fixed) if record.scene.truth is None else FRAME_ROWS
            frames = self._animations.setdefault((rule, organ), Animation())
            frames.add(explained.picture(rule, organ, rows))

    def _close(self) -> None:
        if self.sink.writer is not None:
            self.sink.writer.close()
        if len(self._records) < 2:
            return
        figures = self.sink.folder / "figures"
        for (rule, organ), animation in self._animations.items():
            if _shown(self._records[-1], organ):
                name = f"{file_name(rule)}_{file_name(organ, self._records[-1].flow.organs)}"
                save_bytes(figures / f"animation_{name}.gif", animation.gif())
                shared = self._shared_scale
                figure, caption = epoch_grid(self._records, organ, rule, shared=shared)
                save_figure(figures, f"epoch_grid_{name}", figure, caption)


def _shown(record: Record, organ: str) -> bool:
    """Whether the last epoch has a region of the organ to draw."""
    return bool(record.flow.region_px[record.flow.organs.index(organ)].any())


def ranks(epochs: Mapping[int, float]) -> list[int]:
    """The epochs, those that a selection should hold first; as on the page.

    Args:
        epochs: epoch -> mean Dice, NaN where not known.

    >>> ranks({0: 0.1, 1: 0.5, 2: 0.9, 3: 0.8, 4: 0.7})
    [4, 0, 2, 1, 3]
    """
    names = list(epochs)
    known = [i for i, name in enumerate(names) if not isnan(epochs[name])]
    best = max(known, key=lambda i: epochs[names[i]], default=None)
    return [names[i] for i in by_importance(names, best)]


def _refuse_logged(folder: Path, epochs: Sequence[int]) -> None:
    logged = {
        step for path in sorted(folder.glob("events.out.tfevents.*")) for step in _steps(path)
    }
    twice = sorted(logged & set(epochs))
    if twice:
        raise InputError(
            f"log_dir={folder}: epoch {twice[0]} is already logged there; name another folder"
        )


def _steps(path: Path) -> Iterator[int]:
    """The epochs for which a file holds maps or measures."""
    for event in LegacyEventFileLoader(str(path)).Load():
        if any(value.tag.startswith(("flow/", "measure_")) for value in event.summary.value):
            yield event.step
