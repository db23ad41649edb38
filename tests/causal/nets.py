"""Small networks in float64 whose routes are known."""

import torch
from torch import nn

from segtrace.attribution.edges import Edge


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
