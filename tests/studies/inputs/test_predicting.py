"""What a network predicts in the slices of a new image (segtrace.studies.inputs.new_image)."""

import pytest
import torch
from torch import nn

from segtrace import InputError
from segtrace.studies.inputs.new_image import predict

IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def network(channels):
    torch.manual_seed(0)
    return nn.Conv2d(1, channels, 3, padding=1)


def test_every_slice_has_the_channel_with_the_largest_logit():
    net = network(3)
    assert torch.equal(predict(net, IMAGES), net(IMAGES).argmax(1))


@pytest.mark.parametrize(("channels", "asked"), [(1, None), (3, "sigmoid")])
def test_every_slice_has_the_channels_above_zero(channels, asked):
    net = network(channels)
    assert torch.equal(predict(net, IMAGES, asked), net(IMAGES) > 0)


def test_a_network_that_returns_more_than_logits_is_named():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = network(3)

        def forward(self, x):
            return {"out": self.conv(x), "aux": self.conv(x + 1)}

    with pytest.raises(InputError, match=r"returns a dict; .*forward returns out\['out'\]"):
        predict(Net(), IMAGES)


def test_a_network_that_takes_other_images_is_named():
    with pytest.raises(InputError, match="takes images of 3 channels"):
        predict(nn.Conv2d(3, 2, 1), IMAGES)
