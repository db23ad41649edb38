"""The axes of a batch: slices are (N, C, H, W), volumes (N, C, D, H, W)."""

from torch import Tensor

VOLUMES = 5
"""Axes of a batch of volumes; of slices one less."""


def are_volumes(images: Tensor) -> bool:
    """Whether a batch is one of volumes."""
    return images.ndim == VOLUMES
