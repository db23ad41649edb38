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
