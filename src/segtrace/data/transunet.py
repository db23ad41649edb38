"""The npz and h5 files that TransUNet distributes."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from segtrace.data.cases import Split, listed_split, without
from segtrace.data.geometry import Grid
from segtrace.data.labels import TRANSUNET
from segtrace.data.nifti import Volume, check_finite
from segtrace.data.sources import find_layout
from segtrace.errors import InputError

_BROKEN = (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile)


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
    """

    def __init__(
        self, root: str, lists: str | None = None, spacing: Sequence[float] | None = None
    ) -> None:
        self.numbering = dict(TRANSUNET)
        self.root = find_layout(root, ("train_npz",))
        self.lists = _lists_folder(self.root, lists)
        self.spacing = _checked(spacing)
        self._slices = _slices(self.lists / "train.txt")
        self._test = tuple(_lines(self.lists / "test_vol.txt"))

    @property
    def train(self) -> tuple[str, ...]:
        """Cases of the training list, sorted."""
        return tuple(sorted(self._slices))

    @property
    def test(self) -> tuple[str, ...]:
        """Cases of the test list that are not in the training list, in the list's order."""
        return without([line.removeprefix("case") for line in self._test], self.train)

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
        return _volume(case, image, label, self.spacing, where)

    def split(self) -> Split | None:
        """The lists' own split, with 0027, 0028 and 0037 for validation; None without them."""
        return listed_split(self.train, self.test)

    def settings(self) -> dict[str, Any]:
        """The numbering and the spacing."""
        return {"numbering": self.numbering, "spacing": self.spacing}


def read_npz(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(image, label) of one slice, each [x, y].

    Raises:
        InputError: no such file, no npz file, or a key missing.
    """
    try:
        # Opened here: numpy leaves a broken archive open.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            image, label = file["image"], file["label"]
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    return _pair(path, image, label)


def read_h5(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(image, label) of one volume, each [slice, x, y].

    Raises:
        InputError: no such file, no HDF5 file, or a data set missing.
    """
    try:
        with h5py.File(path, "r") as file:
            image, label = file["image"][:], file["label"][:]
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    return _pair(path, image, label)


def _pair(
    path: Path, image: NDArray[Any], label: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if image.shape != label.shape:
        raise InputError(f"{path}: image {image.shape} and label {label.shape} differ in shape")
    check_finite(image, str(path))
    check_finite(label, str(path))
    if image.min() < -1e-3 or image.max() > 1 + 1e-3:
        raise InputError(
            f"{path}: image values {image.min():g} to {image.max():g}; these files hold HU "
            "[-125, 275] mapped to [0, 1]; for HU use data=synapse"
        )
    return image.astype(np.float32).clip(0, 1), label.astype(np.float32)


def _unreadable(path: Path, error: Exception) -> InputError:
    if not path.is_file():
        return InputError(f"{path}: no such file, yet the lists name it; add it or edit the lists")
    reason = " ".join(str(error).split())
    return InputError(f"{path}: no readable image and label in it ({reason}); copy it again")


def _stack(slices: Sequence[NDArray[np.float32]], files: Sequence[Path]) -> NDArray[np.float32]:
    for path, values in zip(files, slices, strict=True):
        if values.shape != slices[0].shape or values.ndim != 2:
            raise InputError(f"{path}: shape {values.shape}, but {files[0]} {slices[0].shape}")
    return np.stack(slices)


def _volume(
    case: str,
    image: NDArray[np.float32],
    label: NDArray[np.float32],
    spacing: tuple[float, ...] | None,
    where: str,
) -> Volume:
    if image.ndim != 3:
        raise InputError(f"{where}: shape {image.shape} is not (slices, x, y)")
    depth, columns, rows = image.shape
    shape = (columns, rows, depth)
    grid = (
        Grid(shape)
        if spacing is None
        else Grid(shape, spacing=(spacing[0], spacing[1], spacing[2]))
    )
    return Volume(
        name=case,
        image=np.ascontiguousarray(image.transpose(0, 2, 1)),  # (D, x, y) -> (D, H, W)
        label=np.ascontiguousarray(label.transpose(0, 2, 1)),
        grid=grid,
        where=where,
        windowed=True,
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
    text = path.read_text(encoding="utf-8", errors="backslashreplace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if not re.fullmatch(r"\w[\w.-]*", line):
            raise InputError(f"{path}: line {line!r} is no name of a case; correct the list")
    return lines


def _slices(path: Path) -> dict[str, int]:
    """Case -> number of slices, which have to run from 000 without a gap."""
    indices: dict[str, list[int]] = {}
    for line in _lines(path):
        match = re.fullmatch(r"case(\w+)_slice(\d+)", line)
        if not match:
            raise InputError(f"{path}: line {line!r} is not caseNNNN_sliceNNN; correct the list")
        indices.setdefault(match[1], []).append(int(match[2]))
    for case, found in indices.items():
        if sorted(found) != list(range(len(found))):
            raise InputError(f"{path}: the slices of case{case} do not run from 000 without a gap")
    return {case: len(found) for case, found in indices.items()}


def _checked(spacing: Sequence[float] | None) -> tuple[float, ...] | None:
    if spacing is None:
        return None
    values = tuple(float(value) for value in spacing)
    if len(values) != 3 or not all(0 < value < 100 for value in values):
        raise InputError(f"data.spacing={list(spacing)}; give three sizes in mm, e.g. [0.8,0.8,3]")
    return values
