"""A generated abdominal CT in the raw download's own layout, so that a fresh clone runs.

Thirteen organs with portal-venous HU, varying in place, size and density between cases, among
tissue that looks like them: HU alone does not tell an organ, and nothing but place and context
tells the left kidney from the right. See the tests for what is pinned. Everything is a function
of (seed, case).
"""

import gzip
import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from segtrace.data.anatomy import Build
from segtrace.data.cases import TEST12, TRAIN18
from segtrace.data.fields import WARP, Field, Space
from segtrace.data.nifti import PHANTOM_MARK
from segtrace.data.painting import paint

CASES = tuple(sorted((*TRAIN18, *TEST12)))
"""The published numbers."""

ORIENTATIONS = ("RAS", "LAS", "LPS")
EXTENT = (384.0, 384.0, 240.0)
"""mm of the scanned box: left-right, front-back, foot-head (before the case's own spacing)."""

Volume = NDArray[np.int16]
Labels = NDArray[np.uint8]


def write(
    root: Path,
    seed: int = 0,
    cases: Sequence[str] | int = CASES,
    shape: Sequence[int] = (160, 160, 48),
    workers: int = 1,
) -> Path:
    """Write ``img/img0001.nii.gz`` and ``label/label0001.nii.gz`` of every case below ``root``.

    Args:
        root: an empty or new folder; the files go to ``RawData/Training`` in it.
        seed: of everything.
        cases: names, or how many of the published ones.
        shape: voxels (left-right, front-back, foot-head).
        workers: processes; the files do not depend on it.

    Returns:
        The folder that holds ``img`` and ``label``.
    """
    names = CASES[:cases] if isinstance(cases, int) else tuple(cases)
    folder = Path(root) / "RawData" / "Training"
    for part in ("img", "label"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    width, depth, height = shape
    one = partial(_write_case, folder, seed, (width, depth, height))
    with tqdm(total=len(names), desc="generating the phantom", unit="case", disable=None) as bar:
        if workers == 1:
            for name in names:
                one(name)
                bar.update()
        else:
            with ProcessPoolExecutor(workers) as pool:
                for _ in pool.map(one, names):
                    bar.update()
    return folder


def _write_case(folder: Path, seed: int, shape: tuple[int, int, int], case: str) -> None:
    volume, labels, affine = generate(case, seed, shape)
    for part, data in (("img", volume), ("label", labels)):
        image = nibabel.Nifti1Image(data, affine)
        image.header["descrip"] = f"{PHANTOM_MARK} seed={seed}".encode()
        image.header.set_xyzt_units("mm")
        packed = io.BytesIO()
        # Neither name nor time in the file: one seed repeats byte for byte.
        with gzip.GzipFile("", "wb", 1, packed, mtime=0) as file:
            file.write(image.to_bytes())
        (folder / part / f"{part}{case}.nii.gz").write_bytes(packed.getvalue())


def generate(
    case: str, seed: int = 0, shape: tuple[int, int, int] = (160, 160, 48)
) -> tuple[Volume, Labels, NDArray[np.float64]]:
    """One case: (HU, BTCV labels, affine), each in the case's own orientation.

    Args:
        case: its name; part of the random state.
        seed: the other part.
        shape: voxels (left-right, front-back, foot-head).
    """
    random = np.random.default_rng([seed, *case.encode()])
    spacing = np.array(EXTENT) / shape * random.normal(1, 0.025, 3)
    build = Build(
        size=float(np.clip(random.normal(1, 0.035), 0.92, 1.08)),
        fat=float(random.uniform(8, 22)),
        random=random,
    )
    canvas = paint(_space(shape, spacing, random), build, _smooth(shape, 1.0, random, knots=10))
    volume = _scanned(canvas.hu, spacing, random)
    axes = ORIENTATIONS[sum(case.encode()) % len(ORIENTATIONS)]
    flips = [
        slice(None, None, 1 if axis == own else -1) for axis, own in zip(axes, "LPS", strict=True)
    ]
    signs = np.where([axis in "RAS" for axis in axes], 1.0, -1.0)
    affine = np.diag([*(signs * spacing), 1.0])
    affine[:3, 3] = -signs * spacing * (np.array(shape) - 1) / 2
    return (
        np.ascontiguousarray(volume[tuple(flips)]),
        np.ascontiguousarray(canvas.labels[tuple(flips)]),
        affine,
    )


def _space(
    shape: tuple[int, int, int], spacing: NDArray[np.float64], random: np.random.Generator
) -> Space:
    """Millimetres of every voxel, smoothly displaced; z starts at 0 near the lowest slice."""
    offset = random.normal(0, 6, 3)
    axes = [
        ((np.arange(n) - (n - 1) / 2) * step + shift).astype(np.float32)
        for n, step, shift in zip(shape, spacing, offset, strict=True)
    ]
    axes[2] += np.float32(EXTENT[2] / 2)
    grids = np.meshgrid(*axes, indexing="ij")
    warped = (grid + _smooth(shape, 5.0, random).clip(-WARP, WARP) for grid in grids)
    return Space((axes[0], axes[1], axes[2]), *warped)


def _smooth(
    shape: tuple[int, int, int], spread: float, random: np.random.Generator, knots: int = 6
) -> Field:
    """A smooth random field of standard deviation ``spread``: cubic splines between few knots."""
    field = random.normal(0, spread, (knots,) * 3).astype(np.float32)
    for axis, n in enumerate(shape):
        spline = ndimage.zoom(np.eye(knots, dtype=np.float32), (n / knots, 1), order=3)
        field = np.moveaxis(np.tensordot(spline, field, (1, axis)), 0, axis)
    return np.ascontiguousarray(field)


def _scanned(
    hu: Field, spacing: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int16]:
    """Partial volume, then the correlated noise of a reconstruction kernel."""
    blurred = ndimage.gaussian_filter(hu, 1.3 / spacing * (1, 1, 1.3), mode="nearest")
    noise = random.standard_normal(hu.shape, np.float32)
    noise = ndimage.gaussian_filter(noise, (0.8, 0.8, 0))
    noise *= np.float32(random.uniform(9, 16)) / noise.std()
    return (blurred + noise).round().clip(-1024, 3071).astype(np.int16)
