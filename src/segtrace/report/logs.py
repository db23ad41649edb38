"""Logs of TensorBoard and CSV, rewound to where a run goes on: every step of a tag stands once."""

import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from segtrace.errors import InputError
from segtrace.report.files import atomic
from segtrace.report.tables import read_table
from segtrace.report.tensorboard import BY_EPOCH

BEGIN = "events.out.tfevents."
FILES = f"{BEGIN}*"


OF_NO_TAG = ("step", "epoch")
"""Columns of a table that say where its rows stand."""
ASIDE = ".{}.kept"
"""What a file is called meanwhile that a logger would delete."""


@dataclass(frozen=True)
class Reached:
    """Up to where a log is kept.

    Attributes:
        epoch: the last that is kept.
        batches: those that the run has behind it.
        anew: beginnings of tags of which nothing is kept.
        drawn: beginning of tags -> the last epoch of theirs that is kept, where it is an earlier
            one: a later one was drawn because nothing seemed to follow.
    """

    epoch: int
    batches: int
    anew: tuple[str, ...] = ()
    drawn: Mapping[str, int] = field(default_factory=dict)

    def keeps(self, tag: str, step: int) -> bool:
        """Whether this point is not written once more."""
        if tag.startswith(self.anew):
            return False
        if not tag.startswith(BY_EPOCH):
            return step < self.batches
        lasts = [last for begins, last in self.drawn.items() if tag.startswith(begins)]
        return step <= min([self.epoch, *lasts])


def rewind(folder: Path, reached: Reached) -> None:
    """Take out of TensorBoard's event files what a run writes once more that goes on.

    TensorBoard itself can only drop all tags from one step on, and epochs are not batches.

    Args:
        folder: the log of the run; nothing happens where it does not exist.
        reached: up to where it is kept.

    Raises:
        InputError: it cannot be written.
    """
    for path in sorted(folder.glob(FILES)):
        events = list(_events(path))
        kept = [left for event in events if (left := _kept(event, reached.keeps))]
        if kept != events or _length(events) < path.stat().st_size:
            with atomic(path) as file:
                writer = RecordWriter(file)
                for event in kept:
                    writer.write(event.SerializeToString())
    _call_earlier(folder, int(time.time()))


@contextmanager
def spared(path: Path) -> Iterator[None]:
    """Inside the block a file has another name, so that a logger which begins finds none to delete.

    Where a process was killed in there, the file gets its name back the next time.
    """
    aside = path.with_name(ASIDE.format(path.name))
    if path.exists():
        path.replace(aside)
    try:
        yield
    finally:
        if aside.exists():
            aside.replace(path)


def rewind_table(path: Path, reached: Reached, begins: str = "") -> list[str]:
    """The same of a table with a column for each tag, as Lightning writes it.

    Args:
        path: the table.
        reached: up to where it is kept.
        begins: how the columns of tags begin, before the tag.

    Returns:
        Its columns; none where it does not exist.

    Raises:
        InputError: it is damaged, or cannot be written.
    """
    rows = read_table(path, torn=True)
    try:
        kept = [left for row in rows if (left := _kept_of_row(row, reached, begins))]
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error!r}); move it away") from error
    if not rows:
        return []
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))  # its lines end as those that Lightning will add
    table.writeheader()
    table.writerows(kept)
    with atomic(path) as file:
        file.write(text.getvalue().encode())
    return list(rows[0])


def _kept_of_row(row: Mapping[str, str], reached: Reached, begins: str) -> dict[str, str] | None:
    step = int(row["step"])
    kept = {
        name: value
        for name, value in row.items()
        if value and (name in OF_NO_TAG or reached.keeps(name.removeprefix(begins), step))
    }
    return kept if kept.keys() - set(OF_NO_TAG) else None


def _call_earlier(folder: Path, latest: int) -> None:
    """Let no file be called by a later time than this one, as after a clock was set back.

    TensorBoard reads them in the order of their names, which begin with the second they are of.
    """
    for path in sorted(folder.glob(FILES), reverse=True):
        stamp, _, rest = path.name.removeprefix(BEGIN).partition(".")
        if stamp.isdigit() and int(stamp) > latest:
            path.rename(folder / f"{BEGIN}{latest:010d}.{rest}")
            latest -= 1
        elif stamp.isdigit():
            latest = int(stamp)


def _events(path: Path) -> Iterator[Event]:
    """All whole events; a killed run may leave a part of one at the end."""
    for record in RawEventFileLoader(str(path)).Load():
        yield Event.FromString(record)


def _length(events: list[Event]) -> int:
    """Bytes of a file that holds these and no torn one; each stands in a frame of 16."""
    return sum(event.ByteSize() + 16 for event in events)


def _kept(event: Event, stays: Callable[[str, int], bool]) -> Event | None:
    """What is left of an event; ``None`` for nothing. ``stays``: of a tag and its step."""
    if not event.HasField("summary"):
        return event
    left = Event()
    left.CopyFrom(event)
    values = [value for value in event.summary.value if stays(value.tag, event.step)]
    if not values:
        return None
    del left.summary.value[:]
    left.summary.value.extend(values)
    return left
