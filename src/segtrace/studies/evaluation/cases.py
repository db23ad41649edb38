"""One case at a time: predicted, scored, written."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
from segtrace.evaluation.sliding import inferer_of
from segtrace.evaluation.summary import Evaluated, rows
from segtrace.names import file_name
from segtrace.processes import side_by_side
from segtrace.progress import counted, over, say
from segtrace.report.files import remove, version_of
from segtrace.report.tables import save_table
from segtrace.studies.evaluation.kept import PREDICTIONS, Case, Kept, hash_of
from segtrace.studies.evaluation.result import UNPLACED, Evaluation, cases_of
from segtrace.studies.inputs.cautions import IN_SHORT, of_volume, say_cautions, trained_on
from segtrace.studies.inputs.new_image import predict
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.volumes.predictions import save_predictions
from segtrace.studies.volumes.viewers import save_label_tables

CPU = torch.device("cpu")
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


@dataclass(frozen=True)
class Evaluating:
    """A network that scores case after case.

    Attributes:
        trained: the network.
        load: name of a case -> the case with its labels.
        organs: those that are scored.
        numbering: organ, by the network's name, -> number in the label files.
        scoring: how.
        folder: of the part's files.
        device: where it predicts.
        seen: of all cases those that have the name of a training case.
        kept: where each case is kept; ``None`` for nowhere.
    """

    trained: TrainedNetwork
    load: Callable[[str], Volume]
    organs: Sequence[str]
    numbering: Mapping[str, int]
    scoring: Scoring
    folder: Path
    device: torch.device
    seen: Sequence[str]
    kept: Kept | None = None

    def __call__(self, name: str) -> Case:
        """Predict and score it, and write its prediction where the files say where it lies."""
        volume, trained = self.load(name), self.trained
        with moved(trained.net, self.device):
            stack = _predicted(trained, volume, self.scoring.rules)
        scores = _scored(stack, trained.channels, volume, self.numbering, self.organs, self.scoring)
        cautions, placed = of_volume(volume, trained), volume.grid.affine is not None
        if placed:
            mark = "".join(f", {IN_SHORT[one]}" for one in cautions if one in IN_SHORT)
            place = self.folder / PREDICTIONS / file_name(volume.name)
            remove(place)  # of a process that was killed meanwhile
            _save(place, stack, trained, volume, mark)
        # Phantoms bear the names of Synapse, and are none of it.
        seen = name in self.seen and volume.phantom == bool((trained.probes or {}).get("phantom"))
        if seen:
            cautions.append(trained_on(self.seen))
        case = Case(volume.name, scores, cautions, volume.phantom, placed, seen)
        if self.kept is not None:
            self.kept.write(name, case)
        return case


def evaluate(
    trained: TrainedNetwork,
    load: Callable[[str], Volume],
    cases: Sequence[str],
    part: str,
    numbering: Mapping[str, int],
    scoring: Scoring,
    folder: Path,
    device: torch.device = CPU,
    processes: int = 1,
    files: Callable[[str], Sequence[Path]] | None = None,
) -> Evaluation:
    """Score every case, and leave its prediction and its rows before the next is read.

    A case that is whole, of the same files by the same network and settings, is taken up.

    Args:
        trained: the network.
        load: name of a case -> the case with its labels.
        cases: their names.
        part: of the split: ``test``, ``val``, ``train``, or ``all``.
        numbering: organ, by the network's name, -> number in the label files.
        scoring: how.
        folder: of the part's files, ``evaluation.csv`` and ``predictions/CASE/``.
        device: where the network predicts.
        processes: that take a case each; changes nothing in what is found, with as many threads.
        files: name of a case -> its files, by whose bytes a case is taken up; ``None`` for never.

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
    named = trained.trained_on(cases)
    kept = files and Kept(folder, files, _made_by(trained, organs, numbering, scoring))
    before = _taken_up(kept, cases) if kept else {}
    todo = [name for name in cases if name not in before]
    one = Evaluating(trained, load, organs, numbering, scoring, folder, device, named, kept)
    found: list[Case] = []
    table: list[dict[str, object]] = []
    words = f"Scoring {cases_of(part, len(todo))} by the protocol {scoring.protocol}"
    with side_by_side(one, todo, processes, "processes=1") as scored:
        each = over(scored, words, len(todo))
        for name in cases:
            case = before[name] if name in before else next(each)
            _tell(case, found)
            found.append(case)
            table += rows(case.name, case.scores, scoring.tolerance)
            save_table(folder / "evaluation.csv", table)
    known = Evaluated({case.name: case.scores for case in found})
    cautions = dict.fromkeys(caution for case in found for caution in case.cautions)
    phantom = all(case.phantom for case in found)
    seen = [case.name for case in found if case.seen]
    placed = any(case.placed for case in found)
    return Evaluation(
        trained,
        known,
        part,
        scoring.rules,
        scoring.tolerance,
        phantom,
        [*cautions],
        seen,
        placed,
    )


def _made_by(
    trained: TrainedNetwork, organs: Sequence[str], numbering: Mapping[str, int], scoring: Scoring
) -> dict[str, str]:
    how = trained.preprocessing.to_plain(), trained.settings.activation, trained.channels
    return {
        "weights": hash_of(trained.net),
        "protocol": scoring.protocol,
        "tolerance": str(scoring.tolerance),
        "organs": repr((organs, dict(numbering))),
        "preprocessing": repr(how),
        "version of segtrace": str(version_of("segtrace")),
    }


def _taken_up(kept: Kept, cases: Sequence[str]) -> dict[str, Case]:
    """The cases that are whole."""
    kept.sweep()
    found = {name: case for name in cases if (case := kept.read(name)) is not None}
    if found:
        say(f"{len(found)} of {counted(len(cases), 'case')} scored before, by these weights: kept.")
    others = [what for name in cases if name not in found and (what := kept.others(name))]
    if others:
        why = ", ".join(dict.fromkeys(one for what in others for one in what))
        say(f"{counted(len(others), 'case')} scored before and now anew, with other {why}.")
    return found


def _tell(case: Case, before: Sequence[Case]) -> None:
    """What must be said of a case and was not said of another one."""
    say_cautions([c for c in case.cautions if not any(c in other.cautions for other in before)])
    if not case.placed and all(other.placed for other in before):
        say(UNPLACED)


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
    of_images = partial(
        predict, trained.net, activation=trained.settings.activation, said=False,
        inferer=inferer_of(trained.preprocessing),
    )  # fmt: skip
    return native(volume, trained.preprocessing, of_images, protocol)


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
    found = {}
    for organ, place in places.items():
        channel = organ_of(channels[organ], SOFTMAX).channel
        mask = stack == channel if stack.ndim == 3 else stack[:, channel] > 0
        found[organ] = score(
            mask, truth == place, volume.grid.steps, scoring.rules, scoring.tolerance
        )
    return found


def _save(
    folder: Path, stack: NDArray[np.uint8], trained: TrainedNetwork, volume: Volume, mark: str
) -> None:
    back = volume.grid.from_slices
    numbers = save_predictions(folder, stack, trained.channels, volume, mark, back)
    save_label_tables(folder, numbers)
