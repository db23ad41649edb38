"""MONAI's ``FlexibleUNet`` with shortcuts that let the gradient through.

MONAI 1.6.1 builds the parameter-free shortcuts of ResNet-18 and ResNet-34 from ``out.data``. The
forward pass is right; the backward pass loses every path that runs through such a shortcut, so
gradients at enc1 … enc4 are wrong by 9 to 71 % and the encoder is trained on them.
"""

from functools import partial
from inspect import signature
from typing import Any

from monai.networks.nets import FlexibleUNet as MonaiFlexibleUNet
from monai.networks.nets.resnet import ResNetBlock
from torch import Tensor, nn


class Shortcut(nn.Module):
    """The parameter-free shortcut of He et al. 2016 (option A): stride, then zero channels.

    Args:
        channels: number of channels to come out.
        stride: every how manieth cell is kept, in each direction.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, …) -> (N, channels, … / stride)."""
        cells = (slice(None, None, self.stride),) * (x.ndim - 2)
        kept = x[(slice(None), slice(None), *cells)]
        return nn.functional.pad(kept, (0, 0) * (x.ndim - 2) + (0, self.channels - x.shape[1]))


class FlexibleUNet(MonaiFlexibleUNet):
    """A U-Net with a ResNet or EfficientNet encoder, all of whose gradients are derivatives.

    Forward values, parameters and their names equal those of MONAI's class of the same name, so
    weights can be exchanged. Its stages are the U-Net's of the paper's Figure 1. Arguments as in
    MONAI; the normalisation is BatchNorm unless said otherwise.
    """

    __signature__ = signature(MonaiFlexibleUNet)  # what it takes, for whoever asks

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for block in self.encoder.modules():
            if isinstance(block, ResNetBlock) and isinstance(block.downsample, partial):
                cut = block.downsample.keywords
                block.downsample = Shortcut(cut["planes"], cut["stride"])
