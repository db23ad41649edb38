"""NIfTI files as slices: an image, and the label that lies on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from segtrace.data.files.findings import Finding, doubted, judge_values
from segtrace.data.files.geometry import Grid
from segtrace.data.files.placement import place, placed, placing, unit
from segtrace.data.files.stored import Stored, read_stored
from segtrace.data.labels import REMEDY
from segtrace.errors import InputError, printable

FIRST = "_0000"
"""How the file of an image's first channel is marked, by nnU-Net's rule."""
PHANTOM_MARK = "segtrace phantom"
"""How the ``descrip`` field of a generated image starts."""


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
        hounsfield_known: its values are HU, or were before they were windowed.
        placing: what the file's header says of its place, see
            :func:`segtrace.data.files.placement.placing`; nothing where there is no header.
        unit: in which the affine is, as NIfTI calls it.
        findings: what its user should know of it.
        remedy: what to do where the label holds a number that the label table does not.
        beside: further channels of the image, each as ``image`` is.
    """

    name: str
    image: NDArray[np.float32]
    label: NDArray[Any] | None
    grid: Grid
    where: str
    windowed: bool = False
    phantom: bool = False
    hounsfield_known: bool = False
    placing: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "mm"
    findings: tuple[Finding, ...] = ()
    remedy: str = REMEDY
    beside: tuple[NDArray[np.float32], ...] = ()

    @property
    def channels(self) -> tuple[NDArray[np.float32], ...]:
        """All of the image, the first one first."""
        return self.image, *self.beside


def read_volume(
    name: str,
    image_path: Path,
    label_path: Path | Mapping[int, Path] | None = None,
    beside: Sequence[Path] = (),
) -> Volume:
    """An image in HU and its label, as slices in radiological convention.

    A label that lies on the image's own points, stored in another order, is put into the image's.

    Args:
        name: the case.
        image_path: its image.
        label_path: its label, or number -> the file of that organ alone; None for no label.
        beside: the files of its further channels.

    Raises:
        InputError: a file that is missing, broken, not 3-D, holds NaN or colours, or a label that
            does not lie on the image's grid; a voxel of two organs.
    """
    image = read_stored(image_path)
    check_finite(image.values, str(image_path))
    grid, findings = place(image.header, image.affine, image.shape, str(image_path))
    label, where = None, label_path or image_path
    if isinstance(label_path, Mapping):
        label = grid.to_slices(_composed(image, label_path))
        where = next(iter(label_path.values())).parent
    elif label_path is not None:
        label = grid.to_slices(_values_on(image, label_path))
    findings = (*findings, *judge_values(image.values))
    return Volume(
        name=name,
        image=grid.to_slices(image.values, np.float32),
        label=label,
        grid=grid,
        where=str(where),
        phantom=image.descrip.startswith(PHANTOM_MARK),
        hounsfield_known=not doubted(findings, "hounsfield"),
        placing=placing(image.header),
        unit=unit(image.header),
        findings=findings,
        beside=tuple(grid.to_slices(_values_on(image, path), np.float32) for path in beside),
    )


def read_image(path: str | Path, channels: int = 1) -> Volume:
    """One image without a label; its case name is the file name without the ending.

    Args:
        path: its file; of several channels that of the first.
        channels: how many it has.

    Raises:
        InputError: see :func:`read_volume`; a channel's file that is not there.
    """
    first, *beside = channel_files(Path(path), channels)
    return read_volume(printable(stem(first)), first, beside=beside)


def stem(path: Path) -> str:
    """The name of a NIfTI file without its ending."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def channel_files(path: Path, channels: int) -> tuple[Path, ...]:
    """The files of an image, one a channel, called as nnU-Net calls them.

    Args:
        path: of the first, which of several ends in ``_0000``.
        channels: how many.

    Raises:
        InputError: it is called otherwise, or another one is not there.
    """
    name, ending = stem(path), path.name[len(stem(path)) :]
    if channels == 1:
        return (path,)
    bare = name.removesuffix(FIRST)
    if bare == name:
        raise InputError(
            f"{path}: the network takes {channels} channels; call their files CASE{FIRST}{ending} "
            f"to CASE_{channels - 1:04d}{ending}, and name the first"
        )
    files = tuple(path.with_name(f"{bare}_{number:04d}{ending}") for number in range(channels))
    for file in files[1:]:
        if not file.is_file():
            raise InputError(
                f"{path}: the network takes {channels} channels, and {file.name} is not beside it; "
                "add it"
            )
    return files


def check_finite(values: NDArray[Any], where: str) -> None:
    """Refuse NaN and infinity: they would spread through every later number.

    Raises:
        InputError: how many voxels are not finite, and in which file.
    """
    if values.dtype.kind in "iu":
        return
    broken = values.size - np.count_nonzero(np.isfinite(values))
    if broken:
        raise InputError(f"{where}: {broken} voxels are NaN or infinite; repair the file")


def _values_on(image: Stored, path: Path) -> NDArray[Any]:
    """The values (i, j, k) of a label, or another channel, at the image's voxels."""
    stored = read_stored(path)
    check_finite(stored.values, str(path))
    return _in_order_of(image, stored)


def _composed(image: Stored, organs: Mapping[int, Path]) -> NDArray[np.uint16]:
    """One label of the files of single organs."""
    label = np.zeros(image.shape, np.uint16, order="F")  # as files store voxels
    for number, path in organs.items():
        values = _values_on(image, path)
        mask = values > 0
        if (values[mask] != values.max()).any() or values.min() < 0:
            raise InputError(
                f"{path}: several values beside 0, where one organ is meant; save a mask"
            )
        if (twice := label[mask & (label > 0)]).size:
            other = organs[int(twice[0])].name
            raise InputError(
                f"{path}: {twice.size} of its voxels are in {other} too, and a voxel is of one "
                "organ here; leave one of the two out of data.labels"
            )
        label[mask] = number
    return label


def _in_order_of(image: Stored, label: Stored) -> NDArray[Any]:
    """The label's values (i, j, k) in the order of the image's voxels.

    Raises:
        InputError: they do not lie on the same points.
    """
    order = _order(image.affine, label.affine)
    turned = orientations.apply_orientation(label.values, order)
    affine = label.affine @ orientations.inv_ornt_aff(order, label.shape)
    if turned.shape != image.shape:
        raise InputError(
            f"{label.path}: shape {label.shape} differs from {image.shape} of {image.path}; "
            "resample it to the image's grid"
        )
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape])).reshape(3, -1)
    corners = np.vstack([corners, np.ones(8)])
    apart = float(np.abs((image.affine - affine) @ corners).max())
    # Headers store float32 and quaternions: a tenth of a voxel is rounding, more is another grid.
    smallest = np.linalg.norm(image.affine[:3, :3], axis=0).min()
    if not apart <= 0.1 * smallest:
        raise InputError(
            f"{label.path}: the affine differs from that of {image.path} (corners up to "
            f"{apart:.3g} mm apart); {_why_apart(image, label)}"
        )
    return turned


def _order(image: NDArray[np.float64], label: NDArray[np.float64]) -> NDArray[Any]:
    """Per axis of the label: the axis of the image along which it runs, and +1 or -1."""
    steps = np.linalg.solve(image[:3, :3], label[:3, :3])  # in voxels of the image
    axes = np.abs(steps).argmax(0)
    if sorted(axes) != [0, 1, 2] or not np.isfinite(steps).all():
        return np.array([(0, 1), (1, 1), (2, 1)])  # another grid, as the corners will show
    return np.stack([axes, np.sign(steps[axes, range(3)])], axis=1).astype(int)


def _why_apart(image: Stored, label: Stored) -> str:
    for one, other in ((label, image), (image, label)):
        if not placed(one.header, one.affine) and placed(other.header, other.affine):
            return (
                f"{one.path.name} does not say where it lies (sform and qform codes are 0, or an "
                f"affine that is the identity); if it was drawn on {other.path.name}, save it with "
                "that affine"
            )
    return "resample it to the image's grid"
