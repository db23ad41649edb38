"""NIfTI files on the grid of an image: labels, and maps of which one file may hold several."""

from collections.abc import Iterable, Sequence
from gzip import GzipFile
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Extension, Nifti1Header
from numpy.typing import NDArray

from segtrace.data.files.nifti import PHANTOM_MARK, Volume
from segtrace.errors import printable
from segtrace.report.files import atomic
from segtrace.report.volumes.nifti import description, in_steps, say_steps

QUICK = 1
"""How hard files are packed: at 9 they take six times as long and are 6 % smaller."""


def save_labels(
    path: Path, labels: NDArray[np.uint8], image: Volume, words: str, table: str
) -> None:
    """Write (i, j, k) labels.

    Args:
        path: ``….nii.gz``.
        labels: a number at each voxel of the image.
        image: on whose grid they lie.
        words: what they are, see :func:`_header`.
        table: the file beside it that has their names; at most 23 letters.

    Raises:
        InputError: the file cannot be written.
    """
    header = _header(image, (), np.uint8, words)
    header.set_slope_inter(1, 0)
    header.set_intent("label")
    header["aux_file"] = table.encode()
    _save(path, header, [labels])


def save_maps(
    path: Path,
    maps: Iterable[NDArray[np.float32]],
    image: Volume,
    words: str,
    stages: Sequence[str] = (),
) -> None:
    """Write maps (i, j, k) as a 3-D file, or one behind the other as a 4-D file.

    They come one at a time, so that the memory holds one, whatever the file holds. All are stored
    in the same steps: a map has the same bits in either kind of file.

    Args:
        path: ``….nii.gz``.
        maps: of values from 0 to 1, at each voxel of the image.
        image: on whose grid they lie.
        words: what they are, see :func:`_header`.
        stages: a name for each map of a 4-D file; none for a 3-D file of the only map.

    Raises:
        InputError: the file cannot be written.
    """
    header = _header(image, (len(stages),) if stages else (), np.int16, words)
    say_steps(header)
    if stages:
        names = "\n".join(f"{n} {printable(stage)}" for n, stage in enumerate(stages))
        header.extensions.append(Nifti1Extension("comment", names.encode()))
    _save(path, header, map(in_steps, maps))


def _header(image: Volume, further: tuple[int, ...], kind: type, words: str) -> Nifti1Header:
    """The header of a file on an image's grid that says of its place what the image's own says.

    Args:
        image: a file's.
        further: lengths of axes behind the third.
        kind: the numbers' type.
        words: what the file holds, for its description, which is cut where it is too long.
    """
    header = Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape((*image.grid.shape, *further))
    for field, value in image.placing.items():
        header[field] = value
    header.set_xyzt_units(image.unit)
    mark = PHANTOM_MARK if image.phantom else "segtrace"
    header["descrip"] = description(f"{mark}{words}")
    return header


def _save(path: Path, header: Nifti1Header, volumes: Iterable[NDArray[Any]]) -> None:
    # Without a name and a time in it, equal maps make equal files.
    with atomic(path) as file, GzipFile("", "wb", QUICK, file, mtime=0) as packed:
        header.write_to(packed)
        for volume in volumes:
            packed.write(volume.tobytes(order="F"))
