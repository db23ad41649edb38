"""The npz and h5 files that TransUNet distributes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.data.cases import Split, listed_split, without
from segtrace.data.files.finding_files import existing_folder, find_layout
from segtrace.data.files.findings import judge_constant
from segtrace.data.files.geometry import Grid
from segtrace.data.files.nifti import Volume
from segtrace.data.files.stored import Shape
from segtrace.data.files.transunet_files import read_h5, read_npz, stored_shape
from segtrace.data.files.transunet_lists import PARTS, read_lists, slice_name
from segtrace.data.published.numberings import numbering_of
from segtrace.errors import InputError


class TransUNetSource:
    """``train_npz/case0005_slice000.npz``, ``test_vol_h5/case0008.npy.h5`` and the lists.

    A slice is stored [x, y], x from the patient's right, y from the front; slice 000 is the most
    caudal. Values are clipped to [-125, 275] HU and mapped to [0, 1].

    Args:
        root: the folder that holds ``train_npz/``, or any parent of it.
        lists: the folder with ``train.txt`` and ``test_vol.txt`` (or ``all.lst``); by default
            ``lists/`` or ``lists/lists_Synapse/`` beside ``train_npz/``, and where neither is
            there the lists that TransUNet distributes.
        spacing: voxel size in mm (left-right, front-back, foot-head), which the files do not
            hold; without it measures in mm are NaN.
        labels: what the numbers in the files mean: a name of
            :data:`segtrace.data.published.numberings.NUMBERINGS` (``transunet``; ``btcv`` where
            all thirteen organs are in them, as in CASCADE's), or organ name -> number.
        sides: whether it is known that x runs from the patient's right, which the files do not
            say either: other conversions of the same scans turn them. Without it no picture names
            a side.
    """

    channels = 1

    def __init__(
        self,
        root: str,
        lists: str | None = None,
        spacing: Sequence[float] | None = None,
        sides: bool = False,
        labels: str | dict[str, int] = "transunet",
    ) -> None:
        self.numbering = numbering_of(labels)
        self.root, self._parts = _layout(root)
        self.spacing, self.sides = _checked(spacing), sides
        listed = read_lists(self.root, self._parts, lists)
        self._slices, self._test, self._whole = listed.slices, listed.volumes, listed.whole

    @property
    def train(self) -> tuple[str, ...]:
        """Cases of the training list, sorted."""
        return tuple(sorted(self._slices))

    @property
    def test(self) -> tuple[str, ...]:
        """Cases of the test list that are not in the training list, in the list's order."""
        return without(self._test, self.train)

    def cases(self) -> tuple[str, ...]:
        """Every case of both lists."""
        return tuple(sorted({*self.train, *self.test}))

    def files(self, case: str) -> tuple[Path, ...]:
        """The slices of a training case, or the volume of a test case."""
        slices, volumes = (self.root / part for part in self._parts)
        if case not in self._slices:
            return (volumes / f"case{case}.npy.h5",)
        return tuple(
            slices / f"{slice_name(case, index)}.npz" for index in range(self._slices[case])
        )

    def shape(self, case: str) -> Shape | None:
        """As many slices as the lists say, each as large as the first; or that of a test case."""
        files = self.files(case)
        found = stored_shape(files[0])
        return found and (found[0] * len(files), *found[1:])

    def load(self, case: str) -> Volume:
        """The case as slices.

        Raises:
            InputError: a file is missing, broken or lacks a key, or holds values outside [0, 1].
        """
        files = self.files(case)
        if case in self._slices:
            image, label = (_stack(arrays, files) for arrays in
                            zip(*(read_npz(path) for path in files), strict=True))  # fmt: skip
        else:
            image, label = read_h5(files[0])
        where = str(files[0] if len(files) == 1 else files[0].parent / f"case{case}_*")
        return _volume(case, image, label, self.spacing, self.sides, where)

    def split(self) -> Split | None:
        """The lists' own split, with 0027, 0028 and 0037 for validation.

        None without these, and where slices of the published training cases are missing.
        """
        return listed_split(self.train, self.test) if self._whole else None

    def held_out(self) -> tuple[str, ...]:
        """The cases of the test list."""
        return self.test

    def settings(self) -> dict[str, Any]:
        """The numbering and the spacing."""
        return {"numbering": self.numbering, "spacing": self.spacing, "sides": self.sides}


def _layout(root: str) -> tuple[Path, tuple[str, str]]:
    """The folder of the data set, and what its parts are called in it."""
    top = existing_folder(root)
    usual, other = PARTS
    parts = other if not any(top.rglob(usual[0])) and any(top.rglob(other[0])) else usual
    return find_layout(top, parts[:1]), parts


def _stack(slices: Sequence[NDArray[np.float32]], files: Sequence[Path]) -> NDArray[np.float32]:
    for path, values in zip(files, slices, strict=True):
        if values.shape != slices[0].shape:
            raise InputError(
                f"{path}: shape {values.shape}, but {files[0]} {slices[0].shape}; the slices of a "
                "case are of one size"
            )
    return np.stack(slices)


def _volume(
    case: str,
    image: NDArray[np.float32],
    label: NDArray[np.float32],
    spacing: tuple[float, ...] | None,
    sides: bool,
    where: str,
) -> Volume:
    depth, columns, rows = image.shape
    shape = (columns, rows, depth)
    grid = Grid(shape, sides_known=sides)
    if spacing is not None:
        grid = replace(grid, spacing=(spacing[0], spacing[1], spacing[2]))
    return Volume(
        name=case,
        image=np.ascontiguousarray(image.transpose(0, 2, 1)),  # (D, x, y) -> (D, H, W)
        label=np.ascontiguousarray(label.transpose(0, 2, 1)),
        grid=grid,
        where=where,
        windowed=True,
        findings=judge_constant(image),
        hounsfield_known=True,
        remedy="correct the file, or say data.labels=btcv where it holds all thirteen organs",
    )


def _checked(spacing: Sequence[float] | None) -> tuple[float, ...] | None:
    if spacing is None:
        return None
    values = tuple(float(value) for value in spacing)
    if len(values) != 3 or not all(0 < value < 100 for value in values):
        raise InputError(f"data.spacing={list(spacing)}; give three sizes in mm, e.g. [0.8,0.8,3]")
    return values
