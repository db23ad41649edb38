"""The forms of other labelled sets: nnU-Net, Decathlon, AMOS, FLARE, TotalSegmentator, folders."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np

from helpers.forms.of_raw import (
    AMOS,
    BTCV,
    FLARE,
    Line,
    cases_of,
    copied,
    files_of,
    renumbered,
    split,
    told,
)


def _nifti(out: Path, *more: str) -> Line:
    return ["data=nifti", f"data.root={out}", *more]


def _listed(cases: list[str], image: str = "./imagesTr/{}.nii.gz") -> list[dict[str, str]]:
    return [{"image": image.format(c), "label": f"./labelsTr/{c}.nii.gz"} for c in cases]


_FOLD = "data.fold=1/2"


def nnunet(raw: Path, out: Path) -> Line:
    copied(raw, out, "imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz")
    told(out, channel_names={"0": "CT"}, labels={"background": 0} | BTCV,
          numTraining=len(cases_of(raw)), file_ending=".nii.gz")  # fmt: skip
    return _nifti(out, _FOLD)


def nnunet_folds(raw: Path, out: Path) -> Line:
    """The same, split by its ``splits_final.json``."""
    nnunet(raw, out)
    cases = cases_of(raw)
    folds = [{"train": [c for c in cases if c not in cases[k::2]], "val": cases[k::2]}
             for k in range(2)]  # fmt: skip
    (out / "splits_final.json").write_text(json.dumps(folds))
    return _nifti(out, f"data.split={out}/splits_final.json", "data.fold=1")


def nnunet_first(raw: Path, out: Path) -> Line:
    """Its first version, which lists cases and names numbers the other way round."""
    copied(raw, out, "imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz")
    labels = {"0": "background"} | {str(number): name for name, number in BTCV.items()}
    told(out, modality={"0": "CT"}, labels=labels, training=_listed(cases_of(raw)), test=[])
    return _nifti(out, _FOLD)


def nnunet_channels(raw: Path, out: Path) -> Line:
    """Two input channels: the scan, and the scan once more."""
    copied(raw, out, "imagesTr/{}_0001.nii.gz", "labelsTr/{}.nii.gz")
    nnunet(raw, out)
    told(out, channel_names={"0": "CT", "1": "CT2"}, labels={"background": 0} | BTCV,
          numTraining=len(cases_of(raw)), file_ending=".nii.gz")  # fmt: skip
    return _nifti(out, _FOLD)


def decathlon(raw: Path, out: Path) -> Line:
    copied(raw, out, "imagesTr/{}.nii.gz", "labelsTr/{}.nii.gz")
    for folder in ("imagesTr", "labelsTr"):  # as macOS packed it
        (out / folder / "._x.nii.gz").write_bytes(b"\0")
    labels = {"0": "background"} | {str(number): name for name, number in BTCV.items()}
    told(out, tensorImageSize="3D", modality={"0": "CT"}, labels=labels,
          numTraining=len(cases_of(raw)), training=_listed(cases_of(raw)),
          test=["./imagesTs/x.nii.gz"])  # fmt: skip
    return _nifti(out, _FOLD)


def amos(raw: Path, out: Path) -> Line:
    """With validation cases in a folder of their own."""
    renumbered(raw, out, "imagesTr/amos_{}.nii.gz", "labelsTr/amos_{}.nii.gz", AMOS)
    _, val = split(raw)
    for kind in ("images", "labels"):
        (out / f"{kind}Va").mkdir()
        for case in val:
            name = f"amos_{case}.nii.gz"
            (out / f"{kind}Tr" / name).rename(out / f"{kind}Va" / name)
    labels = {"0": "background"} | {str(n): name for n, name in enumerate(AMOS, start=1)}
    named = [f"amos_{case}" for case in cases_of(raw)]
    told(out, modality={"0": "CT"}, labels=labels,
          training=_listed([c for c in named if c[5:] not in val]),
          validation=[{key: path.replace("Tr/", "Va/") for key, path in entry.items()}
                      for entry in _listed([c for c in named if c[5:] in val])])  # fmt: skip
    return _nifti(out)


def amos_untold(raw: Path, out: Path) -> Line:
    renumbered(raw, out, "imagesTr/amos_{}.nii.gz", "labelsTr/amos_{}.nii.gz", AMOS)
    return _nifti(out, "data.labels=amos", _FOLD)


def flare(raw: Path, out: Path) -> Line:
    renumbered(raw, out, "images/FLARE22_Tr_{}_0000.nii.gz", "labels/FLARE22_Tr_{}.nii.gz", FLARE)
    return _nifti(out, "data.labels=flare22", _FOLD)


def total_segmentator(raw: Path, out: Path) -> Line:
    for case in cases_of(raw):
        image, label = files_of(raw, case)
        folder = out / f"s{case}" / "segmentations"
        folder.mkdir(parents=True)
        shutil.copy(image, folder.parent / "ct.nii.gz")
        file = nibabel.load(label)
        values = np.asarray(file.dataobj)
        for organ, number in BTCV.items():
            mask = nibabel.Nifti1Image((values == number).astype(np.uint8), file.affine)
            mask.to_filename(folder / f"{organ}.nii.gz")
    (out / "meta.csv").write_text("image_id;age\n")
    return _nifti(out, _FOLD)


def two_folders(raw: Path, out: Path) -> Line:
    copied(raw, out, "images/{}.nii.gz", "masks/{}.nii.gz")
    return _nifti(out, "data.labels=btcv", _FOLD)


def patterns(raw: Path, out: Path) -> Line:
    copied(raw, out, "scans/{}_ct.nii.gz", "organs/{}_seg.nii.gz")
    paths = ("data.images=scans/*_ct.nii.gz", "data.masks=organs/*_seg.nii.gz")
    return _nifti(out, *paths, "data.labels=btcv", _FOLD)


def datalist(raw: Path, out: Path) -> Line:
    """MONAI's, which names the validation cases."""
    copied(raw, out, "imagesTr/img{}.nii.gz", "labelsTr/label{}.nii.gz")
    train, val = split(raw)
    of = {"training": train, "validation": val}
    parts = {part: [{"image": f"imagesTr/img{case}.nii.gz", "label": f"labelsTr/label{case}.nii.gz"}
                    for case in cases] for part, cases in of.items()}  # fmt: skip
    told(out, "dataset_0.json", **parts)
    return ["data=nifti", f"data.root={out}/dataset_0.json", "data.labels=btcv"]


def turned(raw: Path, out: Path) -> Line:
    """Every label on the points of its image, stored flipped and in another order of axes."""
    copied(raw, out, "images/{}.nii.gz", "labels/{}.nii.gz")
    for case in cases_of(raw):
        path = out / f"labels/{case}.nii.gz"
        turns = np.array([(2, -1), (0, 1), (1, -1)])
        nibabel.load(path).as_reoriented(turns).to_filename(path)
    return _nifti(out, "data.labels=btcv", _FOLD)
