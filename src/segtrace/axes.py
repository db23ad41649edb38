"""The axes of a batch: slices are (N, C, H, W), volumes (N, C, D, H, W); their sides in words."""

from collections.abc import Iterable

from torch import Tensor

VOLUMES = 5
"""Axes of a batch of volumes; of slices one less."""


def are_volumes(images: Tensor) -> bool:
    """Whether a batch is one of volumes."""
    return images.ndim == VOLUMES


def sized(along: Iterable[float]) -> str:
    """Voxels or mm along each axis, in words.

    >>> sized((96, 96, 64)), sized((1.5, 1.5, 2.0))
    ('96 x 96 x 64', '1.5 x 1.5 x 2')
    """
    return " x ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in along)
