"""How volumes lie in the patient: whereto their axes run, and the mm of a voxel."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from nibabel.orientations import aff2axcodes
from torch import Tensor

from segtrace.errors import InputError, shown

FROM_A_FILE = "original_affine"
"""In the metadata of MONAI's readers; without it an affine is the identity by default."""
THREE = 3
"""Axes of a file of one channel."""
ENDS = ("LR", "PA", "IS")
"""Of each axis of the patient, its ends."""
SPL = "SPL"
"""Volumes whose loader says ``sides_known``: planes from the feet up, rows from anterior to
posterior, columns from the patient's right to the left."""


class Lying(NamedTuple):
    """How volumes lie.

    Attributes:
        axcodes: whereto planes, rows and columns run, ``"RAS"``; empty where nothing says it.
        spacing: (n, 3) mm along planes, rows and columns; NaN where not known.
        affines: (n, 2, 4, 4) float64, from voxels to mm: of the volumes, and of the files that they
            were read from; ``None`` where not known.
        file_sizes: voxels of these files along each axis.
    """

    axcodes: str
    spacing: Tensor
    affines: Tensor | None = None
    file_sizes: tuple[tuple[int, ...], ...] = ()


def lying_of(volumes: Sequence[Tensor], said: Any = None) -> Lying:
    """Of volumes (C, D, H, W), as the affine says that MONAI keeps beside each.

    Args:
        volumes: of one orientation.
        said: what their loader says, where there is no affine that a file has said.

    Raises:
        InputError: axes that run otherwise in one than in another; codes that are none.
    """
    found = [affine for volume in volumes if (affine := _affine(volume)) is not None]
    if len(found) < len(volumes):
        unknown = torch.full((len(volumes), 3), torch.nan, dtype=torch.float64)
        return Lying("" if said is None else _checked(said), unknown)
    affines = torch.stack(found)
    spacing = affines[:, 0, :3, :3].norm(dim=1)
    codes = {"".join(aff2axcodes(one.numpy())) for one in affines[:, 0]}
    if len(codes) > 1:
        raise InputError(
            f"the volumes lie differently in the patient ({', '.join(sorted(codes))}), so that "
            "mirror images and planes cannot be told of all: let the loader give one orientation, "
            "monai.transforms.Orientationd(keys, axcodes='RAS')"
        )
    sizes = [_file_size(volume) for volume in volumes]
    if not all(sizes):
        return Lying(codes.pop(), spacing)
    return Lying(codes.pop(), spacing, affines, tuple(sizes))


def _affine(volume: Tensor) -> Tensor | None:
    """(2, 4, 4) of a volume, and of its file."""
    meta = getattr(volume, "meta", None)
    if not isinstance(meta, Mapping) or FROM_A_FILE not in meta:
        return None
    both = [torch.as_tensor(meta[name]).double() for name in ("affine", FROM_A_FILE)]
    sound = all(one.shape == (4, 4) and one[:3, :3].det() != 0 for one in both)
    return torch.stack(both) if sound else None


def _file_size(volume: Tensor) -> tuple[int, ...]:
    """As the header of a NIfTI file says it; empty where there is none."""
    said = torch.as_tensor(getattr(volume, "meta", {}).get("dim", ())).flatten().tolist()
    return tuple(int(count) for count in said[1:4]) if said and said[0] == THREE else ()


def _checked(said: Any) -> str:
    if not isinstance(said, str) or sorted(
        next((n for n, ends in enumerate(ENDS) if code in ends), -1) for code in said
    ) != [0, 1, 2]:
        raise InputError(
            f"the loader's axcodes are {shown(said)}; give three letters, one of L and R, one of P "
            "and A, one of I and S, e.g. 'RAS'"
        )
    return said
