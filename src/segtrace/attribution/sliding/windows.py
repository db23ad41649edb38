"""Where windows lie on an image, and how much each of their voxels counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn.functional import pad

from segtrace.attribution.weights import Weights

Predict = Callable[[Tensor], Tensor]
"""(n, C, *window) -> logits (n, channels, *window)."""


@dataclass(frozen=True)
class Windows:
    """Windows of one size on images of one size.

    Attributes:
        image: voxels of the image along each axis.
        starts: of every window its first voxel along each axis; below 0 where the image is smaller
            than a window and padded for it.
        weights: (*window) above 0: how much each voxel of a window counts where windows overlap.
        padding: how the image is padded, a mode of :func:`torch.nn.functional.pad`.
        value: that it is padded with, where that is ``constant``.
    """

    image: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    weights: Tensor
    padding: str = "constant"
    value: float = 0.0

    @property
    def size(self) -> tuple[int, ...]:
        """Of a window."""
        return tuple(self.weights.shape)

    @property
    def alone(self) -> bool:
        """Whether the one window is the image."""
        return len(self.starts) == 1 and self.size == self.image

    def of(self, x: Tensor, start: Sequence[int]) -> Tensor:
        """A window (N, C, *window) of images (N, C, *image)."""
        ends = [(-min(at, 0), max(at + size - image, 0))
                for at, size, image in zip(start, self.size, self.image, strict=True)]  # fmt: skip
        inside = (slice(max(at, 0), at + size) for at, size in zip(start, self.size, strict=True))
        part = x[:, :, *inside]
        around = [count for both in reversed(ends) for count in both]
        constant = {"value": self.value} if self.padding == "constant" else {}
        return pad(part, around, self.padding, **constant) if any(around) else part

    def share(self, weights: Weights, n: int, start: Sequence[int]) -> Weights:
        """What a window sees of the weights over the logits of the nth image: none where padded."""
        plain = Windows(self.image, self.starts, self.weights)
        return Weights({channel: plain.of(plane[n : n + 1, None], start)[:, 0]
                        for channel, plane in weights.planes.items()})  # fmt: skip


class Sliding(Protocol):
    """How an image is gone through, as an inferer of MONAI says it."""

    def windows(self, image: Sequence[int]) -> Windows:
        """On images of this size."""

    def logits(self, x: Tensor, predict: Predict) -> Tensor:
        """The stitched logits (N, channels, *image) of images (N, C, *image)."""


def first_window(sliding: Sliding | None, images: Tensor) -> Tensor:
    """(1, C, *window) of the first image: what a network takes; the whole of it without windows."""
    if sliding is None:
        return images[:1]
    windows = sliding.windows(images.shape[2:])
    return windows.of(images[:1], windows.starts[len(windows.starts) // 2])
