"""The slices as Lightning wants them."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import Sampler

from segtrace.data.augment import BEFORE_RESIZING, Named, recipe_of
from segtrace.data.cases import Split
from segtrace.data.files.findings import told
from segtrace.data.labels import organ_table
from segtrace.data.limits import RANGES, check_range
from segtrace.data.prepare import PreparedCase, Preprocessing, prepare_all
from segtrace.data.preprocessing import CUBIC, LINEAR, Window, batch_of, window_of
from segtrace.data.probes import Probes, choose, usual
from segtrace.data.sampling import (
    AUTO,
    Draw,
    EpochSampler,
    Loader,
    Slices,
    threads_that_prepare,
    workers_beside,
)
from segtrace.data.sources import CaseSource
from segtrace.data.splits.choosing import chosen_split
from segtrace.errors import InputError, unknown
from segtrace.names import check_shown
from segtrace.progress import counted, over, say


class SliceDataModule(LightningDataModule):
    """Axial CT slices of a case source.

    Batches are dicts: image (B, C, H, W) float32 in [0, 1], label (B, 1, H, W) uint8 channels,
    case (list of B names), slice (B,) indices, 0 = most caudal. All randomness is a function of
    (seed, epoch, index): batches are the same bits whatever loads them. Loader processes stay from
    epoch to epoch, and a GPU is fed from pinned memory.

    Args:
        source: where the cases come from.
        organs: ``"synapse8"``, ``"btcv13"``, ``"all"`` or organ names in channel order.
        size: rows and columns of a slice.
        window: HU that become 0 and 1; or ``"percentile"`` or ``"zscore"``, of every case its own;
            or a list of these, one for each input channel.
        split: part (train, val and, if wanted, test) -> case names; a name of a split or a file
            that holds one; None for the source's own (:func:`chosen_split`).
        fold: ``"k/n"``: part k of n of the cases that are not for the test validates; or the
            number of a fold in the file ``split``.
        batch_size: slices per batch.
        num_workers: loader processes, and threads that prepare slices; ``"auto"``: none on a CPU,
            up to 8 beside a GPU, and two threads.
        seed: of the order and the augmentation.
        steps_per_epoch: training batches per epoch; None for one pass over the slices.
        cache_dir: where prepared slices are kept.
        augment: how training slices are changed at random: ``"anatomical"`` (True), ``"none"``
            (False) or ``"transunet"``, see :data:`segtrace.data.augment.RECIPES`.
        resizing: of all slices: ``"linear"``, or ``"cubic"`` as TransUNet's program does it, which
            overshoots [0, 1]; None: ``"cubic"`` with ``"transunet"``, and otherwise ``"linear"``.
    """

    def __init__(
        self,
        source: CaseSource,
        organs: str | list[str] = "synapse8",
        size: int = 224,
        window: Window | list[Window] = (-125.0, 275.0),
        split: str | dict[str, list[str | int]] | None = None,
        fold: str | int | None = None,
        batch_size: int = 8,
        num_workers: int | str = AUTO,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        cache_dir: str = "data/cache",
        augment: Named = True,
        resizing: Literal["linear", "cubic"] | None = None,
    ) -> None:
        super().__init__()
        _check_ranges(
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            num_workers=_counted(num_workers),
            seed=seed,
        )
        self.source = source
        self.organs = organ_table(organs, source.numbering)
        early = augment in BEFORE_RESIZING
        how = resizing or (CUBIC if early else LINEAR)
        self._preprocessing = Preprocessing(
            window_of(window), size, self.organs, how, source.channels
        )
        self._native = early and how == CUBIC
        check_shown("case", source.cases())
        self._parts = partial(chosen_split, source, split, fold, seed)
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.steps_per_epoch = steps_per_epoch
        self.cache_dir = cache_dir
        self._augmentation = recipe_of(augment)
        self._cases: dict[str, list[PreparedCase]] = {}
        self._judged: set[str] = set()  # parts of which it was said what they lack
        self._loaders: dict[tuple[Any, ...], Loader] = {}
        self._epoch = 0

    @cached_property
    def split(self) -> Split:
        """The cases of train, val and test; chosen when first asked for, as not all ask.

        Raises:
            InputError: see :func:`chosen_split`.
        """
        return self._parts()

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What turns a volume into input, as plain values (see :class:`Preprocessing`)."""
        return self._preprocessing.to_plain()

    def cases(self, part: str) -> list[PreparedCase]:
        """The prepared cases of train, val or test; prepares them on first use.

        Raises:
            InputError: an unknown part, a broken file, a cache that cannot be written.
        """
        self.gather(part)
        return self._cases[part]

    def setup(self, stage: str | None = None) -> None:
        """Prepare what the stage needs; of an organ that no case of a training holds, warn."""
        parts = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        asked = parts.get(stage or "fit", ())
        self.gather(*asked)
        for part in asked if stage in (None, "fit") else ():
            if self.split[part] and part not in self._judged:
                self._judged.add(part)
                self._warn_of_absent(part)

    def gather(self, *parts: str) -> None:
        """Prepare the cases of several parts of the split.

        Raises:
            InputError: see :meth:`cases`; broken files of all parts are named at once, and room is
                asked for all of them.
        """
        for part in parts:
            self._check_part(part)
        new = [part for part in dict.fromkeys(parts) if part not in self._cases]
        wanted = [
            (case, self._native and part == "train") for part in new for case in self.split[part]
        ]
        found = iter(
            prepare_all(self.source, wanted, self._preprocessing, self.cache_dir, self._threads())
        )
        for part in new:
            self._cases[part] = list(islice(found, len(self.split[part])))

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
        """Shuffled, augmented slices; organ-free ones included."""
        slices = Slices(self.cases("train"), self.seed, self._augmentation)
        draws = self.steps_per_epoch and self.steps_per_epoch * self.batch_size
        sampler = EpochSampler(len(slices), self.seed, self._current_epoch, draws)
        return self._loader("train", slices, sampler)

    @property
    def smallest_batch(self) -> int:
        """Slices in the last batch of a pass, which may be fewer than in the others."""
        if self.steps_per_epoch is not None:
            return self.batch_size
        slices = sum(len(case) for case in self.cases("train"))
        return slices % self.batch_size or self.batch_size

    def val_dataloader(self) -> Loader | list[Any]:
        """Every slice of the validation cases, in order; none where the split has no such cases."""
        return self._loader("val", Slices(self.cases("val"))) if self.split["val"] else []

    def test_dataloader(self) -> Loader:
        """Every slice of the test cases, in order."""
        return self._loader("test", Slices(self.cases("test")))

    def _loader(self, part: str, slices: Slices, sampler: Sampler[Draw] | None = None) -> Loader:
        """The one loader of a part, whose processes stay where Lightning asks for it again."""
        workers, kept = self._workers(), self.trainer is not None
        wanted = (part, self.batch_size, self.steps_per_epoch, workers, kept, self._device)
        if wanted not in self._loaders:
            # torch's loader, not MONAI's: no worker holds random state that would need seeding. A
            # generator of its own keeps the loader from drawing on the global one.
            self._loaders[wanted] = Loader(
                slices,
                batch_size=self.batch_size,
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

    def _threads(self) -> int:
        """Of the preparation."""
        given = _counted(self.num_workers)
        return threads_that_prepare(self._workers()) if given is None else given

    @property
    def _device(self) -> str:
        """Type of the device that is trained on, or would be."""
        if self.trainer is not None:
            return str(self.trainer.strategy.root_device.type)
        return "cuda" if torch.cuda.is_available() else "cpu"

    def sample(self, n: int) -> torch.Tensor:
        """Training slices drawn at random, without augmentation: a function of the seed alone.

        Args:
            n: how many; all where there are fewer.

        Returns:
            (n, C, H, W) float32, in the order of cases and slices.
        """
        slices = Slices(self.cases("train"))
        drawn = np.random.default_rng(self.seed).permutation(len(slices))[:n]
        return torch.stack([slices[int(row)]["image"] for row in np.sort(drawn)])

    def probes(self, n: int | None = None, from_: str = "val") -> Probes:
        """The slices to watch (see :func:`choose`), without augmentation.

        Args:
            n: how many; None: see :func:`usual`.
            from_: ``"val"``, or ``"train"`` where seen slices are wanted; a split without
                validation cases has no others, which is said.

        Raises:
            InputError: a part that the split lacks.
        """
        if from_ == "val" and not self.split["val"]:
            say("No case validates, so the watched slices are of training cases, and marked so.")
            from_ = "train"
        self._check_filled(from_)
        keys = [key for case in self.cases(from_) for key in _keys(case)]
        areas = np.concatenate([case.areas for case in self.cases(from_)])
        n = usual(len(self.split[from_])) if n is None else n
        chosen = [keys[row] for row in choose(areas, keys, n, held=self._asked(self.split[from_]))]
        return replace(self._read(chosen, from_), originals=self._originals(chosen))

    def spread(self, per_case: int, part: str) -> Probes:
        """Slices of every case of a part: the one that shows most organs, then as probes.

        Where intervals are over cases, every case must have its say.

        Args:
            per_case: how many of each; fewer where a case shows fewer organs.
            part: ``"train"``, ``"val"`` or ``"test"``.

        Raises:
            InputError: a part that the split lacks, or a case without any organ.
        """
        self._check_filled(part)
        keys = [
            (case.name, row)
            for case in self.cases(part)
            for row in choose(
                case.areas, _keys(case), per_case, every_case=True, held=self._asked([case.name])
            )
        ]
        return self._read(keys, part)

    def _asked(self, cases: Sequence[str]) -> str:
        """What is looked for, and where."""
        numbers = (f"{name} ({self.source.numbering[name]})" for name in self.organs)
        return f", {', '.join(numbers)}, in {', '.join(cases)}"

    def _check_part(self, part: str) -> None:
        if part not in self.split:
            raise unknown("part of the split", part, self.split)

    def _check_filled(self, part: str) -> None:
        self._check_part(part)
        if not self.split[part]:
            other = "val" if self.split["val"] else "train"
            raise InputError(
                f"the split has no {part} cases; say probes.from={other}, or name some with "
                "data.split"
            )

    def whole_cases(self, names: Collection[str], part: str) -> dict[str, dict[str, Any]]:
        """Case -> ``voxel_ml``, and ``truth_ml``: organ -> volume; plain values, for a checkpoint.

        Counted on the prepared slices, whose grid is the network's. NaN where mm are unknown.
        """
        return {
            case.name: {
                "voxel_ml": case.voxel_ml,
                "truth_ml": dict(
                    zip(self.organs, (case.areas.sum(0) * case.voxel_ml).tolist(), strict=True)
                ),
            }
            for case in self.cases(part)
            if case.name in names
        }

    def read_probes(self, plain: Mapping[str, Any]) -> Probes:
        """Probes that were saved without their images, read again and checked by their hash.

        Raises:
            InputError: a case or slice is not there, or shows something else.
        """
        keys = list(zip(plain["cases"], plain["slices"], strict=True))
        probes = self._read(keys, plain["split"]).checked(plain["hash"])
        return replace(probes, originals=self._originals(keys))

    def _originals(self, keys: Sequence[tuple[str, int]]) -> tuple[torch.Tensor, ...] | None:
        """The slices as their files have them in HU, which the cache does not hold."""
        if isinstance(self._preprocessing.windows[0], str):
            return None
        found: dict[tuple[str, int], torch.Tensor] = {}
        names = list(dict.fromkeys(name for name, _ in keys))
        for case in over(names, f"Reading the watched slices of {counted(len(names), 'case')}"):
            indices = [index for name, index in keys if name == case]
            slices = self._preprocessing.originals(self.source.load(case), indices)
            found |= {
                (case, i): torch.from_numpy(hu) for i, hu in zip(indices, slices or (), strict=True)
            }
        return tuple(found[key] for key in keys)

    def _read(self, keys: Sequence[tuple[str, int]], part: str) -> Probes:
        cases = {case.name: case for case in self.cases(part)}
        for name, index in keys:
            if name not in cases or index >= len(cases[name]):
                raise InputError(f"no slice {index} of case {name} among the {part} cases")
        used = {name: cases[name] for name, _ in keys}
        return Probes(
            images=batch_of(np.stack([cases[name].image(i) for name, i in keys])),
            labels=torch.stack([torch.from_numpy(cases[name].label(i)) for name, i in keys]),
            cases=tuple(name for name, _ in keys),
            slices=tuple(i for _, i in keys),
            spacing=torch.tensor([cases[name].geometry.spacing for name, _ in keys]).double(),
            split=part,
            phantom=any(case.phantom for case in used.values()),
            sides_known=all(case.geometry.sides_known for case in used.values()),
            hounsfield_known=all(case.hounsfield_known for case in used.values()),
            findings=tuple(
                told((name, found) for name, case in used.items() for found in case.findings)
            ),
        )


def _keys(case: PreparedCase) -> list[tuple[str, int]]:
    """Case and index of each of its slices."""
    return [(case.name, index) for index in range(len(case))]


def _counted(workers: int | str) -> int | None:
    """Processes that were asked for; None where nobody has counted them."""
    if workers != AUTO and not isinstance(workers, int):
        raise InputError(f"data.num_workers={workers!r}; give a whole number, or {AUTO}")
    return None if isinstance(workers, str) else workers


def _check_ranges(**options: int | None) -> None:
    for name, value in options.items():
        check_range(f"data.{name}", value, *RANGES[name])
