"""Ronneberger's U-Net as published, small: nothing is padded, skips are cropped to the up path."""

import torch
from torch import nn

WIDTHS = (4, 6, 6, 8)


def block(entering, leaving, padding=0):
    return nn.Sequential(
        nn.Conv2d(entering, leaving, 3, padding=padding),
        nn.ReLU(),
        nn.Conv2d(leaving, leaving, 3, padding=padding),
        nn.ReLU(),
    )


def cropped(skip, up):
    """The middle of the skip, of the up path's size."""
    top, left = ((s - u) // 2 for s, u in zip(skip.shape[2:], up.shape[2:], strict=True))
    return skip[..., top : top + up.shape[2], left : left + up.shape[3]]


class UNet(nn.Module):
    """With ``padding=1`` its padded twin, whose logits have the image's size."""

    def __init__(self, padding=0, channels=3, widths=WIDTHS):
        super().__init__()
        pairs = list(zip((1, *widths), widths, strict=False))
        self.down = nn.ModuleList(block(a, b, padding) for a, b in pairs)
        self.pool = nn.ModuleList(nn.MaxPool2d(2) for _ in widths[1:])
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.upconv = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.up = nn.ModuleList(block(2 * b, b, padding) for _, b in pairs)
        self.last = nn.Conv2d(widths[0], channels, 1)

    def forward(self, x):
        features = [self.down[0](x)]
        for pool, down in zip(self.pool, self.down[1:], strict=True):
            features.append(down(pool(features[-1])))
        x = features.pop()
        for upconv, up in zip(self.upconv, self.up, strict=True):
            raised = upconv(x)
            x = up(torch.cat([cropped(features.pop(), raised), raised], 1))
        return self.last(x)


STAGES = {
    **{f"enc{i + 1}": f"down.{i}" for i in range(4)},
    **{f"dec{i + 1}": f"up.{i}" for i in range(3)},
    "head": "last",
}
EDGES = {
    f"{way}_{i + 1}": place
    for i in range(3)
    for way, place in (
        ("skip", {"stage": f"dec{i + 1}", "module": f"up.{i}", "argument": 0, "joined": "cat",
                  "beside": f"upconv.{i}", "source": f"enc{3 - i}"}),
        ("up", {"stage": f"dec{i + 1}", "module": f"upconv.{i}"}),
    )
}  # fmt: skip
