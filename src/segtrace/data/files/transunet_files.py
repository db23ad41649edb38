"""Reading one npz or h5 file of TransUNet's."""

import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from segtrace.data.files.nifti import check_finite
from segtrace.data.files.stored import Shape
from segtrace.data.files.unpacking import check_file
from segtrace.errors import InputError

_BROKEN = (OSError, KeyError, ValueError, TypeError, EOFError, RuntimeError, OverflowError,
           MemoryError, zipfile.BadZipFile, zlib.error)  # fmt: skip

LISTED = ", yet the lists name it; add it or edit the lists"

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def read_npz(path: Path) -> Pair:
    """(image, label) of one slice, each [x, y].

    Raises:
        InputError: no such file, no npz file, a key missing, or no slice in [0, 1].
    """
    check_file(path, LISTED)
    try:
        # Opened here: numpy leaves a broken archive open.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            image, label = file["image"], file["label"]
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    return _pair(path, image, label, ("x", "y"))


def read_h5(path: Path) -> Pair:
    """(image, label) of one volume, each [slice, x, y].

    Raises:
        InputError: no such file, no HDF5 file, a data set missing, or no volume in [0, 1].
    """
    check_file(path, LISTED)
    try:
        with h5py.File(path, "r") as file:
            image, label = file["image"][:], file["label"][:]
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    return _pair(path, image, label, ("slice", "x", "y"))


def stored_shape(path: Path) -> Shape | None:
    """Slices, rows and columns of either file, which is not read; None where it cannot be told."""
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive, archive.open("image.npy") as file:
                np.lib.format.read_magic(file)
                columns, rows = np.lib.format.read_array_header_1_0(file)[0][:2]
            return 1, rows, columns
        with h5py.File(path, "r") as file:
            depth, columns, rows = file["image"].shape[:3]
        return int(depth), int(rows), int(columns)
    except (*_BROKEN, AttributeError):
        return None


def _pair(path: Path, image: Any, label: Any, axes: tuple[str, ...]) -> Pair:
    image, label = _plane(path, "image", image, axes), _plane(path, "label", label, axes)
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


def _plane(path: Path, key: str, values: NDArray[Any], axes: tuple[str, ...]) -> NDArray[Any]:
    """One number at each point; axes of length 1 behind the last say nothing."""
    shape, n = values.shape, len(axes)
    if len(shape) < n or any(length != 1 for length in shape[n:]) or 0 in shape:
        raise InputError(
            f"{path}: {key} of shape {shape} is not [{', '.join(axes)}]; save one number a pixel, "
            "no colours"
        )
    if values.dtype.kind not in "biuf":
        raise InputError(f"{path}: {key} holds {values.dtype}; save real numbers")
    return values.reshape(shape[:n])


def _unreadable(path: Path, error: Exception) -> InputError:
    with suppress(OSError), path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            return InputError(
                f"{path}: one array (npy), where an image and its label are needed; save both, "
                "numpy.savez(<a file>, image=…, label=…)"
            )
    reason = " ".join(str(error).split())
    return InputError(f"{path}: no readable image and label in it ({reason}); copy it again")
