"""Small networks in float64 whose routes are known."""

import torch
from torch import nn

from segtrace.network.edges import Edge


class TwoPaths(nn.Module):
    """logits = left(x) + right(x), and a branch that leads nowhere."""

    def __init__(self, left=2.0, right=3.0):
        super().__init__()
        self.left = nn.Conv2d(1, 2, 1, bias=False)
        self.right = nn.Conv2d(1, 2, 1, bias=False)
        self.aside = nn.Conv2d(1, 2, 1, bias=False)
        self.join = nn.Identity()
        with torch.no_grad():
            for conv, weight in ((self.left, left), (self.right, right), (self.aside, 1.0)):
                conv.weight.copy_(torch.tensor([0.0, weight]).view(2, 1, 1, 1))

    def forward(self, x):
        self.aside(x)
        return self.join(self.left(x) + self.right(x))


TWO_PATHS = {"enc1": "left", "enc2": "right", "enc3": "aside", "head": "join"}


class Join(nn.Module):
    """A decoder stage: logit = skip_weight * skip + up_weight * up, both from the image."""

    def __init__(self, skip_weight, up_weight):
        super().__init__()
        self.weights = (skip_weight, up_weight)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x, x_e):
        return self.weights[0] * x_e + self.weights[1] * self.upsample(x)


class Routed(nn.Module):
    """A U of one level; the weights of its only decoder stage say which way the signal goes."""

    def __init__(self, skip_weight=1.0, up_weight=0.0):
        super().__init__()
        self.shallow = nn.Identity()
        self.deep = nn.AvgPool2d(2)
        self.dec = Join(skip_weight, up_weight)
        self.head = nn.Conv2d(1, 2, 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1))
            self.head.bias.copy_(torch.tensor([0.5, -0.5]))
        self.double()

    def forward(self, x):
        shallow = self.shallow(x)
        return self.head(self.dec(self.deep(shallow), shallow))


ROUTED_STAGES = {"enc1": "shallow", "enc2": "deep", "dec1": "dec", "head": "head"}
ROUTED_EDGES = {
    "skip_1": {"stage": "dec1", "module": "dec", "argument": 1},
    "up_1": {"stage": "dec1", "module": "dec.upsample"},
}
ROUTED_EDGE = {name: Edge(name, **place) for name, place in ROUTED_EDGES.items()}


def blob(n=3, size=8):
    """Images 0 with a square of 1 (the organ), at another place in every slice; and the labels."""
    image = torch.zeros(n, 1, size, size, dtype=torch.float64)
    for k in range(n):
        row, column = 2 * (k % 3), 2 * (k % 2) + 2
        image[k, :, row : row + 2, column : column + 2] = 1
    return image, image[:, 0].long()


class Dimensional(nn.Module):
    """A U of one level on lines, slices or volumes; planes of a volume are not pooled."""

    def __init__(self, dims, channels=3):
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
        pool = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[dims]
        stride = (1, 2, 2) if dims == 3 else 2
        with torch.random.fork_rng():
            torch.manual_seed(dims)
            self.enc = nn.Sequential(conv(1, 3, 3, padding=1), nn.ReLU())
            self.low = nn.Sequential(pool(stride), conv(3, 3, 3, padding=1), nn.ReLU())
            self.up = nn.Upsample(scale_factor=(1.0, 2.0, 2.0) if dims == 3 else 2.0)
            self.dec = nn.Sequential(conv(6, 4, 3, padding=1), nn.ReLU())
            self.head = conv(4, channels, 1)
        self.double().eval()

    def forward(self, x):
        skip = self.enc(x)
        return self.head(self.dec(torch.cat((self.up(self.low(skip)), skip), 1)))


DIMENSIONAL_STAGES = {"enc1": "enc", "enc2": "low", "dec1": "dec", "head": "head"}
DIMENSIONAL_EDGES = {
    "skip_1": {
        "stage": "dec1", "module": "dec", "argument": 0, "joined": "cat",
        "beside": "up", "source": "enc1",
    },
    "up_1": {"stage": "dec1", "module": "up", "source": "enc2"},
}  # fmt: skip
DIMENSIONAL = {1: (3, 12), 2: (4, 8, 12), 3: (2, 2, 8, 12)}
"""Axes of the image -> slices and sides; as many volumes as planes."""
BOTH = {"a": 1, "b": 2}


def dimensional(dims):
    """A network, its sites, images and truth; the second organ is not in the last slice."""
    count, *sides = DIMENSIONAL[dims]
    generator = torch.Generator().manual_seed(7)
    x = torch.rand(count, 1, *sides, generator=generator, dtype=torch.float64)
    net = Dimensional(dims)
    with torch.no_grad():
        net.head.bias -= net(x).transpose(0, 1).flatten(1).median(1).values  # no class wins always
        truth = net(x + 0.2 * torch.rand(x.shape, generator=generator)).max(1).indices
    truth[:, ..., :2], truth[:, ..., 2:4] = 1, 2
    truth[-1][truth[-1] == 2] = 0
    return net, x, truth


def dice_by_hand(logits, truth, channel):
    """Of one slice or volume (C, *image), pixel by pixel."""
    counts = [0, 0, 0]
    for found, true in zip(logits.argmax(0).flatten(), truth.flatten(), strict=True):
        counts[0] += int(found == channel and true == channel)
        counts[1] += int(found == channel)
        counts[2] += int(true == channel)
    return 2 * counts[0] / (counts[1] + counts[2]) if counts[2] else float("nan")
