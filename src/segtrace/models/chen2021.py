"""TransUNet (Chen et al. 2021): a ResNet, a transformer over its last map, a decoder with skips."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks.convolutions import Convolution
from monai.networks.blocks.mlp import MLPBlock
from monai.networks.blocks.selfattention import SABlock
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn
from torch.nn.functional import conv2d

from segtrace.errors import InputError

STRIDE = 16
"""Pixels a token."""
GROUPS = 32
"""Of channels that are normalised together; fewer where there are not two channels for each."""
EPS = 1e-6
"""Of the normalisations of the encoder."""


class TransUNet(nn.Module):
    """TransUNet with the hybrid encoder R50-ViT-B_16, which the paper's tables are of.

    A ResNet-50 (its first three blocks, pre-trained kind: standardised weights, group
    normalisation) makes the image 16 times smaller; every cell of its last map is a token, to which
    a learnt position is added; 12 layers of a vision transformer follow. The decoder enlarges the
    result four times, bilinearly, and takes the ResNet's features at strides 8, 4 and 2 in.

    It differs from the program that the authors publish: weights are drawn at random (theirs come
    from ImageNet, in three channels of the same slice); the ResNet's pooling is padded, as that of
    the backbone's own paper, so that no feature has to be filled up with zeros; the shortcuts of
    the ResNet are normalised in 32 groups as all else, not channel by channel, which would cancel
    averaged gradients.

    Args:
        in_channels: of the image.
        out_channels: of the logits.
        img_size: pixels along a side of the images, or along each: the table of positions is of
            that size.
        width: channels of the ResNet's first map; its blocks put out 4, 8 and 16 times as many.
        blocks: units of each block of the ResNet.
        hidden_size: channels of a token.
        mlp_dim: channels between the two linear maps of a layer.
        num_layers: of the transformer.
        num_heads: of its attention.
        dropout_rate: share of the tokens' values that is dropped, in training.
        decoder_channels: behind the transformer, and of the four decoder stages.

    Raises:
        InputError: a size that is no multiple of 16.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: int | Sequence[int] = 224,
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 9),
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_layers: int = 12,
        num_heads: int = 12,
        dropout_rate: float = 0.1,
        decoder_channels: Sequence[int] = (512, 256, 128, 64, 16),
    ) -> None:
        super().__init__()
        sides = ensure_tuple_rep(img_size, 2)
        if any(side % STRIDE or side < STRIDE for side in sides):
            nearest = max(1, round(sides[0] / STRIDE)) * STRIDE
            raise InputError(
                f"img_size={img_size}: TransUNet makes a token of {STRIDE} x {STRIDE} pixels; give "
                f"a multiple of {STRIDE}, as data.size={nearest}, which img_size follows"
            )
        widths = [width, 4 * width, 8 * width, 16 * width]
        self.root = nn.Sequential(_Standardised.normed(in_channels, width, 7, 2), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        steps = zip(pairwise(widths), blocks, (1, 2, 2), strict=True)
        self.body = nn.ModuleList(_block(*channels, *step) for channels, *step in steps)
        self.transformer = _Transformer(
            widths[-1],
            hidden_size,
            [side // STRIDE for side in sides],
            [_Layer(hidden_size, mlp_dim, num_heads, dropout_rate) for _ in range(num_layers)],
            dropout_rate,
        )
        self.bottleneck = _relu(hidden_size, decoder_channels[0])
        upwards = zip(pairwise(decoder_channels), (*widths[-2::-1], 0), strict=True)
        self.decoder = nn.ModuleList(_Up(below, skip, here) for (below, here), skip in upwards)
        self.head = nn.Conv2d(decoder_channels[-1], out_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        features = [self.root(image)]
        x = self.pool(features[0])
        for block in self.body:
            x = block(x)
            features.append(x)
        x = self.bottleneck(self.transformer(features.pop()))
        for stage in self.decoder:
            x = stage(x, features.pop() if features else None)
        logits: Tensor = self.head(x)
        return logits


class _Standardised(nn.Conv2d):
    """A convolution whose weights have mean 0 and variance 1 in every channel that leaves."""

    def forward(self, input: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        weight = (self.weight - mean) * (variance + 1e-5).rsqrt()
        return conv2d(input, weight, self.bias, self.stride, self.padding)

    @classmethod
    def normed(cls, entering: int, leaving: int, kernel: int, stride: int = 1) -> nn.Sequential:
        """One, and group normalisation behind it."""
        convolution = cls(entering, leaving, kernel, stride, kernel // 2, bias=False)
        groups = max(1, min(GROUPS, leaving // 2))
        return nn.Sequential(convolution, nn.GroupNorm(groups, leaving, EPS))


def _block(entering: int, leaving: int, units: int, stride: int) -> nn.Sequential:
    """Units of a ResNet, the first of which makes the map smaller."""
    first = _Unit(entering, leaving, stride)
    return nn.Sequential(first, *[_Unit(leaving, leaving) for _ in range(units - 1)])


class _Unit(nn.Module):
    """Three convolutions beside a shortcut."""

    def __init__(self, entering: int, leaving: int, stride: int = 1) -> None:
        super().__init__()
        normed, inner = _Standardised.normed, leaving // 4
        self.residual = nn.Sequential(
            *[normed(entering, inner, 1), nn.ReLU()],
            *[normed(inner, inner, 3, stride), nn.ReLU()],
            normed(inner, leaving, 1),
        )
        changes = (entering, 1) != (leaving, stride)
        self.shortcut = normed(entering, leaving, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = (self.shortcut(x) + self.residual(x)).relu()
        return found


class _Transformer(nn.Module):
    """(N, K, h, w) -> (N, hidden, h, w): every cell a token, which looks at all others."""

    def __init__(
        self,
        entering: int,
        hidden: int,
        grid: Sequence[int],
        layers: Sequence[nn.Module],
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(entering, hidden, 1)
        self.positions = nn.Parameter(torch.empty(1, hidden, *grid))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(hidden, EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.embedding(x) + self.positions)
        tokens = self.norm(self.layers(x.flatten(2).mT))
        found: Tensor = tokens.mT.unflatten(2, x.shape[2:])
        return found


class _Layer(nn.Module):
    """A pre-norm layer of a vision transformer.

    MONAI's own holds a norm that has no part in the logits, for which DDP would wait, and drops out
    attention too.
    """

    def __init__(self, hidden: int, mlp: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(hidden, EPS), nn.LayerNorm(hidden, EPS)
        self.attention = SABlock(hidden, heads, qkv_bias=True)
        self.mlp = MLPBlock(hidden, mlp, dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        found: Tensor = tokens + self.mlp(self.norm2(tokens))
        return found


class _Up(nn.Module):
    """(below, skip) -> a decoder stage, twice as large as what lies below."""

    def __init__(self, below: int, skip: int, leaving: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.convolutions = nn.Sequential(_relu(below + skip, leaving), _relu(leaving, leaving))

    def forward(self, below: Tensor, skip: Tensor | None) -> Tensor:
        x = self.up(below)
        found: Tensor = self.convolutions(x if skip is None else torch.cat([x, skip], 1))
        return found


def _relu(entering: int, leaving: int) -> nn.Module:
    """A convolution with batch normalisation and ReLU."""
    return Convolution(2, entering, leaving, act="relu", norm="batch", bias=False)
