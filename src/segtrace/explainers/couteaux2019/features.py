"""What an organ's region is like: its size, brightness, shape and place, one number each."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import pi

import torch
from torch import Tensor
from torch.nn.functional import pad

from segtrace.dice import dice

NAMES = ("area", "dice", "mean", "sd", "compactness", "elongation", "shift")
TURNS: Mapping[int, tuple[float, Mapping[int, float]]] = {
    2: (pi / 2, {1: 1 / 4, 2: 1 / 4}),
    3: (2.0, {1: 0.0915558, 2: 0.0739612, 3: 0.0703913}),
}
"""Axes of the image -> Cauchy's factor, and the weight of a direction by how many axes it goes
along: Crofton's formula of 4 directions, and of 13 (Ohser and Mücklich 2000)."""


@dataclass(frozen=True)
class Ruler:
    """In what lengths and values are told.

    Attributes:
        spacing: (N, axes) of a pixel along each axis; 1 where millimetres are not known.
        millimetres: whether they are.
        window: what the network's input 0 and 1 stand for.
        hounsfield: whether these are HU; else (0, 1).
    """

    spacing: Tensor
    millimetres: bool
    window: tuple[float, float]
    hounsfield: bool

    @classmethod
    def of(
        cls, spacing: Tensor, axes: int, window: tuple[float, float] | None, *, hounsfield: bool
    ) -> "Ruler":
        """Millimetres where all are known, HU where the data and the window say them."""
        known = spacing.shape[-1] == axes and bool(spacing.isfinite().all())
        lengths = spacing.double() if known else torch.ones(len(spacing), axes).double()
        told = hounsfield and window is not None
        return cls(lengths, known, window if told and window else (0.0, 1.0), told)

    @property
    def width(self) -> float:
        """How much 1 of the network's input is."""
        return self.window[1] - self.window[0]

    @property
    def value(self) -> str:
        """Unit of values."""
        return "HU" if self.hounsfield else "of the input"

    @property
    def length(self) -> str:
        """Unit of lengths."""
        return "mm" if self.millimetres else "px"

    @property
    def size(self) -> str:
        """Unit of an area, or of a volume."""
        if self.spacing.shape[1] == 3:
            return "mm³" if self.millimetres else "voxels"
        return "mm²" if self.millimetres else "px"


@dataclass(frozen=True)
class Region:
    """Masks with all that is compared with them later.

    Attributes:
        mask: (n, *image) bool.
        middle: (n, axes) centre, as lengths from that of the image; NaN of an empty mask.
        numbers: name -> (n,), see :func:`of_regions`.
    """

    mask: Tensor
    middle: Tensor
    numbers: Mapping[str, Tensor]


def of_regions(
    mask: Tensor, value: Tensor, ruler: Ruler, which: slice, start: Region | None = None
) -> Region:
    """Numbers of regions, NaN of an empty one.

    ``area`` (in 3-D the volume); ``dice`` to the start; ``mean`` and ``sd`` of the values;
    ``compactness``, 4πA/P², in 3-D the sphericity π^⅓(6V)^⅔/S (1 of a ball, which few pixels
    exceed; P and S by Crofton's formula); ``elongation``, the longest over the shortest axis of the
    ellipse with the same second moments (of squares, where scikit-image takes pixels as points);
    ``shift`` of the centre from that of the start.

    Args:
        mask: (n, *image) bool.
        value: (n, *image) of the network's input.
        ruler: units.
        which: of the ruler's slices these are.
        start: the same slices at step 0; ``None`` for this being it.
    """
    spacing = ruler.spacing[which].to(mask.device)
    cells, values = mask.flatten(1).double(), value.flatten(1).double()
    count = cells.sum(1)
    none = count == 0
    area = count * spacing.prod(1)
    mean = (cells * values).sum(1) / count
    spread = (cells * (values - mean[:, None]).square()).sum(1) / count
    middle, elongation = _moments(cells, count, mask.shape[1:], spacing)
    boundary = boundary_of(mask, spacing)
    first = middle if start is None else start.middle
    before = mask if start is None else start.mask
    both = (mask & before).flatten(1).sum(1)
    low, _ = ruler.window
    numbers = {
        "area": area,
        "dice": dice(both, mask.flatten(1).sum(1), before.flatten(1).sum(1)).double(),
        "mean": low + ruler.width * mean,
        "sd": ruler.width * spread.sqrt(),
        "compactness": _compactness(area, boundary, spacing.shape[1]),
        "elongation": elongation,
        "shift": (middle - first).square().sum(1).sqrt(),
    }
    empty = {name for name in NAMES if name not in ("area", "dice")}
    return Region(mask, middle, {
        name: one.masked_fill(none, torch.nan) if name in empty else one
        for name, one in numbers.items()
    })  # fmt: skip


def boundary_of(mask: Tensor, spacing: Tensor) -> Tensor:
    """(n,) perimeter of masks (n, H, W), or surface of (n, D, H, W), by Crofton's formula.

    Lines along every direction to a neighbour are cut by the boundary so many times; weights are
    those of square pixels.
    """
    axes = mask.ndim - 1
    factor, weights = TURNS[axes]
    framed = pad(mask, [1, 1] * axes)
    total = torch.zeros(len(mask), dtype=torch.float64, device=mask.device)
    for way in product((-1, 0, 1), repeat=axes):
        if way <= (0,) * axes:  # the other half of a line
            continue
        cuts = (framed ^ framed.roll(way, tuple(range(1, axes + 1)))).flatten(1).sum(1)
        step = (spacing * torch.tensor(way).to(spacing)).square().sum(1).sqrt()
        total += weights[sum(map(abs, way))] * spacing.prod(1) / step * cuts
    return factor * total


def _compactness(area: Tensor, boundary: Tensor, axes: int) -> Tensor:
    if axes == 3:
        return pi ** (1 / 3) * (6 * area) ** (2 / 3) / boundary
    return 4 * pi * area / boundary.square()


def _moments(
    cells: Tensor, count: Tensor, image: tuple[int, ...], spacing: Tensor
) -> tuple[Tensor, Tensor]:
    """Centres (n, axes), and how long over how short."""
    sides = [torch.arange(side, device=cells.device).double() - (side - 1) / 2 for side in image]
    places = torch.stack([one.flatten() for one in torch.meshgrid(*sides, indexing="ij")])
    middle = cells @ places.T / count[:, None]
    pairs = (places[:, None] * places[None]).flatten(0, 1)
    second = (cells @ pairs.T / count[:, None]).unflatten(1, (len(image), len(image)))
    spread = second - middle[:, :, None] * middle[:, None]
    spread = spread + torch.eye(len(image)).to(spread) / 12
    spread = spread * spacing[:, :, None] * spacing[:, None]
    lengths = torch.linalg.eigvalsh(spread.nan_to_num())
    return middle * spacing, (lengths[:, -1] / lengths[:, 0].clamp(min=1e-30)).sqrt()
