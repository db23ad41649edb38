"""Slices, or volumes, as Lightning wants them."""

import warnings
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import Sampler

from segtrace.data.augment import Named
from segtrace.data.labels import organ_table
from segtrace.data.limits import IN_WORDS, RANGES, check_range
from segtrace.data.prepare import PreparedCase
from segtrace.data.sampling import (
    AUTO,
    Draw,
    EpochSampler,
    Loader,
    threads_that_prepare,
    workers_beside,
)
from segtrace.data.sources import CaseSource, Later
from segtrace.data.splits.choosing import check_given, chosen_split
from segtrace.data.splits.twins import warn_of_twins
from segtrace.data.views.choosing import UNASKED, view_of
from segtrace.data.views.view import Items, count
from segtrace.data.views.watched import PreparedCases
from segtrace.data.views.windowing import Window, window_of
from segtrace.errors import InputError


class CaseDataModule(PreparedCases, LightningDataModule):
    """Axial CT slices of a case source; or, with ``patch`` or ``spacing``, its volumes.

    Batches are dicts: image (B, C, H, W) float32 in [0, 1], label (B, 1, H, W) uint8 channels,
    case (list of B names), slice (B,) indices, 0 = most caudal. Of volumes image is (B, C, D, H, W)
    and label (B, 1, D, H, W), each plane lying as a slice does; slice is 0; and validation batches
    hold one whole volume. All randomness is a function of
    (seed, epoch, index): batches are the same bits whatever loads them. Loader processes stay from
    epoch to epoch, and a GPU is fed from pinned memory.

    Args:
        source: where the cases come from; made when they are first asked for where it is
            :class:`Later`.
        organs: ``"synapse8"``, ``"btcv13"``, ``"all"`` or organ names in channel order.
        size: rows and columns of a slice.
        window: HU that become 0 and 1; or ``"percentile"`` or ``"zscore"``, of every case its own;
            or a list of these, one for each input channel.
        split: part (train, val and, if wanted, test) -> case names; a name of a split or a file
            that holds one; None for the source's own (:func:`chosen_split`).
        fold: ``"k/n"``: part k of n of the cases that are not for the test validates; or the
            number of a fold in the file ``split``.
        batch_size: slices, or volumes, per batch; None for 8 slices, or 2 volumes.
        num_workers: loader processes, and threads that prepare slices; ``"auto"``: none on a CPU,
            up to 8 beside a GPU, and two threads.
        seed: of the order and the augmentation.
        steps_per_epoch: training batches per epoch; None for one pass over the slices.
        cache_dir: where prepared slices are kept.
        augment: how training slices are changed at random: ``"anatomical"`` (True), ``"none"``
            (False) or ``"transunet"``, see :data:`segtrace.data.augment.RECIPES`.
        resizing: of all slices: ``"linear"``, or ``"cubic"`` as TransUNet's program does it, which
            overshoots [0, 1]; None: ``"cubic"`` with ``"transunet"``, and otherwise ``"linear"``.
        patch: voxels (left-right, front-back, feet-head) of the volumes that a network takes, in
            the place of slices; None beside ``spacing``: whole volumes, padded to the smallest
            multiples of 16 that hold each of train and val.
        spacing: mm in the same order, to which volumes are resampled; None beside ``patch``: the
            files' own voxels.
        foreground: of volumes, share of the training patches around a voxel of an organ, of each
            organ of a case equally often; the others lie anywhere.
        overlap: of neighbouring patches where a whole volume is predicted, as a share of a patch.
    """

    def __init__(
        self,
        source: CaseSource | Later,
        organs: Annotated[str | list[str], IN_WORDS["organs"]] = "synapse8",
        size: Annotated[int, IN_WORDS["size"]] = 224,
        window: Annotated[Window | list[Window], IN_WORDS["window"]] = (-125.0, 275.0),
        split: Annotated[str | dict[str, list[str | int]] | None, IN_WORDS["split"]] = None,
        fold: Annotated[str | int | None, IN_WORDS["fold"]] = None,
        batch_size: int | None = None,
        num_workers: int | str = AUTO,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        cache_dir: str = "data/cache",
        augment: Named = True,
        resizing: Literal["linear", "cubic"] | None = None,
        patch: Annotated[list[int] | None, IN_WORDS["patch"]] = None,
        spacing: Annotated[list[float] | None, IN_WORDS["spacing"]] = None,
        foreground: float = UNASKED,
        overlap: float = UNASKED,
    ) -> None:
        super().__init__()
        _check_ranges(
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            num_workers=_counted(num_workers),
            seed=seed,
        )
        check_given(split, fold)

        self._given = source
        self.view_asked = view_of(
            window_of(window), organ_table(organs, source.numbering), source.channels, size,
            resizing, augment, patch, spacing, foreground, overlap,
        )  # fmt: skip
        self.organs = self.view_asked.preprocessing.organs
        self._parts = partial(chosen_split, given=split, part=fold, seed=seed)
        self.batch_size = self.view_asked.usual_batch if batch_size is None else batch_size
        self.num_workers, self.seed = num_workers, seed
        self.steps_per_epoch = steps_per_epoch
        self.cache_dir = cache_dir
        self._cases: dict[str, list[PreparedCase]] = {}
        self._judged: set[str] = set()  # parts of which it was said what they lack
        self._loaders: dict[tuple[Any, ...], Loader] = {}
        self._epoch = 0

    def setup(self, stage: str | None = None) -> None:
        """Prepare what the stage needs; of a training warn of organs no case holds, and of twins.

        Twins are two cases with one image.
        """
        parts = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        asked = parts.get(stage or "fit", ())
        self.gather(*asked)
        if stage in (None, "fit") and not self._judged:
            warn_of_twins(self.source, self.split, Path(self.cache_dir).expanduser())
        for part in asked if stage in (None, "fit") else ():
            if self.split[part] and part not in self._judged:
                self._judged.add(part)
                self._warn_of_absent(part)

    def _warn_of_absent(self, part: str) -> None:
        held = np.sum([case.areas.sum(0) for case in self.cases(part)], axis=0)
        absent = [organ for organ, area in zip(self.organs, held, strict=True) if not area]
        if absent:
            lost = {"train": "nothing is learned of that", "val": "that has no Dice"}[part]
            warnings.warn(
                f"no {part} case holds {' or '.join(absent)}, so {lost}: see that its number in "
                "the label table is that of the files, leave it out with data.organs, or take "
                f"other cases for data.split.{part}",
                stacklevel=3,
            )

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next pass, where no trainer keeps count."""
        self._epoch = epoch

    def _current_epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer is not None else self._epoch

    def train_dataloader(self) -> Loader:
        """Shuffled, augmented slices, organ-free ones included; or patches of volumes."""
        slices = self.view.training(self.cases("train"), self.seed, augmented=True)
        draws = self.steps_per_epoch and self.steps_per_epoch * self.batch_size
        sampler = EpochSampler(count(slices), self.seed, self._current_epoch, draws)
        return self._loader("train", slices, self.batch_size, sampler)

    @property
    def smallest_batch(self) -> int:
        """Slices in the last batch of a pass, which may be fewer than in the others."""
        if self.steps_per_epoch is not None:
            return self.batch_size
        slices = self.view.training(self.cases("train"), self.seed, augmented=False)
        return count(slices) % self.batch_size or self.batch_size

    def val_dataloader(self) -> Loader | list[Any]:
        """Every slice of the validation cases, in order; none where the split has no such cases."""
        return self._whole("val") if self.split["val"] else []

    def test_dataloader(self) -> Loader:
        """Every slice of the test cases, in order."""
        return self._whole("test")

    def _whole(self, part: str) -> Loader:
        slices = self.view.whole(self.cases(part))
        return self._loader(part, slices, self.view.whole_batch(self.batch_size))

    def _loader(
        self, part: str, slices: Items, batch_size: int, sampler: Sampler[Draw] | None = None
    ) -> Loader:
        """The one loader of a part, whose processes stay where Lightning asks for it again."""
        workers, kept = self._workers(), self.trainer is not None
        wanted = (part, batch_size, self.steps_per_epoch, workers, kept, self._device)
        if wanted not in self._loaders:
            # torch's loader, not MONAI's: no worker holds random state that would need seeding. A
            # generator of its own keeps the loader from drawing on the global one.
            self._loaders[wanted] = Loader(
                slices,
                batch_size=batch_size,
                sampler=sampler,
                num_workers=workers,
                persistent_workers=workers > 0 and kept,  # a trainer ends them
                pin_memory=self._device == "cuda",
                generator=torch.Generator(),
            )
        return self._loaders[wanted]

    def _workers(self) -> int:
        if (given := _counted(self.num_workers)) is not None:
            return given
        beside = self.trainer.num_devices if self.trainer is not None else 1
        return workers_beside(self._device, beside)

    @property
    def threads(self) -> int:
        """That prepare cases."""
        given = _counted(self.num_workers)
        return threads_that_prepare(self._workers()) if given is None else given

    @property
    def _device(self) -> str:
        """Type of the device that is trained on, or would be."""
        if self.trainer is not None:
            return str(self.trainer.strategy.root_device.type)
        return "cuda" if torch.cuda.is_available() else "cpu"


def _counted(workers: int | str) -> int | None:
    """Processes that were asked for; None where nobody has counted them."""
    if workers != AUTO and not isinstance(workers, int):
        raise InputError(f"data.num_workers={workers!r}; give a whole number, or {AUTO}")
    return None if isinstance(workers, str) else workers


def _check_ranges(**options: int | None) -> None:
    for name, value in options.items():
        check_range(f"data.{name}", value, *RANGES[name])
