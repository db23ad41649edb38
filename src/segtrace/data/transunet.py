"""The npz and h5 files that TransUNet distributes."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.data.cases import Split, listed_split, without
from segtrace.data.files.findings import judge_constant
from segtrace.data.files.geometry import Grid
from segtrace.data.files.nifti import Volume
from segtrace.data.files.transunet_files import read_h5, read_npz
from segtrace.data.labels import TRANSUNET
from segtrace.data.sources import find_layout
from segtrace.errors import InputError


class TransUNetSource:
    """``train_npz/case0005_slice000.npz``, ``test_vol_h5/case0008.npy.h5`` and the lists.

    A slice is stored [x, y], x from the patient's right, y from the front; slice 000 is the most
    caudal. Values are clipped to [-125, 275] HU and mapped to [0, 1].

    Args:
        root: the folder that holds ``train_npz/``, or any parent of it.
        lists: the folder with ``train.txt`` and ``test_vol.txt``; by default ``lists/`` or
            ``lists/lists_Synapse/`` beside ``train_npz/``.
        spacing: voxel size in mm (left-right, front-back, foot-head), which the files do not
            hold; without it measures in mm are NaN.
        sides: whether it is known that x runs from the patient's right, which the files do not
            say either: other conversions of the same scans turn them. Without it no picture names
            a side.
    """

    def __init__(
        self,
        root: str,
        lists: str | None = None,
        spacing: Sequence[float] | None = None,
        sides: bool = False,
    ) -> None:
        self.numbering = dict(TRANSUNET)
        self.root = find_layout(root, ("train_npz",))
        self.lists = _lists_folder(self.root, lists)
        self.spacing, self.sides = _checked(spacing), sides
        self._slices = _slices(self.lists / "train.txt")
        self._test = _volumes(self.lists / "test_vol.txt")

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
        if case not in self._slices:
            return (self.root / "test_vol_h5" / f"case{case}.npy.h5",)
        names = (f"case{case}_slice{index:03d}.npz" for index in range(self._slices[case]))
        return tuple(self.root / "train_npz" / name for name in names)

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
        """The lists' own split, with 0027, 0028 and 0037 for validation; None without them."""
        return listed_split(self.train, self.test)

    def held_out(self) -> tuple[str, ...]:
        """The cases of the test list."""
        return self.test

    def settings(self) -> dict[str, Any]:
        """The numbering and the spacing."""
        return {"numbering": self.numbering, "spacing": self.spacing, "sides": self.sides}


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
        remedy="correct the file; data=synapse_transunet has TransUNet's nine classes",
    )


def _lists_folder(root: Path, lists: str | None) -> Path:
    places = [Path(lists)] if lists else [root / "lists", root / "lists" / "lists_Synapse"]
    for place in places:
        if (place / "train.txt").is_file() and (place / "test_vol.txt").is_file():
            return place
    raise InputError(
        f"no train.txt and test_vol.txt in {' or '.join(map(str, places))}; give "
        "data.lists=<their folder>"
    )


def _lines(path: Path) -> list[str]:
    """The lines of a list, each a name: it becomes a part of a file's name."""
    text = path.read_text(encoding="utf-8-sig", errors="backslashreplace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if not re.fullmatch(r"\w[\w.-]*", line):
            raise InputError(f"{path}: line {line!r} is no name of a case; correct the list")
    return lines


def _volumes(path: Path) -> tuple[str, ...]:
    """The cases of the test list, in its order."""
    cases = []
    for line in _lines(path):
        match = re.fullmatch(r"case(\w+)(\.npy\.h5)?", line)
        if not match:
            raise InputError(f"{path}: line {line!r} is not caseNNNN; correct the list")
        cases.append(match[1])
    return tuple(dict.fromkeys(cases))


def _slices(path: Path) -> dict[str, int]:
    """Case -> number of slices, which have to run from 000 without a gap."""
    indices: dict[str, list[int]] = {}
    for line in _lines(path):
        match = re.fullmatch(r"case(\w+)_slice(\d+)", line)
        if not match:
            raise InputError(f"{path}: line {line!r} is not caseNNNN_sliceNNN; correct the list")
        indices.setdefault(match[1], []).append(int(match[2]))
    for case, found in indices.items():
        _check_run(path, case, found)
    return {case: len(found) for case, found in indices.items()}


def _check_run(path: Path, case: str, found: list[int]) -> None:
    """A case's slices, from 000 on: without the ones between, its volume would be another."""
    twice = sorted(index for index, times in Counter(found).items() if times > 1)
    if twice:
        raise InputError(
            f"{path}: case{case}_slice{twice[0]:03d} is listed twice; take one of the lines out"
        )
    missing = sorted({*range(max(found) + 1)} - {*found})
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(
            f"{path}: case{case} is listed up to slice {max(found):03d}, but its line "
            f"case{case}_slice{missing[0]:03d}{more} is missing; add it, or take out all lines of "
            f"case{case}"
        )


def _checked(spacing: Sequence[float] | None) -> tuple[float, ...] | None:
    if spacing is None:
        return None
    values = tuple(float(value) for value in spacing)
    if len(values) != 3 or not all(0 < value < 100 for value in values):
        raise InputError(f"data.spacing={list(spacing)}; give three sizes in mm, e.g. [0.8,0.8,3]")
    return values
