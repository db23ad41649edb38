"""The U-Net as published: its sizes, and its layers one after another by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.nets import images, stirred
from segtrace.models.ronneberger2015 import RonnebergerUNet


def test_it_has_the_weights_of_the_paper_s_figure():
    with torch.device("meta"):
        net = RonnebergerUNet(1, 2, norm="")
    widths, count, entering = (64, 128, 256, 512, 1024), 0, 1
    for width in widths:
        count += 9 * entering * width + width + 9 * width * width + width
        entering = width
    for width in widths[-2::-1]:
        count += 4 * 2 * width * width + width  # the up-convolution halves the channels
        count += 9 * 2 * width * width + width + 9 * width * width + width
    assert sum(p.numel() for p in net.parameters()) == count + 2 * 64 + 2 == 31_030_658
    kinds = [type(module) for module in net.modules()]
    assert sum(kind is nn.Conv2d for kind in kinds) + kinds.count(nn.ConvTranspose2d) == 23


@pytest.mark.parametrize("norm", ["", "batch"])
def test_its_layers_follow_one_another_as_in_the_figure(norm):
    net, x = stirred(lambda: RonnebergerUNet(1, 2, (4, 6, 8), norm)), images(1, 16)

    def twice(x, stage):
        layers = [m for m in net.get_submodule(stage).modules() if not list(m.children())]
        convolutions = [m for m in layers if isinstance(m, nn.Conv2d)]
        norms = [m for m in layers if isinstance(m, nn.BatchNorm2d)] or [nn.Identity()] * 2
        for convolution, normalise in zip(convolutions, norms, strict=True):
            x = functional.conv2d(x, convolution.weight, convolution.bias, padding=1)
            x = normalise(x).clamp(min=0)
        return x

    fine = twice(x, "encoder.0")
    middle = twice(functional.max_pool2d(fine, 2), "encoder.1")
    coarse = twice(functional.max_pool2d(middle, 2), "encoder.2")
    for i, skip in enumerate((middle, fine)):
        up = net.decoder[i].up
        larger = functional.conv_transpose2d(coarse, up.weight, up.bias, stride=2)
        coarse = twice(torch.cat([skip, larger], 1), f"decoder.{i}")
    by_hand = functional.conv2d(coarse, net.head.weight, net.head.bias)
    torch.testing.assert_close(net(x), by_hand)


def test_the_end_of_the_contracting_path_alone_is_dropped_out():
    net = RonnebergerUNet(1, 2, (4, 6, 8, 8))
    dropped = [name for name, module in net.named_modules() if isinstance(module, nn.Dropout)]
    assert [name.split(".")[:2] for name in dropped] == [["encoder", "2"], ["encoder", "3"]]
