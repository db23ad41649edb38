"""A training once more, from its checkpoints: what the callback left behind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter

from segtrace.errors import InputError
from segtrace.report.captions import title_of
from segtrace.report.claims.claim import passed
from segtrace.report.files import check_writable
from segtrace.report.sinks import TensorBoardSink
from segtrace.studies.cut_networks import Ablated
from segtrace.studies.epoch_figures import EpochFigures
from segtrace.tracking.cuts import Cuts
from segtrace.tracking.explained import Explained, Network
from segtrace.tracking.leaks import Leaks
from segtrace.tracking.tracker import Epoch, Tracker
from segtrace.tracking.writer import Writer


class FromCheckpoints:
    """A tracker that is updated with one checkpoint after the other.

    Args:
        folder: for tables, timelines, leakage, events and figures, named as under ``flow/``.
        log_dir: of TensorBoard; ``None`` for files alone.
        epochs: all that will come, rising -> mean validation Dice, NaN where not known.
        cut_every: epochs between two cuts; ``None`` for never.
        shared_scale: one colour scale for all maps of a printed grid.

    Attributes:
        tracker: what was found so far.
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
        cut_every: int | None = None,
        *,
        shared_scale: bool = False,
    ) -> None:
        self._board: SummaryWriter | None = None
        if log_dir is not None:
            check_writable(log_dir)
            _refuse_logged(Path(log_dir), list(epochs))
            self._board = SummaryWriter(log_dir)
        self.tracker = Tracker(cut_every=cut_every, files=False)
        self.events: list[str] | None = None
        sinks = () if self._board is None else (TensorBoardSink(self._board),)
        self._writer = Writer(folder, sinks)
        self._last = max(epochs)
        self._figures = EpochFigures(epochs, shared_scale)

    @property
    def ablated(self) -> Ablated | None:
        """What the last cuts cost; ``None`` where nothing was cut."""
        cuts, before = self.tracker.cuts, self.tracker.untrained
        return None if cuts is None else Ablated(cuts, before)

    def update(
        self,
        network: Network,
        explained: Explained,
        dice: Mapping[str, float],
        cut: Callable[[], Cuts | None] | None,
    ) -> None:
        """Add the next epoch.

        Args:
            network: that of the checkpoint, on the slices.
            explained: its maps and measures.
            dice: organ -> validation Dice, as far as known.
            cut: cuts it; ``None`` where it is not to be cut.
        """
        number = explained.record.epoch or 0
        final = number == self._last
        epoch = Epoch(number, final, network, lambda: explained, cut, dice)
        writer = replace(self._writer, more=network.settings.measures == "all")
        leaks = self.tracker.update(writer, epoch)
        self._figures.add(explained)
        if leaks is not None:
            self.events = _sentences(leaks)
        if final:
            self._figures.write(self._writer.folder / "figures")
            if self._board is not None:
                self._board.close()


def _sentences(leaks: Leaks) -> list[str]:
    rules = leaks.record.flow.rules
    words = [f"{title_of(rule)}: {words}" for rule in rules
             for words in (*leaks.events(rule), *leaks.left_out(rule))]  # fmt: skip
    return [*words, *passed(leaks.all_events)] if words else []


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
        if any(value.tag.startswith(("1_overview", "2_flow/")) for value in event.summary.value):
            yield event.step
