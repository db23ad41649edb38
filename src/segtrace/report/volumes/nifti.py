"""Maps of volumes as NIfTI, each in the grid of the file that its volume was read from."""

import gzip
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from segtrace.attribution.flow import Status
from segtrace.errors import InputError, printable, unknown
from segtrace.names import file_name
from segtrace.report.files import save_bytes
from segtrace.report.pictures.view import array
from segtrace.report.record import Record
from segtrace.report.tables import save_table

STEPS = 2**14
"""Into how many steps a map is divided from 0 to 1: so many that each is exact in any float."""
LONGEST = 79
"""Bytes of a description."""
NO_FILE = (
    "it is not known which file each volume was read from, so that no map can be laid on it: let "
    "MONAI's LoadImaged read NIfTI files in the loader of segtrace.explain or FlowCallback"
)


def save_volumes(
    folder: Path,
    record: Record,
    organs: Sequence[str] | None = None,
    rules: Sequence[str] | None = None,
    stages: Sequence[str] | None = None,
) -> list[Path]:
    """Write ``{case}_{volume}/{rule}/{organ}_{stage}_{rule}.nii.gz`` and ``maps.csv``.

    Values are the positive part as a share of the map's largest value, which ``maps.csv`` has;
    linear between the centres of cells, 0 where the file goes on beyond the volume. A map that may
    not be read is left out.

    Args:
        folder: where to.
        record: of volumes.
        organs: whose maps; all of them if not said, as of rules and stages.
        rules: by which rules.
        stages: at which stages.

    Returns:
        The files.

    Raises:
        InputError: slices, volumes of no known file, another name; a file that cannot be written.
    """
    flow, scene = record.flow, record.scene
    if scene.affines is None:
        raise InputError(NO_FILE)
    names = [_chosen(*one) for one in (("organ", organs, flow.organs), ("rule", rules, flow.rules),
                                       ("stage", stages, flow.stages))]  # fmt: skip
    written, rows = [], []
    for n, (organ, rule, stage) in product(range(len(scene.cases)), product(*names)):
        at = (flow.rules.index(rule), flow.organs.index(organ), n)
        if flow.status[(flow.stages.index(stage), *at)] != Status.OK:
            continue
        values, largest = array(flow.maps[stage][at]), record.peak(stage, *at)
        shares = laid(np.maximum(values, 0) / largest, record, n)
        place = Path(file_name(f"{scene.cases[n]}_{scene.slices[n]}"), file_name(rule))
        path = place / f"{file_name(f'{organ}_{stage}_{rule}')}.nii.gz"
        save_shares(folder / path, shares, array(scene.affines[n, 1]), f"{organ} {stage} {rule}")
        written.append(folder / path)
        rows.append({"case": scene.cases[n], "volume": scene.slices[n], "organ": organ,
                     "rule": rule, "stage": stage, "largest": largest,
                     "file": path.as_posix()})  # fmt: skip
    save_table(folder / "maps.csv", rows)
    return written


def in_steps(maps: NDArray[np.float32]) -> NDArray[np.int16]:
    """Values from 0 to 1 as they are stored."""
    return np.rint(maps.clip(0, 1) * STEPS).astype(np.int16)


def say_steps(header: Nifti1Header) -> None:
    """Let the header of a file of such values say how they are scaled, and from what to what."""
    header.set_slope_inter(1 / STEPS, 0)
    header["cal_max"] = 1  # the range that viewers open the file with, from 0


def description(words: str) -> bytes:
    """What a file says of itself, cut where it is too long, and not within a letter."""
    return printable(words).encode()[:LONGEST].decode(errors="ignore").encode()


def _chosen(kind: str, asked: Sequence[str] | None, there: Iterable[str]) -> list[str]:
    there = list(there)
    for name in asked or ():
        if name not in there:
            raise unknown(kind, name, there, "these maps")
    return there if asked is None else list(asked)


def laid(values: NDArray, record: Record, n: int) -> NDArray[np.float32]:
    """A map (d, h, w) at every voxel of the file of the nth volume, 0 beyond the volume."""
    scene = record.scene
    if scene.affines is None:
        raise TypeError("volumes of no known file")
    mine, files = (array(one) for one in scene.affines[n])
    size, voxels = scene.file_sizes[n], np.array(scene.image.shape[2:])
    to_voxel = np.linalg.inv(mine) @ files
    share = np.array(values.shape) / voxels
    to_cell = np.eye(4)  # the first cell begins where the first voxel does
    to_cell[:3, :3], to_cell[:3, 3] = np.diag(share), share / 2 - 0.5
    inside = affine_transform(
        np.ones(voxels, np.float32), *_parts(to_voxel), size, order=0, mode="grid-constant"
    )
    found = affine_transform(
        values.astype(np.float32), *_parts(to_cell @ to_voxel), size, order=1, mode="nearest"
    )
    shares: NDArray[np.float32] = found * inside
    return shares


def _parts(affine: NDArray) -> tuple[NDArray, NDArray]:
    return affine[:3, :3], affine[:3, 3]


def save_shares(path: Path, shares: NDArray[np.float32], affine: NDArray, words: str) -> None:
    """Write values from 0 to 1 on the voxels (i, j, k) of a file."""
    image = Nifti1Image(in_steps(shares), affine)
    say_steps(image.header)
    image.header["descrip"] = description(f"segtrace: {words}")
    save_bytes(path, gzip.compress(image.to_bytes(), 1, mtime=0))
