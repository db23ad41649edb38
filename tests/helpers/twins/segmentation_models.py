"""Small twins of networks of segmentation-models-pytorch: their paths, arguments and joints."""

import torch
from torch import nn
from torch.nn import functional as F

from helpers.twins.naming import named

WIDTHS = (4, 4, 6, 6, 8)
DECODERS = "segmentation_models_pytorch.decoders"


def conv(entering, leaving, stride=1, size=3):
    return nn.Sequential(
        nn.Conv2d(entering, leaving, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(leaving),
        nn.ReLU(inplace=True),
    )


class ResNetEncoder(nn.Module):
    """Five features, of which the first is an activation by itself; and before them the image."""

    def __init__(self, channels=1, widths=WIDTHS):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 7, 2, padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        for i in range(1, 5):
            self.add_module(f"layer{i}", conv(widths[i - 1], widths[i], 1 + (i > 1)))

    def forward(self, x):
        features = [x, self.relu(self.bn1(self.conv1(x)))]
        features.append(self.layer1(self.maxpool(features[1])))
        for layer in (self.layer2, self.layer3, self.layer4):
            features.append(layer(features[-1]))
        return features


class UnetBlock(nn.Module):
    def __init__(self, below, skip, leaving):
        super().__init__()
        self.conv1, self.conv2 = conv(below + skip, leaving), conv(leaving, leaving)

    def forward(self, feature_map, target_height, target_width, skip_connection=None):
        joined = F.interpolate(feature_map, size=(target_height, target_width))
        if skip_connection is not None:
            joined = torch.cat([joined, skip_connection], 1)
        return self.conv2(self.conv1(joined))


class UnetDecoder(nn.Module):
    def __init__(self, widths=WIDTHS):
        super().__init__()
        self.center = nn.Identity()
        skips = (*widths[-2::-1], 0)
        below = widths[:0:-1] + widths[:1]
        self.blocks = nn.ModuleList(
            UnetBlock(b, s, s or 4) for b, s in zip(below, skips, strict=True)
        )

    def forward(self, features):
        sides = [feature.shape[2:] for feature in features[-2::-1]]
        x, skips = self.center(features[-1]), [*features[-2:0:-1], None]
        for block, side, skip in zip(self.blocks, sides, skips, strict=True):
            x = block(x, *side, skip_connection=skip)
        return x


class Model(nn.Module):
    def __init__(self, decoder, width, channels=3, upsampling=1):
        super().__init__()
        self.encoder, self.decoder = ResNetEncoder(), decoder
        resized = nn.Upsample(scale_factor=upsampling) if upsampling > 1 else nn.Identity()
        head = nn.Conv2d(width, channels, 3, padding=1)
        self.segmentation_head = nn.Sequential(head, resized, nn.Identity())

    def forward(self, x):
        return self.segmentation_head(self.decoder(self.encoder(x)))


@named(f"{DECODERS}.unet.model.Unet")
class Unet(Model):
    def __init__(self):
        super().__init__(UnetDecoder(), 4)


class NestedBlock(nn.Module):
    def __init__(self, below, skip, leaving):
        super().__init__()
        self.conv1 = conv(below + skip, leaving)

    def forward(self, x, skip=None):
        x = F.interpolate(x, scale_factor=2.0)
        return self.conv1(x if skip is None else torch.cat([x, skip], 1))


class NestedDecoder(nn.Module):
    """``x_a_b``: the block at level b, a steps from the diagonal, on which the encoder is met."""

    def __init__(self, widths=WIDTHS):
        super().__init__()
        features = widths[::-1]
        self.depth = len(widths) - 1
        self.blocks = nn.ModuleDict()
        for level in range(self.depth):
            skip = features[level + 1]
            for a in range(level + 1):
                below = features[level]
                self.blocks[f"x_{a}_{level}"] = NestedBlock(below, skip * (level + 1 - a), skip)
        self.blocks[f"x_0_{self.depth}"] = NestedBlock(widths[0], 0, 4)

    def forward(self, features):
        features, found = features[:0:-1], {}
        for level in range(self.depth):
            for a in range(level, -1, -1):
                beside = [found[b, level] for b in range(a + 1, level + 1)]
                skip = torch.cat([*beside, features[level + 1]], 1)
                below = features[level] if a == level else found[a, level - 1]
                found[a, level] = self.blocks[f"x_{a}_{level}"](below, skip)
        return self.blocks[f"x_0_{self.depth}"](found[0, self.depth - 1])


@named(f"{DECODERS}.unetplusplus.model.UnetPlusPlus")
class UnetPlusPlus(Model):
    def __init__(self):
        super().__init__(NestedDecoder(), 4)


class DeepLabV3PlusDecoder(nn.Module):
    def __init__(self, widths=WIDTHS, width=6):
        super().__init__()
        self.aspp = nn.Sequential(conv(widths[4], width), conv(width, width))
        self.up = nn.Upsample(scale_factor=8, mode="bilinear", align_corners=True)
        self.block1, self.block2 = conv(widths[1], 4, size=1), conv(width + 4, width)

    def forward(self, features):
        up = self.up(self.aspp(features[-1]))
        return self.block2(torch.cat([up, self.block1(features[2])], 1))


@named(f"{DECODERS}.deeplabv3.model.DeepLabV3Plus")
class DeepLabV3Plus(Model):
    def __init__(self):
        super().__init__(DeepLabV3PlusDecoder(), 6, upsampling=4)


class FPNBlock(nn.Module):
    def __init__(self, width, skip):
        super().__init__()
        self.skip_conv = nn.Conv2d(skip, width, 1)

    def forward(self, x, skip):
        return F.interpolate(x, scale_factor=2.0) + self.skip_conv(skip)


class Merge(nn.Module):
    def forward(self, x):
        return torch.stack(x).sum(0)


class FPNDecoder(nn.Module):
    def __init__(self, widths=WIDTHS, width=6):
        super().__init__()
        self.p5 = nn.Conv2d(widths[4], width, 1)
        for i in (4, 3, 2):
            self.add_module(f"p{i}", FPNBlock(width, widths[i - 1]))
        self.seg_blocks = nn.ModuleList(
            nn.Sequential(conv(width, width), nn.Upsample(scale_factor=2**i)) for i in (3, 2, 1, 0)
        )
        self.merge, self.dropout = Merge(), nn.Dropout2d(0.2, inplace=True)

    def forward(self, features):
        levels = [self.p5(features[5])]
        for i in (4, 3, 2):
            levels.append(self.get_submodule(f"p{i}")(levels[-1], features[i]))
        merged = self.merge([block(x) for block, x in zip(self.seg_blocks, levels, strict=True)])
        return self.dropout(merged)


@named(f"{DECODERS}.fpn.model.FPN")
class FPN(Model):
    def __init__(self):
        super().__init__(FPNDecoder(), 6, upsampling=4)
