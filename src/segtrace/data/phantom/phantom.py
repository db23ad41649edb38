"""A generated abdominal CT in the raw download's own layout, so that a fresh clone runs.

Thirteen organs with portal-venous HU, varying in place, size and density between cases, among
tissue that looks like them: HU alone does not tell an organ, and nothing but place and context
tells the left kidney from the right. See the tests for what is pinned. Everything is a function
of (seed, case).
"""

import functools
import gzip
import hashlib
import io
import json
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from segtrace.data.cache.drafts import draft
from segtrace.data.cases import TEST12, TRAIN18
from segtrace.data.files.nifti import PHANTOM_MARK
from segtrace.data.phantom import anatomy, exact, fields, painting, surroundings
from segtrace.data.phantom.anatomy import Build
from segtrace.data.phantom.exact import (
    Draws,
    blurred,
    gaussian,
    interpolated,
    on_grid,
    sum_of_squares,
)
from segtrace.data.phantom.fields import WARP, Field, Space
from segtrace.data.phantom.painting import paint
from segtrace.errors import InputError
from segtrace.progress import counted, over

CASES = tuple(sorted((*TRAIN18, *TEST12)))
"""The published numbers."""

ORIENTATIONS = ("RAS", "LAS", "LPS")
EXTENT = (384.0, 384.0, 240.0)
"""mm of the scanned box: left-right, front-back, foot-head (before the case's own spacing)."""

TRAINING = Path("RawData", "Training")
MARK = "phantom.json"
"""Stands in a whole set and says how it was made."""
NOISE = 0.8
"""Standard deviation, in voxels, of what blurs the noise."""
LEAST = 8
"""Voxels along an axis: fewer hold no organ."""

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

    Whole or not at all: the set is made beside ``root`` and takes its place when it is complete,
    with ``phantom.json`` saying how it was made. The same set is not written again.

    Args:
        root: an empty or new folder; the files go to ``RawData/Training`` in it.
        seed: of everything, 0 or more.
        cases: names, or how many of the published ones.
        shape: voxels (left-right, front-back, foot-head).
        workers: processes; the files do not depend on it.

    Returns:
        The folder that holds ``img`` and ``label``.

    Raises:
        InputError: the folder holds something else, or there is no such phantom.
    """
    names, size = _names(cases), _size(shape)
    if seed < 0 or workers < 1:
        raise InputError(f"seed={seed}, workers={workers}: give a seed >= 0 and workers >= 1")
    mark = json.dumps(
        {"generator": fingerprint(), "seed": seed, "shape": size, "cases": names}, indent=1
    )
    root = Path(root).resolve()  # "." has no name to put another one beside
    if not _holds(root, mark):
        with draft(root, functools.partial(_holds, mark=mark)) as partial:
            _write_cases(partial / TRAINING, seed, names, size, workers)
            (partial / MARK).write_text(mark)
    return root / TRAINING


def fingerprint() -> str:
    """Of the generator's code: other code makes another phantom."""
    modules = (anatomy, exact, fields, painting, surroundings)
    files = [Path(__file__), *(Path(str(module.__file__)) for module in modules)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _names(cases: Sequence[str] | int) -> list[str]:
    if isinstance(cases, int) and not 1 <= cases <= len(CASES):
        raise InputError(
            f"cases={cases}: there are {len(CASES)} published numbers; give 1 to {len(CASES)}, "
            "or names"
        )
    names = list(CASES[:cases] if isinstance(cases, int) else cases)
    if not names or len(set(names)) < len(names):
        raise InputError(f"cases={names}: give one or more names, each once")
    return names


def _size(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3 or min(shape) < LEAST:
        raise InputError(f"shape={list(shape)}: give three numbers of voxels, each >= {LEAST}")
    width, depth, height = shape
    return width, depth, height


def _holds(root: Path, mark: str) -> bool:
    """Whether the set is there already; an empty folder or none holds nothing."""
    found = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    if MARK in found and (root / MARK).read_text() == mark:
        return True
    if found or (root.exists() and not root.is_dir()):
        what = f"another phantom (see {MARK})" if MARK in found else found[0] if found else "a file"
        raise InputError(f"{root}: holds {what}; give an empty or new folder")
    return False


def _write_cases(
    folder: Path, seed: int, names: Sequence[str], shape: tuple[int, int, int], workers: int
) -> None:
    for part in ("img", "label"):
        (folder / part).mkdir(parents=True)
    one = functools.partial(_write_case, folder, seed, shape)
    words = f"Generating {counted(len(names), 'case')} of the phantom"
    with ExitStack() as stack:
        run = map if workers == 1 else stack.enter_context(_pool(workers)).map
        for _ in over(run(one, names), words, len(names)):
            pass


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that leave Ctrl-C to the one that waits for them."""
    return ProcessPoolExecutor(
        workers, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )


def _write_case(folder: Path, seed: int, shape: tuple[int, int, int], case: str) -> None:
    volume, labels, affine = generate(case, seed, shape)
    for part, data in (("img", volume), ("label", labels)):
        image = nibabel.Nifti1Image(data, affine)
        image.header["descrip"] = f"{PHANTOM_MARK} seed={seed}".encode()
        image.header.set_xyzt_units("mm")
        for part_of_turn in ("quatern_b", "quatern_c", "quatern_d"):
            # Not used, since the affine says it all, and found by nibabel with an eigenvalue.
            image.header[part_of_turn] = 0
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
    random = Draws(seed, *case.encode())
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


def _space(shape: tuple[int, int, int], spacing: NDArray[np.float64], random: Draws) -> Space:
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


def _smooth(shape: tuple[int, int, int], spread: float, random: Draws, knots: int = 6) -> Field:
    """A smooth random field of standard deviation ``spread``: cubic splines between few knots."""
    field = interpolated(random.normal(0, spread, (knots,) * 3), shape)
    return np.ascontiguousarray(field, np.float32)


def _scanned(hu: Field, spacing: NDArray[np.float64], random: Draws) -> NDArray[np.int16]:
    """Partial volume, then the correlated noise of a reconstruction kernel."""
    width, depth, height = (1.3 / spacing).tolist()
    scan = blurred(on_grid(hu, 2.0**5), (width, depth, 1.3 * height), "nearest")
    noise = blurred(random.normal(0, 1, hu.shape), (NOISE, NOISE))
    left = sum_of_squares(gaussian(NOISE).tolist())  # of the standard deviation, by both axes
    scan += random.uniform(9, 16) / left * noise
    return scan.round().clip(-1024, 3071).astype(np.int16)
