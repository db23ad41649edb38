"""What every form is made of: the cases of a folder in the raw layout of Synapse."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
from nibabel import orientations

BTCV = dict(zip(
    ("spleen", "right_kidney", "left_kidney", "gallbladder", "esophagus", "liver", "stomach",
     "aorta", "inferior_vena_cava", "portal_splenic_vein", "pancreas", "right_adrenal",
     "left_adrenal"),
    range(1, 14), strict=True,
))  # fmt: skip
EIGHT = ("aorta", "gallbladder", "left_kidney", "right_kidney", "liver", "pancreas", "spleen",
         "stomach")  # fmt: skip
"""The organs of the published tables, in TransUNet's order."""
CASCADE = (*tuple(BTCV)[:4], "pancreas", "liver", "stomach", "aorta")
SAMED = (*tuple(BTCV)[:4], "liver", "stomach", "aorta", "pancreas")
AMOS = (*tuple(BTCV)[:9], "pancreas", "right_adrenal", "left_adrenal", "duodenum", "bladder",
        "prostate_uterus")  # fmt: skip
FLARE = ("liver", "right_kidney", "spleen", "pancreas", "aorta", "inferior_vena_cava",
         "right_adrenal", "left_adrenal", "gallbladder", "esophagus", "stomach", "duodenum",
         "left_kidney")  # fmt: skip
TEST = ("0001", "0002", "0003", "0004", "0008", "0022", "0025", "0029", "0032", "0035", "0036",
        "0038")  # fmt: skip
"""Published test cases; of other cases the last is for the test."""
DEPTHS = {
    "0005": 117, "0006": 131, "0007": 163, "0009": 149, "0010": 148, "0021": 143, "0023": 96,
    "0024": 124, "0026": 131, "0027": 88, "0028": 89, "0030": 153, "0031": 93, "0033": 104,
    "0034": 98, "0037": 99, "0039": 90, "0040": 195,
} | dict.fromkeys(TEST, 131) | {"0038": 127}  # fmt: skip
"""Slices of the published training cases; those of the test cases have the published sum."""

Line = list[str]
"""Options of train.py."""


def cases_of(raw: Path) -> list[str]:
    return sorted(path.name[3:7] for path in (raw / "img").glob("img*.nii.gz"))


def files_of(raw: Path, case: str) -> tuple[Path, Path]:
    return raw / f"img/img{case}.nii.gz", raw / f"label/label{case}.nii.gz"


def split(raw: Path) -> tuple[list[str], list[str]]:
    """Cases to train on, and those of the test."""
    cases = cases_of(raw)
    test = [case for case in cases if case in TEST] or cases[-1:]
    return [case for case in cases if case not in test], test


def told(out: Path, name: str = "dataset.json", **content: object) -> None:
    (out / name).write_text(json.dumps(content))


def copied(raw: Path, out: Path, images: str, masks: str) -> None:
    for case in cases_of(raw):
        for path, pattern in zip(files_of(raw, case), (images, masks), strict=True):
            made = out / pattern.format(case)
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, made)


def renumbered(raw: Path, out: Path, images: str, masks: str, names: tuple[str, ...]) -> None:
    """Two folders whose labels have the numbers 1, 2, … of these names; others are background."""
    table = np.zeros(14, np.uint8)
    for number, name in enumerate(names, start=1):
        if name in BTCV:
            table[BTCV[name]] = number
    copied(raw, out, images, masks)
    for case in cases_of(raw):
        label = nibabel.load(files_of(raw, case)[1])
        made = nibabel.Nifti1Image(table[np.asarray(label.dataobj).astype(int)], label.affine)
        made.to_filename(out / masks.format(case))


def published_sizes(raw: Path, out: Path, pixels: int = 32) -> Path:
    """The 30 cases with the published numbers of slices, by repeating planes and leaving out."""
    for case in cases_of(raw):
        for path in files_of(raw, case):
            file = nibabel.load(path)
            rows = orientations.io_orientation(file.affine)[:, 0].argsort()  # axis of x, y, z
            values, affine = np.asarray(file.dataobj), file.affine.copy()
            for axis, wanted in zip(rows, (pixels, pixels, DEPTHS[case]), strict=True):
                length = values.shape[axis]
                values = values.take(np.arange(wanted) * length // wanted, axis)
                affine[:3, axis] *= length / wanted
            made = out / path.relative_to(raw)
            made.parent.mkdir(parents=True, exist_ok=True)
            nibabel.Nifti1Image(values, affine).to_filename(made)
    return out
