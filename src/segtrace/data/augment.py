"""Random transforms of a slice by name, each a pure function of the numbers it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.ndimage import rotate
from torch.nn import functional

from segtrace.errors import unknown

Recipe = Callable[[torch.Tensor, torch.Tensor, tuple[int, ...]], tuple[torch.Tensor, torch.Tensor]]
"""(image, label, seed) -> both, changed alike; equal seeds change equal slices equally."""


@dataclass(frozen=True)
class Augmentation:
    """How far a slice may be changed, while it still shows a patient.

    No left-right flip: it would turn a right kidney into a left one.

    Attributes:
        degrees: rotation, at most, to either side.
        scale: relative change of size, at most.
        shift: translation, at most, as a fraction of the side.
        contrast: relative change of contrast about the middle of the window, at most.
        brightness: change of brightness, at most, as a fraction of the window.
    """

    degrees: float = 15.0
    scale: float = 0.10
    shift: float = 0.05
    contrast: float = 0.10
    brightness: float = 0.05

    def __call__(
        self, image: torch.Tensor, label: torch.Tensor, seed: tuple[int, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The transformed slice; equal seeds give equal slices in any process.

        Args:
            image: (H, W) float32 in [0, 1]; of several channels (C, H, W), changed alike.
            label: (H, W) uint8.
            seed: non-negative numbers, e.g. (seed, epoch, index).
        """
        random = _generator(seed)
        angle, size, dx, dy, contrast, brightness = random.uniform(-1, 1, 6)
        theta = self._theta(angle, size, dx, dy)
        moved = _resample(image, theta, "bilinear")
        changed = (
            (moved - 0.5) * (1 + self.contrast * contrast) + 0.5 + self.brightness * brightness
        )
        # Air stays air, so that the padding has no grey of its own.
        image = torch.where(moved > 0, changed.clamp(0, 1), moved)
        return image, _resample(label.float(), theta, "nearest").to(label.dtype)

    def _theta(self, angle: float, size: float, dx: float, dy: float) -> torch.Tensor:
        """(1, 2, 3): output -> input, in the coordinates of ``affine_grid``."""
        radians = np.deg2rad(self.degrees * angle)
        cosine, sine = np.cos(radians), np.sin(radians)
        zoom = 1 / (1 + self.scale * size)
        rows = [
            [zoom * cosine, -zoom * sine, 2 * self.shift * dx],
            [zoom * sine, zoom * cosine, 2 * self.shift * dy],
        ]
        return torch.tensor([rows], dtype=torch.float32)


def transunet(
    image: torch.Tensor, label: torch.Tensor, seed: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """TransUNet's: half of the slices are turned by 0 to 3 right angles and flipped along an axis.

    Of the others one half is turned by a whole number of degrees from -20 to 19, the image too by
    nearest pixels; the rest stays. Flips exchange the patient's left and right. It comes before
    the slice is made small (``RandomGenerator`` in their dataset_synapse.py).
    """
    random = _generator(seed)
    if random.random() > 0.5:
        turns, axis = int(random.integers(4)), int(random.integers(2))
        planes = (-2, -1)
        moved = [torch.rot90(one, turns, planes).flip(planes[axis]) for one in (image, label)]
        return moved[0].contiguous(), moved[1].contiguous()
    if random.random() > 0.5:
        angle = int(random.integers(-20, 20))
        turned = [
            rotate(one.numpy(), angle, (-1, -2), order=0, reshape=False) for one in (image, label)
        ]
        return torch.from_numpy(turned[0]), torch.from_numpy(turned[1])
    return image, label


RECIPES: dict[str, Recipe | None] = {
    "anatomical": Augmentation(),
    "transunet": transunet,
    "none": None,
}
"""Name of a recipe -> what it does to a training slice."""


Named = Literal[True, False, "anatomical", "transunet", "none"]
"""How a recipe is asked for; written out, so that a wrong one is told before any work."""

BEFORE_RESIZING = ("transunet",)
"""Recipes that are for slices as their files have them, which are made small by splines then."""


def recipe_of(given: Named) -> Recipe | None:
    """The recipe that is named; ``True`` is ``anatomical``, ``False`` is ``none``.

    Raises:
        InputError: no recipe is called so.
    """
    name = ("none", "anatomical")[given] if isinstance(given, bool) else given
    if name not in RECIPES:
        raise unknown("augmentation (data.augment)", given, RECIPES)
    return RECIPES[name]


def _generator(seed: tuple[int, ...]) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


def _resample(planes: torch.Tensor, theta: torch.Tensor, mode: str) -> torch.Tensor:
    flat = planes.reshape(1, -1, *planes.shape[-2:])
    grid = functional.affine_grid(theta, list(flat.shape), align_corners=False)
    return functional.grid_sample(
        flat, grid, mode=mode, padding_mode="zeros", align_corners=False
    ).view(planes.shape)
