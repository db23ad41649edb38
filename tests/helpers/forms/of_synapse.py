"""The forms in which Synapse itself circulates."""

import zipfile
from pathlib import Path

import h5py
import nibabel
import numpy as np
from nibabel import orientations

from helpers.forms.of_raw import (
    BTCV,
    CASCADE,
    EIGHT,
    SAMED,
    Line,
    cases_of,
    copied,
    files_of,
    split,
)


def raw_zip(raw: Path, out: Path) -> Line:
    with zipfile.ZipFile(out / "RawData.zip", "w") as archive:
        for case in cases_of(raw):
            for path in files_of(raw, case):
                archive.write(path, f"RawData/Training/{path.relative_to(raw)}")
        archive.writestr("RawData/Testing/img/img0061.nii.gz", "unlabelled")
    return ["data=synapse", f"data.root={out}/RawData.zip"]


def raw_folder(raw: Path, out: Path) -> Line:
    copied(raw, out, "Abdomen/RawData/Training/img/img{}.nii.gz",
            "Abdomen/RawData/Training/label/label{}.nii.gz")  # fmt: skip
    return ["data=synapse", f"data.root={out}/Abdomen"]


def raw_bare(raw: Path, out: Path) -> Line:
    """``img/`` and ``label/`` alone, not compressed."""
    for case in cases_of(raw):
        for path in files_of(raw, case):
            made = out / path.relative_to(raw).with_suffix("")
            made.parent.mkdir(exist_ok=True)
            nibabel.load(path).to_filename(made)
    return ["data=synapse", f"data.root={out}"]


def _lps(path: Path) -> np.ndarray:
    """(x, y, z) from the patient's right, front and feet."""
    file = nibabel.load(path)
    here, there = orientations.io_orientation(file.affine), orientations.axcodes2ornt("LPS")
    turns = orientations.ornt_transform(here, there)
    return orientations.apply_orientation(np.asarray(file.dataobj), turns)


def _transunet_files(
    raw: Path,
    out: Path,
    names: tuple[str, ...],
    slices: str = "train_npz",
    volumes: str = "test_vol_h5",
    upside_down: bool = False,
) -> None:
    table = np.zeros(14, np.float32)
    for number, name in enumerate(names, start=1):
        table[BTCV[name]] = number
    train, test = split(raw)
    for folder in (slices, volumes):
        (out / folder).mkdir()
    for case in train + test:
        image, label = (_lps(path).transpose(2, 0, 1) for path in files_of(raw, case))  # (D, x, y)
        image = ((image.clip(-125, 275) + 125) / 400).astype(np.float32)
        label = table[label.astype(int)]
        if upside_down:
            image, label = image[:, ::-1, ::-1], label[:, ::-1, ::-1]
        if case in test:
            with h5py.File(out / volumes / f"case{case}.npy.h5", "w") as file:
                file["image"], file["label"] = image, label
        else:
            for index, (plane, mask) in enumerate(zip(image, label, strict=True)):
                name = out / slices / f"case{case}_slice{index:03d}.npz"
                np.savez(name, image=plane, label=mask)


def _lists(raw: Path, out: Path, ending: str = "") -> None:
    """``lists/lists_Synapse``, where TransUNet's repository has them."""
    folder = out / "lists" / "lists_Synapse"
    folder.mkdir(parents=True)
    train, test = split(raw)
    lines = sorted(path.stem for path in next(out.glob("train_npz*")).glob("*.npz"))
    (folder / "train.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "test_vol.txt").write_text("".join(f"case{case}{ending}\n" for case in test))
    (folder / "all.lst").write_text("".join(f"case{case}.npy.h5\n" for case in train + test))


def transunet(raw: Path, out: Path) -> Line:
    _transunet_files(raw, out, EIGHT)
    _lists(raw, out)
    return ["data=synapse_transunet", f"data.root={out}"]


def transunet_without_lists(raw: Path, out: Path) -> Line:
    """Fits TransUNet's own lists where the cases have the published numbers of slices."""
    _transunet_files(raw, out, EIGHT)
    return ["data=synapse_transunet", f"data.root={out}"]


def transunet_endings(raw: Path, out: Path) -> Line:
    """Lines of the test list that end in ``.npy.h5``."""
    _transunet_files(raw, out, EIGHT)
    _lists(raw, out, ".npy.h5")
    return ["data=synapse_transunet", f"data.root={out}"]


def cascade(raw: Path, out: Path) -> Line:
    """All thirteen organs, upside down beside TransUNet's."""
    names = ("train_npz_new", "test_vol_h5_new")
    _transunet_files(raw, out, tuple(BTCV), *names, upside_down=True)
    _lists(raw, out)
    return ["data=synapse_transunet", f"data.root={out}", "data.labels=btcv"]


def cascade_nine(raw: Path, out: Path) -> Line:
    _transunet_files(raw, out, CASCADE)
    _lists(raw, out)
    return ["data=synapse_transunet", f"data.root={out}", "data.labels=cascade"]


def samed(raw: Path, out: Path) -> Line:
    _transunet_files(raw, out, SAMED)
    _lists(raw, out)
    return ["data=synapse_transunet", f"data.root={out}", "data.labels=samed"]
