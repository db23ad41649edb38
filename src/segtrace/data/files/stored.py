"""Reading a NIfTI file: every way in which one can be broken becomes one clear line."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel import imageglobals
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from segtrace.data.files.geometry import Grid
from segtrace.data.files.placement import place
from segtrace.data.files.unpacking import read_nifti_bytes
from segtrace.errors import InputError

_BROKEN = (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError,
           TypeError, KeyError, OverflowError, MemoryError)  # fmt: skip

_QUIET = threading.Lock()
"""The logger is one for all threads that read, so that one at a time silences it."""
Shape = tuple[int, int, int]
"""Slices, rows and columns."""


@dataclass(frozen=True)
class Stored:
    """A file as it is: its values (i, j, k), where they lie, its header.

    Values are float32, and as they are stored where that was asked for and nothing scales them;
    those are not to be written to.
    """

    path: Path
    values: NDArray[Any]
    affine: NDArray[np.float64]
    header: Any

    @property
    def shape(self) -> tuple[int, int, int]:
        """(i, j, k)."""
        i, j, k = self.values.shape
        return i, j, k

    @property
    def descrip(self) -> str:
        """What the program that wrote it said of itself."""
        return bytes(self.header["descrip"].item()).decode("latin-1")


def read_stored(path: Path) -> Stored:
    """The file, its values unscaled from whatever type it stores them in.

    Whole numbers stay as they are stored, which takes less room and time; all else is float32.

    Raises:
        InputError: see :func:`segtrace.data.files.unpacking.read_nifti_bytes`; a header that cannot
            be used; anything but one number at each point of a volume.
    """
    content = read_nifti_bytes(path)
    large = content[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")  # 540, in either byte order
    kind = nibabel.Nifti2Image if large else nibabel.Nifti1Image
    try:
        with _silent():
            header = kind.header_class(content[: kind.header_class.sizeof_hdr], check=False)
            file = kind.from_bytes(content)
            _check_kind(path, file)
            _check_length(file, len(content))
        with np.errstate(over="ignore", invalid="ignore"):
            values = _values_of(file, content)
    except InputError:
        raise
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        remedy = "copy or download it again"
        if isinstance(error, HeaderDataError | ValueError):
            remedy = "repair its header, or copy it again"
        raise InputError(f"{path}: not a readable NIfTI file ({reason}); {remedy}") from error
    return Stored(path, values.reshape(values.shape[:3]), file.affine, header)


def _values_of(file: Any, content: bytes) -> NDArray[Any]:
    stored = file.dataobj
    # float32 holds every int16 HU and every label number exactly.
    if (stored.slope, stored.inter) != (1, 0):
        scaled: NDArray[Any] = file.get_fdata(dtype=np.float32, caching="unchanged")
        return scaled
    # Where they lie: nibabel copies the file twice, which takes as long as to unpack half of it.
    count, start = math.prod(map(int, file.shape)), int(stored.offset)
    values = np.frombuffer(content, stored.dtype, count, start).reshape(file.shape, order="F")
    if values.dtype.kind in "iu":
        return values
    exact = values.astype(np.promote_types(values.dtype, np.float32))  # as nibabel rounds
    return exact.astype(np.float32, copy=False)


def shape_of(path: Path) -> Shape | None:
    """A volume's slices, rows and columns, by its header; None where that cannot be read."""
    try:
        with _silent():
            file: Any = nibabel.load(path)
            _check_kind(path, file)
            grid = Grid.from_affine(file.shape[:3], file.affine, str(path))
            return grid.depth, *grid.rows_columns
    except _BROKEN:  # an InputError too: whoever reads the whole file says what is wrong
        return None


def grid_of(path: Path) -> Grid | None:
    """A volume's grid, by its header; None where that cannot be read."""
    try:
        with _silent():
            file: Any = nibabel.load(path)
            _check_kind(path, file)
            return place(file.header, file.affine, file.shape[:3], str(path))[0]
    except _BROKEN:  # as above
        return None


@contextmanager
def _silent() -> Iterator[None]:
    """Nibabel prints what it mends in a header; what matters of it becomes a finding."""
    with _QUIET:
        before = imageglobals.logger.disabled
        imageglobals.logger.disabled = True  # a level would be looked up anew by every logger
        try:
            yield
        finally:
            imageglobals.logger.disabled = before


def _check_length(file: Any, there: int) -> None:
    """Before memory is taken for what a damaged header promises."""
    start = int(file.dataobj.offset)
    if start < file.header.sizeof_hdr:
        raise HeaderDataError(f"it says that voxels start at byte {start}, within the header")
    needed = start + math.prod(map(int, file.shape)) * file.get_data_dtype().itemsize
    if there < needed:
        raise ImageFileError(f"{there} of {needed} bytes are there")


def _check_kind(path: Path, file: Any) -> None:
    """One number at each point of a volume; axes of length 1 behind the third say nothing."""
    shape, kind = file.shape, file.get_data_dtype()
    if len(shape) < 3 or any(n != 1 for n in shape[3:]) or min(shape) < 1:
        raise InputError(f"{path}: shape {shape} is not a 3-D volume; save one 3-D image")
    if kind.fields is not None:
        raise InputError(
            f"{path}: its voxels are colours ({'+'.join(kind.names)}), a picture and no CT; save "
            "one number a voxel, in HU"
        )
    if kind.kind == "c":
        raise InputError(
            f"{path}: its voxels are complex numbers, and no CT; save one number a voxel, in HU"
        )
