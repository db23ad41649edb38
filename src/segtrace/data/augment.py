"""Random transforms of a slice, each a pure function of the numbers it is given.

No left-right flip: it would turn a right kidney into a left one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """How far a slice may be changed.

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
            image: (H, W) float32 in [0, 1].
            label: (H, W) uint8.
            seed: non-negative numbers, e.g. (seed, epoch, index).
        """
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
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


def _resample(plane: torch.Tensor, theta: torch.Tensor, mode: str) -> torch.Tensor:
    grid = functional.affine_grid(theta, [1, 1, *plane.shape], align_corners=False)
    return functional.grid_sample(
        plane[None, None], grid, mode=mode, padding_mode="zeros", align_corners=False
    )[0, 0]
