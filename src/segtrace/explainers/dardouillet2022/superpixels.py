"""Superpixels: parts of a slice that are shown or hidden as a whole."""

from typing import Any

import torch
from torch import Tensor

from segtrace.errors import InputError, unknown

KINDS = ("grid", "slic", "organs")


def check_kind(kind: str) -> None:
    """Refuse superpixels that cannot be made, before any work.

    Raises:
        InputError: another kind than :data:`KINDS`; SLIC without scikit-image.
    """
    if kind not in KINDS:
        raise unknown("superpixels", kind, KINDS)
    if kind == "slic":
        _scikit()


def superpixels(
    kind: str, x: Tensor, cells: int, masks: Tensor, compactness: float = 0.1
) -> Tensor:
    """(N, H, W) numbers of superpixels, from 0 in every slice.

    Args:
        kind: ``grid``, squares; ``slic``, parts of one brightness (Achanta et al. 2012);
            ``organs``, every organ as one (of several at a pixel the first), squares around them.
        x: (N, C, H, W) slices.
        cells: squares along each side; of ``slic`` about as many along each side.
        masks: (O, N, H, W) bool, where the organs are; looked at by ``organs`` alone.
        compactness: of ``slic``, how square against how alike.

    Raises:
        InputError: SLIC without scikit-image; organs of another
            size than the slices, as a classifier's.
    """
    if kind == "organs" and masks.shape[-2:] != x.shape[-2:]:
        raise InputError(
            f"superpixels=organs needs organs on the image, {x.shape[-2]} x {x.shape[-1]}, and "
            f"here they are {masks.shape[-2]} x {masks.shape[-1]}; say superpixels=grid"
        )
    size = x.shape[-2], x.shape[-1]
    if kind == "slic":
        found = [_slic(one, cells, compactness) for one in x.cpu()]
        return torch.stack(found)
    squares = grid(size, cells).repeat(len(x), 1, 1)
    if kind == "grid":
        return squares
    squares += len(masks)
    for o, mask in reversed(list(enumerate(masks))):
        squares[mask] = o
    return squares


def grid(size: tuple[int, int], cells: int) -> Tensor:
    """(H, W) numbers of squares that are as equal as the size allows.

    >>> grid((2, 5), 2)
    tensor([[0, 0, 0, 1, 1],
            [2, 2, 2, 3, 3]])
    """
    rows, columns = (torch.arange(side) * cells // side for side in size)
    return rows[:, None] * cells + columns


def playing(labels: Tensor, differs: Tensor) -> Tensor:
    """Superpixels (H, W) that can change anything, numbered from 0; -1 where nothing can.

    Hiding what looks like the baseline changes nothing: its share is 0, and need not be drawn for.

    >>> playing(torch.tensor([[0, 0, 4, 7]]), torch.tensor([[True, False, False, True]]))
    tensor([[ 0,  0, -1,  1]])
    """
    kept = labels[differs].unique()
    number = torch.full((int(labels.max()) + 1,), -1)
    number[kept] = torch.arange(len(kept))
    return number[labels]


def _slic(image: Tensor, cells: int, compactness: float) -> Tensor:
    parts = _scikit().slic(
        image.permute(1, 2, 0).numpy(),
        n_segments=cells * cells,
        compactness=compactness,
        start_label=0,
        channel_axis=-1,
    )
    return torch.from_numpy(parts).long()


def _scikit() -> Any:
    try:
        from skimage import segmentation
    except ModuleNotFoundError as error:
        raise InputError(
            "superpixels=slic needs scikit-image: pip install scikit-image (or "
            "segtrace[explain]); or say superpixels=grid"
        ) from error
    return segmentation
