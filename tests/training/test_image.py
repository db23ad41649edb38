import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from segtrace import InputError
from segtrace.data.nifti import read_image
from segtrace.data.preprocessing import Preprocessing
from segtrace.training.image import predict, probes_of_image
from segtrace.training.volumes import VolumeSlices

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


def known(probes):
    return probes.sides_known, probes.hounsfield_known


def test_slices_of_an_image_say_what_its_file_says(net, tiny_raw, shifted):
    probes = probes_of_image(tiny_raw / "img" / "img0005.nii.gz", net, SETTINGS, 2)
    assert known(probes) == (True, True)
    assert probes.findings == ()
    probes = probes_of_image(shifted, net, SETTINGS, 2)
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


IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def network(channels):
    torch.manual_seed(0)
    return nn.Conv2d(1, channels, 3, padding=1)


def test_every_slice_has_the_channel_with_the_largest_logit():
    net = network(3)
    assert torch.equal(predict(net, IMAGES), net(IMAGES).argmax(1))


def test_a_network_of_one_channel_predicts_nothing():
    with pytest.raises(InputError, match="one output channel"):
        predict(network(1), IMAGES)


def test_a_network_that_returns_more_than_logits_is_named():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = network(3)

        def forward(self, x):
            return {"out": self.conv(x)}

    with pytest.raises(InputError, match=r"returns a dict; .*forward returns out\['out'\]"):
        predict(Net(), IMAGES)


def test_a_network_that_takes_other_images_is_named():
    with pytest.raises(InputError, match="takes images of 3 channels"):
        predict(nn.Conv2d(3, 2, 1), IMAGES)
