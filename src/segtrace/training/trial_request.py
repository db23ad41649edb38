"""Which networks are put to the test, on which slices, beside which untrained network."""

from collections.abc import Iterator
from pathlib import Path

from hydra.utils import instantiate

from segtrace.data.datamodule import SliceDataModule
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.training.request import Request
from segtrace.training.subject import Subject, untrained_of


def trials(asked: Request) -> Iterator[tuple[Subject, Subject | None, Probes, Path]]:
    """Network, the same before training if it is at hand, slices, and a folder.

    Raises:
        InputError: data that cannot be prepared as the network needs them.
    """
    for subject, folder in asked.subjects():
        untrained = untrained_of(subject, asked.untrained) if subject.epoch != 0 else None
        yield subject, untrained, _spread(asked, subject), folder


def _spread(asked: Request, subject: Subject) -> Probes:
    """Slices of every case of the data named, or else the network's own."""
    if not asked.config.get("data"):
        return asked.slices(subject)
    given, wanted = asked.config["probes"], subject.preprocessing
    # Handed over as they are: a value of a checkpoint is never a part of the configuration.
    module = instantiate(asked.config["data"], _partial_=True, _convert_="all")
    data: SliceDataModule = module(
        size=wanted.size, window=wanted.window, organs=list(wanted.organs)
    )
    if Preprocessing.from_plain(data.preprocessing) != wanted:
        raise InputError(
            f"the network has the channels {dict(wanted.organs)}, these data "
            f"{dict(data.organs)}; give data with the same organs"
        )
    return data.spread(given["n"], given["from"])
