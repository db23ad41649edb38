"""Networks as users write them, of every way to join; none is in a table."""

import torch
from torch import cat, nn
from torch.nn import functional as F

from helpers.nets import stirred


def double(entering, leaving, conv=nn.Conv2d, norm=nn.BatchNorm2d):
    return nn.Sequential(
        conv(entering, leaving, 3, padding=1), norm(leaving), nn.ReLU(inplace=True),
        conv(leaving, leaving, 3, padding=1), norm(leaving), nn.ReLU(inplace=True),
    )  # fmt: skip


class Up(nn.Module):
    """Milesial's: the lower tensor first, padded to the skip's size, the skip in front."""

    def __init__(self, entering, leaving):
        super().__init__()
        self.up = nn.ConvTranspose2d(entering, entering // 2, 2, 2)
        self.conv = double(entering // 2 + leaving, leaving)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        down, right = (x2.shape[k] - x1.shape[k] for k in (2, 3))
        x1 = F.pad(x1, [right // 2, right - right // 2, down // 2, down - down // 2])
        return self.conv(cat([x2, x1], 1))


class UNet(nn.Module):
    """Milesial's U-Net, whose class has the name of MONAI's."""

    def __init__(self, channels=3):
        super().__init__()
        self.inc = double(1, 4)
        self.down1, self.down2, self.down3 = (
            nn.Sequential(nn.MaxPool2d(2), double(k, 2 * k)) for k in (4, 8, 16)
        )
        self.up1, self.up2, self.up3 = (Up(2 * k, k) for k in (16, 8, 4))
        self.outc = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x = self.down3(x3)
        x = self.up1(x, x3)
        x = self.up2(x, x2)
        return self.outc(self.up3(x, x1))


class Residual(nn.Module):
    def __init__(self, entering, leaving, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(entering, leaving, 3, stride, 1)
        self.conv2 = nn.Conv2d(leaving, leaving, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(leaving), nn.BatchNorm2d(leaving)
        self.relu = nn.ReLU(inplace=True)  # runs twice
        self.short = nn.Conv2d(entering, leaving, 1, stride)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.short(x))


class ResUNet(nn.Module):
    """Strided residual blocks, and skips that are added."""

    def __init__(self, channels=3):
        super().__init__()
        self.stem = Residual(1, 4)
        self.layer1, self.layer2 = Residual(4, 8, 2), Residual(8, 16, 2)
        self.up1, self.up2 = nn.ConvTranspose2d(16, 8, 2, 2), nn.ConvTranspose2d(8, 4, 2, 2)
        self.dec1, self.dec2 = Residual(8, 8), Residual(4, 4)
        self.final = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        a = self.stem(x)
        b = self.layer1(a)
        c = self.layer2(b)
        d = self.dec1(self.up1(c) + b)
        return self.final(self.dec2(self.up2(d) + a))


class Gate(nn.Module):
    """Oktay's attention gate, at half the resolution of the skip."""

    def __init__(self, width):
        super().__init__()
        self.theta = nn.Conv2d(width, width, 2, 2)
        self.phi = nn.Conv2d(width, width, 2, 2)
        self.psi = nn.Conv2d(width, 1, 1)

    def forward(self, g, x):
        alpha = self.psi(F.relu(self.theta(x) + self.phi(g))).sigmoid()
        return x * F.interpolate(alpha, x.shape[2:])


class AttUNet(nn.Module):
    """Gated skips, joined behind the gate."""

    def __init__(self, channels=3):
        super().__init__()
        self.pool = nn.MaxPool2d(2)  # runs twice
        self.conv1, self.conv2, self.conv3 = double(1, 4), double(4, 8), double(8, 16)
        self.Up3 = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(16, 8, 3, padding=1))
        self.Up2 = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, padding=1))
        self.Att3, self.Att2 = Gate(8), Gate(4)
        self.Up_conv3, self.Up_conv2 = double(16, 8), double(8, 4)
        self.Conv_1x1 = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        x1 = self.conv1(x)
        x2 = self.conv2(self.pool(x1))
        x3 = self.conv3(self.pool(x2))
        d3 = self.Up3(x3)
        d3 = self.Up_conv3(cat((self.Att3(g=d3, x=x2), d3), 1))
        d2 = self.Up2(d3)
        d2 = self.Up_conv2(cat((self.Att2(g=d2, x=x1), d2), 1))
        return self.Conv_1x1(d2)


class Functional(nn.Module):
    """F.interpolate and torch.cat in forward."""

    def __init__(self, channels=3):
        super().__init__()
        self.e1, self.e2, self.e3 = double(1, 4), double(4, 6), double(6, 8)
        self.d2, self.d1 = double(14, 6), double(10, 4)
        self.out = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        a = self.e1(x)
        b = self.e2(F.max_pool2d(a, 2))
        c = self.e3(F.max_pool2d(b, 2))
        up = F.interpolate(c, scale_factor=2, mode="bilinear", align_corners=False)
        d = self.d2(cat((up, b), 1))
        up = F.interpolate(d, scale_factor=2, mode="bilinear", align_corners=False)
        return self.out(self.d1(cat((up, a), 1)))


class Listed(nn.Module):
    """Blocks in nn.ModuleList, in any number of dimensions."""

    def __init__(self, channels=3, dims=2, widths=(4, 6, 8, 10)):
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        norm = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims]
        back = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
        pairs = list(zip((1, *widths), widths, strict=False))
        self.downs = nn.ModuleList(double(a, b, conv, norm) for a, b in pairs)
        self.pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[dims](2)
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.ups = nn.ModuleList(back(a, b, 2, 2) for a, b in steps)
        self.decs = nn.ModuleList(double(2 * b, b, conv, norm) for _, b in steps)
        self.head = conv(widths[0], channels, 1)

    def forward(self, x):
        skips = []
        for down in self.downs:
            x = down(x if not skips else self.pool(x))
            skips.append(x)
        skips.pop()
        for up, dec in zip(self.ups, self.decs, strict=True):
            x = dec(cat([skips.pop(), up(x)], 1))
        return self.head(x)


class DeepLab(nn.Module):
    """No skips: atrous convolutions, a pooled branch of one cell, bilinear to the image's size."""

    def __init__(self, channels=3):
        super().__init__()
        self.layer0, self.layer1 = Residual(1, 4, 2), Residual(4, 8, 2)
        self.layer2, self.layer3 = Residual(8, 16, 2), Residual(16, 16)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 8, 1), nn.ReLU())
        self.atrous = nn.Conv2d(16, 8, 3, padding=2, dilation=2)
        self.classifier = nn.Sequential(nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, channels, 1))

    def forward(self, x):
        y = self.layer3(self.layer2(self.layer1(self.layer0(x))))
        pooled = self.pooled(y).expand(-1, -1, *y.shape[2:])
        y = self.classifier(cat((self.atrous(y), pooled), 1))
        return F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=False)


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.softmax, self.mlp = nn.Softmax(-1), nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        return x + self.mlp(self.softmax(q @ k.mT / 4) @ v)


class Transformer(nn.Module):
    """Convolutions, tokens with a class token at the bottleneck, a decoder with a skip."""

    def __init__(self, channels=3, cells=8):
        super().__init__()
        self.stem = double(1, 4)
        self.patch = nn.Conv2d(4, 8, 4, 4)
        self.cls = nn.Parameter(torch.zeros(1, 1, 8))
        self.place = nn.Parameter(torch.zeros(1, cells**2 + 1, 8))
        self.blocks = nn.ModuleList(Attention(8) for _ in range(2))
        self.up = nn.ConvTranspose2d(8, 4, 4, 4)
        self.dec = double(8, 4)
        self.head = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        skip = self.stem(x)
        grid = self.patch(skip)
        tokens = grid.flatten(2).mT
        tokens = cat((self.cls.expand(len(x), -1, -1), tokens), 1) + self.place
        for block in self.blocks:
            tokens = block(tokens)
        y = self.up(tokens[:, 1:].mT.reshape(grid.shape))
        return self.head(self.dec(cat((skip, y), 1)))


class Tokens(nn.Module):
    """Tokens alone, joined along their last axis."""

    def __init__(self, channels=3):
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, 4)
        self.first, self.last = Attention(8), Attention(8)
        self.merge, self.expand = nn.Linear(32, 16), nn.Linear(16, 32)
        self.deep, self.join = Attention(16), nn.Linear(16, 8)
        self.out = nn.Linear(8, channels)

    def forward(self, x):
        grid = self.patch(x)
        n, k, h, w = grid.shape
        fine = self.first(grid.flatten(2).mT)
        merged = fine.reshape(n, h // 2, 2, w // 2, 2, k).permute(0, 1, 3, 2, 4, 5)
        deep = self.deep(self.merge(merged.reshape(n, h * w // 4, 4 * k)))
        back = self.expand(deep).reshape(n, h // 2, w // 2, 2, 2, k).permute(0, 1, 3, 2, 4, 5)
        y = self.last(self.join(cat((back.reshape(n, h * w, k), fine), -1)))
        y = self.out(y).mT.reshape(n, -1, h, w)
        return F.interpolate(y, x.shape[2:])


def own(cls, **options):
    return stirred(lambda: cls(**options))
