"""How volumes lie in the patient: along which axis left and right are, and the mm of a voxel."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from segtrace.errors import InputError

FROM_A_FILE = "original_affine"
"""In the metadata of MONAI's readers; without it an affine is the identity by default."""


class Lying(NamedTuple):
    """How volumes lie.

    Attributes:
        mirror: the axis along which left and right lie, counted from the last.
        spacing: (n, 3) mm along planes, rows and columns.
    """

    mirror: int
    spacing: Tensor


def lying_of(volumes: Sequence[Tensor]) -> Lying | None:
    """Of volumes (C, D, H, W), as the affine says that MONAI keeps beside each.

    ``None`` where one of them has none that a file has said.

    Raises:
        InputError: left and right lie along other axes in one than in another.
    """
    found = [_of(volume) for volume in volumes]
    if any(one is None for one in found):
        return None
    columns = torch.stack([one for one in found if one is not None])  # (n, 3 of the world, 3)
    spacing = columns.norm(dim=1)
    axes = {int(axis) for axis in (columns[:, 0] / spacing).abs().argmax(1)}
    if len(axes) > 1:
        raise InputError(
            "the patient's left and right lie along other axes in some volumes than in others, so "
            "that mirror images cannot be told of all: let the loader give one orientation, "
            "monai.transforms.Orientationd(keys, axcodes='RAS')"
        )
    return Lying(axes.pop() - 3, spacing)


def _of(volume: Tensor) -> Tensor | None:
    """(3, 3) world axes x voxel axes, the first of the world from left to right."""
    meta = getattr(volume, "meta", None)
    if not isinstance(meta, Mapping) or FROM_A_FILE not in meta:
        return None
    affine = torch.as_tensor(meta["affine"]).double()
    return affine[:3, :3] if affine.shape == (4, 4) and affine[:3, :3].det() != 0 else None
