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

from segtrace.data import anatomy
from segtrace.data.anatomy import Build, Field, Space
from segtrace.data.cases import TEST12, TRAIN18
from segtrace.data.labels import BTCV

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
        image.header["descrip"] = f"segtrace phantom seed={seed}".encode()
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
    hu, labels = _paint(_space(shape, spacing, random), build)
    volume = _scanned(hu, spacing, random)
    axes = ORIENTATIONS[sum(case.encode()) % len(ORIENTATIONS)]
    flips = [
        slice(None, None, 1 if axis == own else -1) for axis, own in zip(axes, "LPS", strict=True)
    ]
    signs = np.where([axis in "RAS" for axis in axes], 1.0, -1.0)
    affine = np.diag([*(signs * spacing), 1.0])
    affine[:3, 3] = -signs * spacing * (np.array(shape) - 1) / 2
    return (
        np.ascontiguousarray(volume[tuple(flips)]),
        np.ascontiguousarray(labels[tuple(flips)]),
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
    warped = (grid + _smooth(shape, 5.0, random) for grid in grids)
    return Space((axes[0], axes[1], axes[2]), *warped)


def _smooth(
    shape: tuple[int, int, int], spread: float, random: np.random.Generator, knots: int = 6
) -> Field:
    """A smooth random field of standard deviation ``spread``: cubic splines between few knots."""
    field = random.normal(0, spread, (knots,) * 3).astype(np.float32)
    for axis, n in enumerate(shape):
        spline = ndimage.zoom(np.eye(knots, dtype=np.float32), (n / knots, 1), order=3)
        field = np.moveaxis(np.tensordot(spline, field, (1, axis)), 0, axis)
    return field


def _paint(space: Space, build: Build) -> tuple[Field, Labels]:
    """HU without noise, and labels: what is painted later lies on top."""
    shape, random = space.x.shape, build.random
    trunk = anatomy.trunk(space, build)
    hu = np.full(shape, -1000, np.float32)
    labels = np.zeros(shape, np.uint8)
    texture = _smooth(shape, 1.0, random, knots=10)
    inside = trunk["cavity"] < 0
    below_dome = inside & (trunk["dome"] < 3)

    def paint(where: NDArray[np.bool_], value: float, organ: str = "", grain: float = 4.0) -> None:
        hu[where] = value + grain * texture[where]
        labels[where] = BTCV.get(organ, 0)

    paint(trunk["body"] < 0, -100, grain=6)
    hu[(trunk["body"] < 0) & (trunk["body"] > -2.5)] = 10  # skin
    paint(trunk["wall"] < 0, random.normal(58, 5))
    paint(inside, -98, grain=8)
    paint(trunk["lungs"] < 0, -830, grain=25)
    paint(trunk["mediastinum"] < 0, random.normal(55, 5), grain=8)
    for field in anatomy.bowel(space, build):
        _paint_hollow(paint, field, below_dome, space, random)
    _paint_organs(paint, space, build, below_dome)
    paint((anatomy.muscles(space, build) < 0) & (trunk["wall"] < 0), random.normal(60, 5))
    bones = anatomy.bones(space, build)
    deep = trunk["wall"] < -3
    column = (bones["column"] < 0) & deep
    paint(column, random.normal(230, 25), grain=25)
    paint(column & (bones["column"] > -3), 420, grain=30)
    paint((bones["disc"] < 0) & deep, 95)
    paint((bones["canal"] < 0) & deep, 25)
    paint((bones["ribs"] < 0) & deep, random.normal(330, 30), grain=30)
    return hu, labels


def _paint_organs(paint, space: Space, build: Build, cavity: NDArray[np.bool_]) -> None:  # type: ignore[no-untyped-def]
    random = build.random
    _paint_hollow(paint, anatomy.stomach(space, build), cavity, space, random, "stomach")
    liver_hu = random.normal(106, 11)
    liver = (anatomy.liver(space, build) < 0) & cavity
    paint(liver, liver_hu, "liver")
    for points in _hepatic_veins(build):
        branch = space.tube(points, [4.5, 2.5])
        paint(liver & (branch < 0), liver_hu + 38, "liver")
    spleen_hu = random.normal(116, 11)
    paint((anatomy.spleen(space, build) < 0) & cavity, spleen_hu, "spleen")
    if random.random() < 0.3:  # an accessory spleen: one organ in two components
        spot = space.ellipsoid(build.at(66, 40, 134), build.radii(9, 9, 9))
        paint((spot < 0) & cavity, spleen_hu, "spleen")
    kidney_hu = random.normal(158, 16)
    for side, name in ((-1, "right_kidney"), (1, "left_kidney")):
        parenchyma, sinus = anatomy.kidney(space, build, side)
        paint((sinus < 0) & cavity, random.normal(-40, 15))
        paint((parenchyma < 0) & cavity, kidney_hu + random.normal(0, 4), name)
    paint((anatomy.gallbladder(space, build) < 0) & cavity, random.normal(12, 6), "gallbladder")
    paint((anatomy.pancreas(space, build) < 0) & cavity, random.normal(92, 10), "pancreas", 9)
    blood = random.normal(150, 13)
    vessels = anatomy.vessels(space, build)
    paint((vessels["mesenteric"] < 0) & cavity, blood)
    for name, value in (
        ("portal_splenic_vein", blood + random.normal(4, 5)),
        ("inferior_vena_cava", blood - random.uniform(8, 35)),
        ("aorta", blood + random.normal(0, 5)),
    ):
        paint((vessels[name] < 0), value, name)
    paint(vessels["esophagus"] < 0, random.normal(48, 6), "esophagus")
    for side, name in ((-1, "right_adrenal"), (1, "left_adrenal")):
        paint((anatomy.adrenal(space, build, side) < 0) & cavity, random.normal(76, 9), name)


def _paint_hollow(paint, field: Field, cavity: NDArray[np.bool_], space: Space,  # type: ignore[no-untyped-def]
                  random: np.random.Generator, organ: str = "") -> None:  # fmt: skip
    """A wall, its content, and gas on top (in front) of it."""
    lumen = (field < -3.5) & cavity
    paint((field < 0) & cavity, random.normal(78, 14), organ)
    paint(lumen, random.uniform(5, 110), organ, 10)
    if random.random() < 0.65 and lumen.any():
        level = np.quantile(space.y[lumen], random.uniform(0.08, 0.4))
        paint(lumen & (space.y < level), -850, organ, 15)


def _hepatic_veins(build: Build) -> list[list[anatomy.Point]]:
    root = build.at(-26, 12, 200, spread=3)
    ends = [(-110, 10, 175), (-80, -45, 165), (-20, -55, 178), (-95, 30, 140), (-60, -20, 145)]
    return [[root, build.at(*end, spread=8)] for end in ends]


def _scanned(
    hu: Field, spacing: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int16]:
    """Partial volume, then the correlated noise of a reconstruction kernel."""
    blurred = ndimage.gaussian_filter(hu, 1.3 / spacing * (1, 1, 1.3), mode="nearest")
    noise = random.standard_normal(hu.shape, np.float32)
    noise = ndimage.gaussian_filter(noise, (0.8, 0.8, 0))
    noise *= np.float32(random.uniform(9, 16)) / noise.std()
    return (blurred + noise).round().clip(-1024, 3071).astype(np.int16)
