"""The head is found by what it gives out, in networks of the table and of the user."""

import pytest
import torch
from monai.networks import nets as monai
from torch import nn

from helpers import nets
from helpers.known_networks import NARROW, dyn_unet
from segtrace import InputError
from segtrace.explainers.wan2020.head import head_of
from segtrace.models.flexible_unet import FlexibleUNet

X = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@torch.no_grad()
@pytest.mark.parametrize(
    ("build", "path"),
    [
        (lambda: FlexibleUNet(1, 3, "resnet10", decoder_channels=NARROW, spatial_dims=2),
         "segmentation_head.0"),
        (lambda: monai.BasicUNet(2, 1, 3, features=(4, 4, 4, 4, 4, 4), norm="batch"), "final_conv"),
        (lambda: monai.AttentionUnet(2, 1, 3, (4, 4, 4), (2, 2)), "model.2.conv"),
        (lambda: monai.SegResNet(2, 8, 1, 3, blocks_down=(1, 1), blocks_up=(1,)),
         "conv_final.2.conv"),
        (lambda: dyn_unet(2, deep_supervision=True), "output_block.conv.conv"),
        (lambda: monai.UNet(2, 1, 3, (4, 4, 4), (2, 2)), "model.2.conv"),
        (lambda: nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 3, padding=1)), "1"),
        (lambda: nn.Sequential(nn.Conv2d(1, 3, 2, 2), nn.Upsample(scale_factor=2)), "0"),
    ],
)  # fmt: skip
def test_the_head_is_found(build, path):
    net = nets.stirred(build)
    head = head_of(net, X)
    module = net.get_submodule(head.path)
    assert head.path == path
    assert head.alone
    kernels = module.weight.movedim(int(module.transposed), 0)
    assert torch.equal(head.rows, torch.stack([one.flatten() for one in kernels]))


def changed():
    return nn.Sequential(nn.Conv2d(1, 3, 1), nn.Tanh()).double()


@torch.no_grad()
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (changed, r"none gives these 3 logits out, with as many rows: 0; .*segnbdt\.head=PATH"),
        (lambda: monai.UNet(2, 1, 3, (4, 4, 4), (2, 2), num_res_units=1).double(),
         r"none gives these 3 logits out"),
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.PixelShuffle(1), nn.Softmax(1)).double(),
         r"none gives these 2 logits out, with as many rows: 0;"),
    ],
)  # fmt: skip
def test_where_there_is_none_it_is_one_line(build, message):
    with pytest.raises(InputError, match=message) as error:
        head_of(build().eval(), X)
    assert "\n" not in str(error.value)


@torch.no_grad()
def test_one_may_be_named():
    net = changed()
    head = head_of(net, X, "0")
    assert (head.path, head.alone) == ("0", False)
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 3, 1)).double()
    with pytest.raises(InputError, match="head=0 gives no row a channel of the 3 logits"):
        head_of(net, X, "0")
    with pytest.raises(InputError, match="no convolution '2'; this network has 0, 1"):
        head_of(net, X, "2")
