"""Event files of TensorBoard, rewound to where a run goes on: every step of a tag stands once."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from segtrace.report.files import atomic
from segtrace.report.tensorboard import BY_EPOCH

BEGIN = "events.out.tfevents."
FILES = f"{BEGIN}*"


def rewind(
    folder: Path,
    epoch: int,
    batches: int,
    anew: tuple[str, ...] = (),
    drawn: Mapping[str, int] | None = None,
) -> None:
    """Take out of the event files what a run writes once more that goes on.

    TensorBoard itself can only drop all tags from one step on, and epochs are not batches.

    Args:
        folder: the log of the run; nothing happens where it does not exist.
        epoch: the last that is kept.
        batches: those that the run has behind it.
        anew: beginnings of tags of which nothing is kept.
        drawn: beginning of tags -> the last epoch of theirs that is kept, where it is an earlier
            one: a later one was drawn because nothing seemed to follow.

    Raises:
        InputError: it cannot be written.
    """

    def stays(tag: str, step: int) -> bool:
        if not tag.startswith(BY_EPOCH):
            return step < batches
        lasts = [last for begins, last in (drawn or {}).items() if tag.startswith(begins)]
        return step <= min([epoch, *lasts])

    for path in sorted(folder.glob(FILES)):
        events = list(_events(path))
        kept = [left for event in events if (left := _kept(event, stays, anew))]
        if kept != events or _length(events) < path.stat().st_size:
            with atomic(path) as file:
                writer = RecordWriter(file)
                for event in kept:
                    writer.write(event.SerializeToString())
    _call_earlier(folder, int(time.time()))


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


def _kept(event: Event, stays: Callable[[str, int], bool], anew: tuple[str, ...]) -> Event | None:
    """What is left of an event; ``None`` for nothing. ``stays``: of a tag and its step."""
    if not event.HasField("summary"):
        return event
    left = Event()
    left.CopyFrom(event)
    values = [
        value
        for value in event.summary.value
        if not value.tag.startswith(anew) and stays(value.tag, event.step)
    ]
    if not values:
        return None
    del left.summary.value[:]
    left.summary.value.extend(values)
    return left
