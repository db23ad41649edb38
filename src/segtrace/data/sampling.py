"""Which slice comes when, and what is done to it: functions of (seed, epoch, index) alone."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from segtrace.data.augment import Recipe
from segtrace.data.cache.entries import ARRAYS
from segtrace.data.prepare import PreparedCase
from segtrace.processes import allotted

Draw = tuple[int, int, int]
"""(epoch, pass, index): all that a training slice's randomness depends on, beside the seed."""
AUTO = "auto"
"""As many processes as suit the device."""
MOST_WORKERS = 8
"""Processes that a loader takes by itself: as many as feed one fast GPU slices of 224 pixels."""


class Slices(Dataset[dict[str, Any]]):
    """Every slice of some cases, in order.

    Args:
        cases: the cases.
        seed: of the augmentation.
        augmentation: None leaves the slices as they are.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        seed: int = 0,
        augmentation: Recipe | None = None,
    ) -> None:
        self.cases = tuple(cases)
        self.seed = seed
        self.augmentation = augmentation
        self.keys = [(row, index) for row, case in enumerate(cases) for index in range(len(case))]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def phantom(self) -> bool:
        """Whether any of the cases was generated."""
        return any(case.phantom for case in self.cases)

    @property
    def sides_known(self) -> bool:
        """Whether the files of all cases say where the patient's right, front and feet are."""
        return all(case.geometry.sides_known for case in self.cases)

    def __getitem__(self, draw: int | Draw) -> dict[str, Any]:
        """One slice: image (C, H, W) float32, label (1, H, W) uint8, case, slice.

        A draw carries its epoch with it: what a worker returns depends on nothing else.

        Raises:
            LostSlicesError: the prepared slices are gone, or not what they were.
        """
        row, index = self.keys[draw if isinstance(draw, int) else draw[2]]
        case = self.cases[row]
        image, label = (torch.from_numpy(case.stored(name, index)) for name in ARRAYS)
        if self.augmentation and not isinstance(draw, int):
            image, label = self.augmentation(image, label, (self.seed, *draw))
        image = torch.from_numpy(case.fitted_image(image.numpy()))
        label = torch.from_numpy(case.fitted_label(label.numpy()))
        image = image if image.ndim == 3 else image[None]
        return {"image": image, "label": label[None], "case": case.name, "slice": index}


class EpochSampler(Sampler[Draw]):
    """The epoch's draws: permutations that depend on (seed, epoch, pass) alone.

    Args:
        size: number of slices.
        seed: of the permutations.
        epoch: asked when iteration starts, since Lightning builds the loader before it restores
            the epoch of a resumed run.
        draws: how many slices; None for one pass. More than a pass goes on with the next one.
    """

    def __init__(
        self, size: int, seed: int, epoch: Callable[[], int], draws: int | None = None
    ) -> None:
        self.size, self.seed, self.epoch = size, seed, epoch
        self.draws = size if draws is None else draws

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[Draw]:
        epoch = self.epoch()
        for start in range(0, self.draws, self.size):
            turn = start // self.size
            random = np.random.default_rng([self.seed, epoch, turn])
            for index in random.permutation(self.size)[: self.draws - start]:
                yield epoch, turn, int(index)


class Loader(DataLoader[dict[str, Any]]):
    """torch's loader, whose order is settled when the first batch is asked for.

    Lightning asks for iterators that it does not use, one of them before it restores the epoch of a
    resumed run. Workers that were set to work at once would do so on slices of another epoch.
    """

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """The batches; workers begin, or go on, with the first of them.

        Raises:
            RuntimeError: a worker was ended from outside, in torch's words for it.
        """
        try:
            yield from super().__iter__()
        except (ConnectionError, EOFError, FileNotFoundError) as error:
            # A batch was handed over by a worker that ended before its memory was fetched, and
            # torch asks whether one has ended a moment too early to find it.
            if self.num_workers == 0 or "DataLoader worker" in str(error):
                raise
            raise RuntimeError("DataLoader worker exited unexpectedly") from error


def workers_beside(device: str, processes: int = 1) -> int:
    """Processes that load slices for one that trains: none on a CPU, which has its cores to use.

    Args:
        device: type of the device that is trained on.
        processes: that train side by side on this computer.
    """
    if device == "cpu":
        return 0
    return max(1, min(allotted() // processes - 1, MOST_WORKERS))


def threads_that_prepare(workers: int) -> int:
    """Threads that prepare cases where nobody says how many.

    Each holds a whole case, hence two, if there are the cores; more where more are to load slices.
    """
    return max(workers, min(2, allotted()))
