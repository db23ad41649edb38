"""A small twin of nnU-Net's PlainConvUNet: its module names, its order of joining, its outputs."""

import torch
from torch import nn

from helpers.nets import stirred

CONV, UP = {2: nn.Conv2d, 3: nn.Conv3d}, {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


def block(entering, leaving, stride=1, axes=2):
    return nn.Sequential(
        CONV[axes](entering, leaving, 3, stride, padding=1),
        NORM[axes](leaving, affine=True),
        nn.LeakyReLU(inplace=True),
    )


class Encoder(nn.Module):
    def __init__(self, widths, axes=2):
        super().__init__()
        pairs = zip((1, *widths), widths, strict=False)
        self.stages = nn.Sequential(
            *(block(before, after, 1 + (k > 0), axes) for k, (before, after) in enumerate(pairs))
        )

    def forward(self, x):
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        return skips


class Decoder(nn.Module):
    def __init__(self, encoder, widths, channels, axes=2):
        super().__init__()
        self.encoder = encoder  # so every module of the encoder can be reached by two paths
        below, here = widths[:0:-1], widths[-2::-1]
        pairs = list(zip(below, here, strict=True))
        # Both halves have as many channels: nothing but their values tells them apart.
        self.transpconvs = nn.ModuleList(UP[axes](b, h, 2, 2) for b, h in pairs)
        self.stages = nn.ModuleList(block(2 * h, h, axes=axes) for h in here)
        self.seg_layers = nn.ModuleList(CONV[axes](h, channels, 1) for h in here)

    def forward(self, skips):
        x, outputs = skips[-1], []
        for up, stage, head, skip in zip(
            self.transpconvs, self.stages, self.seg_layers, skips[-2::-1], strict=True
        ):
            x = stage(torch.cat((up(x), skip), 1))
            outputs.append(head(x))
        return outputs[::-1]  # deep supervision: the first is of the image's size


class PlainConvUNet(nn.Module):
    def __init__(self, widths=(4, 6, 6, 8), channels=3, axes=2):
        super().__init__()
        self.encoder = Encoder(widths, axes)
        self.decoder = Decoder(self.encoder, widths, channels, axes)

    def forward(self, x):
        return self.decoder(self.encoder(x))


STAGES = {
    **{f"enc{i}": f"encoder.stages.{i - 1}" for i in range(1, 5)},
    **{f"dec{i}": f"decoder.stages.{i - 1}" for i in range(1, 4)},
    "head": "decoder.seg_layers.2",
}


def skip(i, **changed):
    place = {
        "stage": f"dec{i}",
        "module": f"decoder.stages.{i - 1}",
        "argument": 0,
        "joined": "cat",
        "beside": f"decoder.transpconvs.{i - 1}",
        "source": f"enc{4 - i}",
    }
    return place | changed


def up(i):
    below = f"dec{i - 1}" if i > 1 else "enc4"
    return {"stage": f"dec{i}", "module": f"decoder.transpconvs.{i - 1}", "source": below}


EDGES = {f"{way.__name__}_{i}": way(i) for i in (1, 2, 3) for way in (skip, up)}


def first(outputs):
    return outputs[0]


def plain_conv_unet():
    return stirred(PlainConvUNet)
