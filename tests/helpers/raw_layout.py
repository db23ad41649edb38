"""Small data sets for tests, written without any code of the package."""

from pathlib import Path

import nibabel
import numpy as np
from nibabel import orientations

_LPS = orientations.axcodes2ornt("LPS")


def _turned(axes: str, degrees: float = 0.0) -> np.ndarray:
    """A 5 x 5 x 6 mm affine whose voxel axes run towards ``axes``, turned about z."""
    affine = np.zeros((4, 4))
    for column, (axis, flip) in enumerate(orientations.axcodes2ornt(axes)):
        affine[int(axis), column] = flip * (5.0, 5.0, 6.0)[int(axis)]
    affine[:, 3] = (-30, 40, 100, 1)
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ affine


AFFINES = {axes: _turned(axes) for axes in ("RAS", "LAS", "LPS", "PIR")} | {
    "oblique": _turned("LAS", 20.0)
}


def to_stored(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A volume with LPS axes -> the voxel order that the affine describes."""
    target = orientations.io_orientation(affine)
    return orientations.apply_orientation(volume, orientations.ornt_transform(_LPS, target))


def write_case(
    root: Path, case: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray
) -> None:
    """``img/imgCASE.nii.gz`` and ``label/labelCASE.nii.gz`` from volumes with LPS axes."""
    for folder, values, dtype in (("img", image, np.int16), ("label", label, np.uint8)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        stored = to_stored(values, affine).astype(dtype)
        path = root / folder / f"{folder}{case}.nii.gz"
        nibabel.Nifti1Image(stored, affine).to_filename(path)
