"""One case at a time: predicted, scored, written."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from segtrace.activation import SOFTMAX, OrganLike, organ_of
from segtrace.data.files.nifti import Volume
from segtrace.data.labels import to_channels
from segtrace.errors import InputError
from segtrace.evaluation.prediction import native
from segtrace.evaluation.protocols import Protocol, protocol_of
from segtrace.evaluation.scores import TOLERANCE_MM, Score, score
from segtrace.evaluation.summary import Evaluated, rows
from segtrace.names import file_name
from segtrace.progress import over, say
from segtrace.report.tables import save_table
from segtrace.studies.evaluation.result import Evaluation, cases_of
from segtrace.studies.inputs.cautions import IN_SHORT, about_volume
from segtrace.studies.inputs.new_image import predict
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.volumes.predictions import save_predictions
from segtrace.studies.volumes.viewers import save_label_tables

FARTHEST = 100.0
"""mm: no tolerance is larger."""


@dataclass(frozen=True)
class Scoring:
    """How cases are scored.

    Attributes:
        protocol: ``strict``, or ``transunet``.
        tolerance: of the surface Dice, mm.

    Raises:
        InputError: another protocol; a tolerance below 0 or above 100 mm.
    """

    protocol: str = "strict"
    tolerance: float = TOLERANCE_MM

    def __post_init__(self) -> None:
        protocol_of(self.protocol)
        if not 0 <= self.tolerance <= FARTHEST:
            raise InputError(f"study.tolerance={self.tolerance}; give 0 to {FARTHEST:g} mm")

    @property
    def rules(self) -> Protocol:
        """The protocol itself."""
        return protocol_of(self.protocol)


def evaluate(
    trained: TrainedNetwork,
    volumes: Iterable[Volume],
    cases: Collection[str],
    part: str,
    numbering: Mapping[str, int],
    scoring: Scoring,
    folder: Path,
) -> Evaluation:
    """Score every case, and leave its prediction and its rows before the next is read.

    Args:
        trained: the network.
        volumes: the cases with their labels, one at a time.
        cases: their names.
        part: of the split: ``test``, ``val``, ``train``, or ``all``.
        numbering: organ, by the network's name, -> number in the label files.
        scoring: how.
        folder: of the part's files, ``evaluation.csv`` and ``predictions/CASE/``.

    Raises:
        InputError: a case without a label; a file that cannot be read or written; no organ that
            network and labels both know.
    """
    asked = trained.settings.organs
    organs = [o for o in trained.channels if o in numbering and (asked is None or o in asked)]
    if not organs:
        raise InputError(
            f"no organ to score: the network knows {', '.join(trained.channels)}, the labels "
            f"{', '.join(numbering)}; name them alike in data.labels"
        )
    scores: dict[str, dict[str, Score]] = {}
    table: list[dict[str, object]] = []
    cautions: dict[str, None] = {}
    phantom = placed = True
    words = f"Scoring {cases_of(part, len(cases))} by the protocol {scoring.protocol}"
    for volume in over(volumes, words, len(cases)):
        found = about_volume(volume, trained, cautions)
        cautions |= dict.fromkeys(found)
        phantom &= volume.phantom
        stack = _predicted(trained, volume, scoring.rules)
        scores[volume.name] = _scored(stack, trained.channels, volume, numbering, organs, scoring)
        table += rows(volume.name, scores[volume.name], scoring.tolerance)
        save_table(folder / "evaluation.csv", table)
        if volume.grid.affine is None and placed:
            placed = False
            say("No predictions are written: npz and h5 files hold no affine to lay them by")
        elif placed:
            mark = "".join(f", {IN_SHORT[one]}" for one in found if one in IN_SHORT)
            _save(folder / "predictions" / file_name(volume.name), stack, trained, volume, mark)
    known = Evaluated(scores)
    return Evaluation(trained, known, part, scoring.rules, scoring.tolerance, phantom, [*cautions])


@contextmanager
def moved(net: nn.Module, device: torch.device) -> Iterator[None]:
    """Inside the block the network is on this device."""
    before = next(net.parameters()).device
    net.to(device)
    try:
        yield
    finally:
        net.to(before)


def _predicted(trained: TrainedNetwork, volume: Volume, protocol: Protocol) -> NDArray[np.uint8]:
    of_slices = partial(predict, trained.net, activation=trained.settings.activation, said=False)
    return native(volume, trained.preprocessing, of_slices, protocol)


def _scored(
    stack: NDArray[np.uint8],
    channels: Mapping[str, OrganLike],
    volume: Volume,
    numbering: Mapping[str, int],
    organs: Collection[str],
    scoring: Scoring,
) -> dict[str, Score]:
    if volume.label is None:
        raise InputError(f"{volume.where}: no label belongs to this image, so nothing is scored")
    places = {organ: place for place, organ in enumerate(organs, 1)}
    truth = to_channels(volume.label, numbering, places, volume.where, volume.remedy)
    across, along, up = volume.grid.spacing
    found = {}
    for organ, place in places.items():
        channel = organ_of(channels[organ], SOFTMAX).channel
        mask = stack == channel if stack.ndim == 3 else stack[:, channel] > 0
        found[organ] = score(
            mask, truth == place, (up, along, across), scoring.rules, scoring.tolerance
        )
    return found


def _save(
    folder: Path, stack: NDArray[np.uint8], trained: TrainedNetwork, volume: Volume, mark: str
) -> None:
    back = volume.grid.from_slices
    numbers = save_predictions(folder, stack, trained.channels, volume, mark, back)
    save_label_tables(folder, numbers)
