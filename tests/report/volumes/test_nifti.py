"""Maps of volumes laid on the files that these were read from: a marker stays where it is."""

from functools import partial

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    Orientationd,
    Spacingd,
    SpatialCropd,
)
from torch import nn

import segtrace
from segtrace import InputError
from segtrace.report.tables import read_table

KEYS = ("image", "label")
OBLIQUE = np.array([[0.96, 0.28, 0, 5], [-0.28, 0.96, 0, -3], [0, 0, 1, 7], [0, 0, 0, 1]])
PLACED = {
    "RAS": np.diag([2.0, 1.5, 3, 1]) + np.array([[0, 0, 0, -10]] * 3 + [[0] * 4]),
    "LPS": np.diag([-2.0, -1.5, 3, 1]),
    "PIR": np.array([[0, 0, 2.0, 1], [-1.5, 0, 0, 2], [0, -3, 0, 3], [0, 0, 0, 1]]),
    "oblique": OBLIQUE @ np.diag([2.0, 1.5, 3, 1]),
}
TO_RAS = Orientationd(KEYS, axcodes="RAS", labels=None)
WAYS = {
    "as it is": (),
    "turned": (TO_RAS,),
    "resampled": (TO_RAS, Spacingd(KEYS, (2, 2, 2), mode=("bilinear", "nearest"))),
    "a patch": (TO_RAS, SpatialCropd(KEYS, roi_start=(1, 2, 1), roi_end=(13, 10, 9))),
}


def loader(folder, affine, transforms):
    """A case of 14 x 12 x 10 voxels with a block that is off the centre along every axis."""
    organ = np.zeros((14, 12, 10), np.uint8)
    organ[4:8, 3:7, 4:8] = 1
    for key, values in zip(KEYS, (organ.astype(np.float32), organ), strict=True):
        nib.save(nib.Nifti1Image(values, affine), folder / f"{key}.nii.gz")
    case = {key: folder / f"{key}.nii.gz" for key in KEYS} | {"case": "p/1", "slice": 0}
    read = Compose([LoadImaged(KEYS), EnsureChannelFirstd(KEYS), *transforms])
    return DataLoader(Dataset([case], read)), organ


class Brightness(nn.Module):
    """The organ's logit is the image, also on a grid of half the size."""

    def __init__(self):
        super().__init__()
        self.deep, self.head = (
            nn.AvgPool3d(2, ceil_mode=True, count_include_pad=False),
            nn.Identity(),
        )

    def forward(self, x):
        coarse = nn.functional.interpolate(self.deep(x), x.shape[2:], mode="nearest")
        return self.head(torch.cat([0.3 + 0 * x, x + coarse], 1))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("placed", PLACED)
def test_a_marker_lies_in_place_in_the_file_s_own_grid(tmp_path, placed, way):
    affine = PLACED[placed]
    given, organ = loader(tmp_path, affine, WAYS[way])
    stages = {"enc": "deep", "head": "head"}
    found = segtrace.explain(Brightness().double(), given, stages, {"organ": 1}, slices=1)
    files = found.write_nifti(tmp_path / "out", rules=["grad_pam"])
    assert [path.name for path in files] == [
        "organ_enc_grad_pam.nii.gz",
        "organ_head_grad_pam.nii.gz",
    ]
    for path, off in zip(files, (1.0, 0.6), strict=True):
        image = nib.load(path)
        values = image.get_fdata()
        np.testing.assert_allclose(image.affine, affine, atol=1e-5)
        assert values.shape == organ.shape
        assert 0.5 < values.max() <= 1
        centre = np.array(
            [np.average(np.indices(values.shape)[a], weights=values) for a in range(3)]
        )
        assert np.abs(centre - [5.5, 4.5, 5.5]).max() < off  # voxels
    if way == "as it is":  # where nothing is resampled the map is the organ's, voxel by voxel
        assert np.array_equal(values > 0.5, organ == 1)
    rows = read_table(tmp_path / "out" / "maps.csv")
    assert [row["stage"] for row in rows] == ["enc", "head"]
    assert (tmp_path / "out" / rows[0]["file"]) == files[0]
    assert files[0].parent.parent.parent == tmp_path / "out"  # the case's name is no path


def test_what_no_file_is_known_of_is_refused_with_what_to_do(tmp_path):
    volume = torch.zeros(1, 1, 4, 4, 4)
    volume[..., 1:3, 1:3, 1:3] = 1
    explain = partial(segtrace.explain, Brightness(), stages={"head": "head"}, labels={"organ": 1})
    found = explain(loader=[(volume, volume[:, 0].long())])
    with pytest.raises(InputError, match=r"not known which file.*LoadImaged"):
        found.write_nifti(tmp_path)
    known = explain(loader=loader(tmp_path, PLACED["RAS"], ())[0])
    with pytest.raises(InputError, match=r"no stage 'dec1'; .*head"):
        known.write_nifti(tmp_path, stages=["dec1"])
