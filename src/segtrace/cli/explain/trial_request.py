"""Which networks are put to the test, on which slices, beside which untrained network."""

from collections.abc import Iterator
from pathlib import Path

from segtrace.cli.explain.request import Request
from segtrace.data.probes import Probes
from segtrace.studies.subject import Subject, untrained_of


def trials(asked: Request) -> Iterator[tuple[Subject, Subject | None, Probes, Path]]:
    """Network, the same before training if it is at hand, slices, and a folder.

    Raises:
        InputError: data that cannot be prepared as the network needs them.
    """
    for subject, folder in asked.subjects():
        untrained = untrained_of(subject, asked.untrained) if subject.epoch != 0 else None
        yield subject, untrained, asked.slices.spread(subject), folder
