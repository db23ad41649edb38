"""The U-Net of Ronneberger, Fischer and Brox 2015."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.layers.utils import get_norm_layer
from torch import Tensor, nn

FEATURES = (64, 128, 256, 512, 1024)


class RonnebergerUNet(nn.Module):
    """The U-Net as published, for images of any number of channels.

    On the way down two 3 x 3 convolutions with ReLU at every level, and 2 x 2 max pooling between
    levels; on the way up a 2 x 2 up-convolution, concatenation with the encoder's feature of that
    level, and two convolutions again; last a 1 x 1 convolution. Weights are drawn from a normal
    distribution of variance 2 over the values that enter (section 3).

    It differs from the paper in that its convolutions are padded: logits are as large as the image,
    and no feature is cropped (the paper's lose 92 pixels at each side). What the paper leaves open
    or out are arguments: normalisation, and how much is dropped out.

    Args:
        in_channels: of the image.
        out_channels: of the logits.
        features: channels of every level, from the finest down.
        norm: behind every convolution, as MONAI names it; ``""`` for none, as published.
        dropout: share of the values that is dropped at the two lowest levels, the end of the
            contracting path; the paper says where, not how much.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = FEATURES,
        norm: str | tuple[str, dict[str, object]] = "batch",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        levels = [_twice(in_channels, features[0], norm)]
        for i, (above, here) in enumerate(pairwise(features), 1):
            dropped = dropout if i >= len(features) - 2 else 0.0
            levels.append(_twice(above, here, norm, first=nn.MaxPool2d(2), dropout=dropped))
        self.encoder = nn.ModuleList(levels)
        upwards = pairwise(reversed(features))
        self.decoder = nn.ModuleList(_Up(below, here, norm) for below, here in upwards)
        self.head = nn.Conv2d(features[0], out_channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, image: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W); sides that halve at every level."""
        features = [image]
        for level in self.encoder:
            features.append(level(features[-1]))
        x = features.pop()
        for stage in self.decoder:
            x = stage(x, features.pop())
        logits: Tensor = self.head(x)
        return logits


class _Up(nn.Module):
    """(below, skip) -> a level of the expanding path."""

    def __init__(self, below: int, here: int, norm: str | tuple[str, dict[str, object]]) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(below, here, 2, 2)
        self.convolutions = _twice(2 * here, here, norm)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        found: Tensor = self.convolutions(torch.cat([skip, self.up(below)], 1))
        return found


def _twice(
    entering: int,
    leaving: int,
    norm: str | tuple[str, dict[str, object]],
    first: nn.Module | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Two convolutions with ReLU."""
    layers = [] if first is None else [first]
    for channels in (entering, leaving):
        convolution = nn.Conv2d(channels, leaving, 3, padding=1)
        layers += [convolution, get_norm_layer(norm, 2, leaving), nn.ReLU()]
    return nn.Sequential(*layers, *[nn.Dropout(dropout)] * (dropout > 0))
