"""Small networks in float64, evaluation mode, with statistics that are not the trivial ones."""

import torch
from monai.networks.nets import BasicUNet
from torch import nn

from segtrace.models.flexible_unet import FlexibleUNet


def stirred(build, seed=0):
    """Weights that keep a signal alive, BatchNorm statistics off 0 and 1; eval, float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build()
        for module in net.modules():
            if isinstance(module, nn.modules.conv._ConvNd):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.2)
    return net.double().eval()


def flexible_unet(channels=4):
    small = (16, 12, 8, 8, 4)
    return stirred(
        lambda: FlexibleUNet(1, channels, "resnet18", decoder_channels=small, spatial_dims=2)
    )


def basic_unet(channels=4, norm="batch"):
    return stirred(lambda: BasicUNet(2, 1, channels, features=(4, 4, 6, 8, 8, 4), norm=norm))


def plain(channels=3):
    """Convolutions alone: quick, for what does not depend on the architecture."""
    return stirred(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 5, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(5, channels, 3, padding=1),
        )
    )


PLAIN_STAGES = {"enc1": "1", "enc2": "3", "head": "5"}


def images(n=2, size=64, channels=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, size, size, generator=generator, dtype=torch.float64)


def labels(n=2, size=64, classes=4, seed=2):
    """Blocks of labels: every class lies somewhere, the last one not in the last slice."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, classes, (n, 1, 4, 4), generator=generator).double()
    truth = nn.functional.interpolate(coarse, size=(size, size))[:, 0].long()
    truth[:, :2, :2] = 1
    truth[-1][truth[-1] == classes - 1] = 0
    return truth


class Mixing(nn.Module):
    """Slices that see each other, as with attention over the slices of a volume."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        seen = self.first(x)
        return self.last((seen + seen.mean(0)).tanh())
