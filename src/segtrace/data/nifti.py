"""Reading NIfTI files: every way in which one can be broken becomes one clear line."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from segtrace.data.geometry import Grid
from segtrace.errors import InputError, printable

PHANTOM_MARK = "segtrace phantom"
"""How the ``descrip`` field of a generated image starts."""

_BROKEN = (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError,
           zlib.error)  # fmt: skip


@dataclass(frozen=True)
class Volume:
    """One case as slices.

    Attributes:
        name: the case.
        image: (D, H, W) float32, HU, or [0, 1] where ``windowed``.
        label: (D, H, W), the file's own numbers; None for an unlabelled image.
        grid: the file's own voxel grid.
        where: the file, for messages.
        windowed: the file's values were already clipped to [-125, 275] HU and mapped to [0, 1].
        phantom: the file says that it was generated.
    """

    name: str
    image: NDArray[np.float32]
    label: NDArray[Any] | None
    grid: Grid
    where: str
    windowed: bool = False
    phantom: bool = False


def read_volume(name: str, image_path: Path, label_path: Path | None = None) -> Volume:
    """An image in HU and its label, as slices in radiological convention.

    Raises:
        InputError: a file that is missing, broken, not 3-D, holds NaN, or a label that does not
            lie on the image's grid.
    """
    image, affine, descrip = _read(image_path)
    check_finite(image, str(image_path))
    grid = Grid.from_affine(image.shape, affine, str(image_path))
    label = None
    if label_path is not None:
        label, label_affine, _ = _read(label_path)
        _check_same_grid(image_path, grid, label_path, label.shape, label_affine)
        check_finite(label, str(label_path))
        label = grid.to_slices(label)
    return Volume(
        name=name,
        image=grid.to_slices(image),
        label=label,
        grid=grid,
        where=str(label_path or image_path),
        phantom=descrip.startswith(PHANTOM_MARK),
    )


def read_image(path: str | Path) -> Volume:
    """One image file without a label; its case name is the file name without the ending."""
    path = Path(path)
    return read_volume(printable(path.name.removesuffix(".gz").removesuffix(".nii")), path)


def check_finite(values: NDArray[Any], where: str) -> None:
    """Refuse NaN and infinity: they would spread through every later number.

    Raises:
        InputError: how many voxels are not finite, and in which file.
    """
    broken = values.size - int(np.isfinite(values).sum())
    if broken:
        raise InputError(f"{where}: {broken} voxels are NaN or infinite; repair the file")


def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[Any], str]:
    """(values as float32, affine, descrip)."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; every case needs its image and its label")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; copy or download it again")
    try:
        file = nibabel.load(path)
        if not isinstance(file, nibabel.Nifti1Image):  # NIfTI-2 is a kind of it
            raise ImageFileError("another format")
        # float32 holds every int16 HU and every label number exactly.
        values = file.get_fdata(dtype=np.float32, caching="unchanged")
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: not a readable NIfTI file ({reason}); copy or download it again"
        ) from error
    if values.ndim != 3 or 0 in values.shape:
        raise InputError(f"{path}: shape {values.shape} is not a 3-D volume; save one 3-D image")
    return values, file.affine, bytes(file.header["descrip"].item()).decode("latin-1")


def _check_same_grid(
    image_path: Path, grid: Grid, label_path: Path, shape: tuple[int, ...], affine: NDArray[Any]
) -> None:
    if shape != grid.shape:
        raise InputError(
            f"{label_path}: shape {shape} differs from {grid.shape} of {image_path}; "
            "resample the label to the image's grid"
        )
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    corners = np.vstack([corners, np.ones(8)])
    apart = float(np.abs((np.array(grid.affine) - affine) @ corners).max())
    # Headers store float32 and quaternions: a tenth of a voxel is rounding, more is another grid.
    if not apart <= 0.1 * min(grid.spacing):
        raise InputError(
            f"{label_path}: the affine differs from that of {image_path} (corners up to "
            f"{apart:.3g} mm apart); resample the label to the image's grid"
        )
