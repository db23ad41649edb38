"""How volumes lie in the patient, through the readers and transforms that people load them with."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd

from segtrace import InputError
from segtrace.training.slices.lying import lying_of
from segtrace.training.slices.probing import probes_from

KEYS = ("image", "label")
RAS = np.diag([2.0, 1.0, 3.0, 1.0])
TURNED = RAS[:, [2, 1, 0, 3]]  # stored from the feet up first, from left to right last
OBLIQUE = RAS.copy()
OBLIQUE[:3, :3] = np.array([[0.9, 0.3, 0], [-0.3, 0.9, 0], [0, 0, 1]]) @ RAS[:3, :3]


def loader(folder, affine, *transforms, count=2):
    """Cases of 8 x 6 x 4 voxels as files, read by MONAI."""
    organ = np.zeros((8, 6, 4), np.uint8)
    organ[1:3, 2:4, 1:3] = 1
    cases = []
    for n in range(count):
        paths = {key: folder / f"{key}_{n}.nii.gz" for key in KEYS}
        affines = affine if isinstance(affine, list) else [affine] * count
        for key, values in zip(KEYS, (organ * 100.0 + n, organ), strict=True):
            nib.save(nib.Nifti1Image(values, affines[n]), paths[key])
        cases.append(paths)
    read = Compose([LoadImaged(KEYS), EnsureChannelFirstd(KEYS), *transforms])
    return DataLoader(Dataset(cases, read), batch_size=2)


@pytest.mark.parametrize(
    ("affine", "transforms", "axcodes", "mm"),
    [
        (RAS, (), "RAS", [2, 1, 3]),
        (TURNED, (), "SAR", [3, 1, 2]),
        (TURNED, (Orientationd(KEYS, axcodes="RAS", labels=None),), "RAS", [2, 1, 3]),
        (RAS, (Orientationd(KEYS, axcodes="SPR", labels=None),), "SPR", [3, 1, 2]),
        (OBLIQUE, (), "RAS", [2 * 0.9**0.5, 0.9**0.5, 3]),
    ],
)
def test_axes_and_millimetres_are_read_off_the_file(tmp_path, affine, transforms, axcodes, mm):
    probes = probes_from(loader(tmp_path, affine, *transforms), {"organ": 1}, 2)
    assert probes.axcodes == axcodes
    torch.testing.assert_close(probes.spacing, torch.tensor([mm, mm]).double(), rtol=1e-5, atol=0)
    assert type(probes.images) is type(probes.labels) is torch.Tensor


def test_volumes_that_lie_differently_are_refused_with_what_makes_them_alike(tmp_path):
    mixed = [RAS, TURNED]
    with pytest.raises(
        InputError, match=r"differently .*\(RAS, SAR\).*one orientation.*axcodes='RAS'"
    ):
        probes_from(loader(tmp_path, mixed), {"organ": 1}, 2)


def test_an_affine_that_no_file_has_said_says_nothing():
    from monai.data import MetaTensor

    broken = MetaTensor(torch.zeros(1, 4, 4, 4), torch.zeros(4, 4), {"original_affine": RAS})
    for volume in (MetaTensor(torch.zeros(1, 4, 4, 4)), torch.zeros(1, 4, 4, 4), broken):
        assert lying_of([volume]).axcodes == ""
        assert lying_of([volume]).spacing.isnan().all()
        assert lying_of([volume], "LPS").axcodes == "LPS"
