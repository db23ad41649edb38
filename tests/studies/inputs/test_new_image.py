import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from segtrace.data.files.nifti import read_image
from segtrace.data.preprocessing import Preprocessing
from segtrace.errors import InputError
from segtrace.studies.inputs.new_image import probes_of_image
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.volumes.tracing import VolumeSlices

SETTINGS = Preprocessing((-125.0, 275.0), 32, {"body": 1})


@pytest.fixture
def net():
    """Finds what is brighter than a fifth of the window."""
    net = nn.Conv2d(1, 2, 1)
    net.weight.data[:, 0, 0, 0] = torch.tensor([0.0, 1.0])
    net.bias.data = torch.tensor([0.2, 0.0])
    return net


@pytest.fixture
def shifted(tiny_raw, tmp_path):
    """A scan with the scanner's offset left in, mirrored according to one of its affines."""
    file = nibabel.load(tiny_raw / "img" / "img0005.nii.gz")
    other = nibabel.Nifti1Image(file.get_fdata() + 1024, file.affine)
    other.set_qform(file.affine @ np.diag([-1, 1, 1, 1]), 1)
    other.to_filename(tmp_path / "shifted.nii.gz")
    return tmp_path / "shifted.nii.gz"


def network(net):
    return TrainedNetwork("one", net, None, {"body": 1}, SETTINGS)


def known(probes):
    return probes.sides_known, probes.hounsfield_known


def test_slices_of_an_image_say_what_its_file_says(net, tiny_raw, shifted):
    probes = probes_of_image(tiny_raw / "img" / "img0005.nii.gz", network(net), 2)
    assert known(probes) == (True, True)
    assert probes.findings == ()
    probes = probes_of_image(shifted, network(net), 2)
    assert known(probes) == (False, False)
    about_sides, about_values = probes.findings
    assert about_sides.startswith("case shifted: its sform and its qform lie 180° apart")
    assert about_values.endswith("they look like HU + 1024")


def test_slices_of_a_whole_volume_say_what_its_file_says(tiny_raw, shifted):
    for path, expected in ((tiny_raw / "img/img0005.nii.gz", True), (shifted, False)):
        volume = read_image(path)
        images, geometry = SETTINGS.images(volume)
        probes = VolumeSlices(volume, images, None, geometry).probes([0, 3])
        assert known(probes) == (expected, expected)


def test_an_image_that_shows_nothing_is_told_where_nothing_is_found_in_it(net, tiny_raw, tmp_path):
    file = nibabel.load(tiny_raw / "img" / "img0005.nii.gz")
    flat = tmp_path / "flat.nii.gz"
    nibabel.Nifti1Image(np.full(file.shape, -1000, np.int16), file.affine).to_filename(flat)
    with pytest.raises(InputError, match=r"nothing to explain; every voxel of its image is -1000"):
        probes_of_image(flat, network(net), 2)
