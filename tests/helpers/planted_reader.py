"""A network whose evidence is known by its weights: it reads bright and dark marks and no more."""

from pathlib import Path

import torch
from torch import Tensor, nn

from segtrace.checkpoint.loading import DESCRIPTION
from segtrace.planted.source import PlantedSource

STAGES = {"marks": "marks", "told": "told", "head": "head"}
BRIGHT, DARK = 0.68, 0.16


class Told(nn.Module):
    """(N, 2, H, W) -> the same class everywhere, (N, 1, H, W): bright less dark, summed."""

    def forward(self, marks: Tensor) -> Tensor:
        total = (marks[:, :1] - marks[:, 1:]).sum((2, 3), keepdim=True)
        return total.expand(-1, -1, *marks.shape[2:]).clone()


class Reader(nn.Module):
    """Finds the disc by its brightness and its class by all bright and dark pixels there are.

    Stage ``marks`` holds the class at the mark alone: it looks at single pixels. Stage ``told``
    holds it everywhere, so on the disc, and at the mark nothing that the disc would hear of.
    """

    def __init__(self, blind: bool = False) -> None:
        super().__init__()
        self.marks = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
        self.told = Told()
        self.head = nn.Identity()
        first = self.marks[0]
        with torch.no_grad():
            first.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
            first.bias.copy_(torch.tensor([-BRIGHT, DARK]))
        self.blind = blind

    def forward(self, x: Tensor) -> Tensor:
        smooth = nn.functional.avg_pool2d(x, 7, 1, 3, count_include_pad=False)
        disc = 40 * (smooth - 0.49) if not self.blind else torch.full_like(x, -1)
        told = self.told(self.marks(x))
        return self.head(torch.cat([told.abs(), disc + told, disc - told], 1))


def save_reader(path: Path, task: str, *, epoch: int = 1, **options: bool) -> Path:
    """A checkpoint as ``train.py experiment=planted`` writes it, of the network above."""
    source = PlantedSource(task, seed=0, cases=(4, 4, 1), slices=8)
    net = Reader(**options)
    description = {
        "network": {"_target_": "helpers.planted_reader.Reader", **options},
        "stages": STAGES,
        "organs": source.numbering,
        "source": {"name": "PlantedSource", "settings": source.settings()},
        "memory_format": "contiguous",
        "epoch": epoch,
    }
    weights = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({"state_dict": weights, DESCRIPTION: description}, path)
    return path
