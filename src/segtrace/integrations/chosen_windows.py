"""The windows of some images that show most organs, as probes that know where they lie."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from torch import Tensor

from segtrace.data.probes import Probes, choose
from segtrace.integrations.windows import Window, padded, windows

SHOWN = (0.005, 0.995)
"""Shares of all values between which pictures show them."""
SLICES, VOLUMES = 8, 2
"""Windows that are explained if nobody says how many, of two sides and of three."""


@dataclass(frozen=True)
class Shown:
    """An image that windows are chosen from.

    Attributes:
        name: of the case.
        image: (C, D, H, W), as the network takes it; made where it is asked for.
        masks: (O, D, H, W) bool, organs by which windows are chosen.
        truth: labels (D, H, W), or masks (channels, D, H, W); ``None`` where there is none.
        affine: 4 x 4, from voxels of the image to mm; ``None`` where not known.
        file_affine: of the file.
        file_size: voxels of the file along its axes.
    """

    name: str
    image: Callable[[], Tensor]
    masks: Callable[[], Tensor]
    truth: Callable[[], Tensor] | None = None
    affine: NDArray[np.float64] | None = None
    file_affine: NDArray[np.float64] | None = None
    file_size: tuple[int, ...] = ()


def usual(patch: Sequence[int]) -> int:
    """How many windows are explained if nobody says so."""
    return VOLUMES if len(patch) == 3 else SLICES


def chosen(shown: Sequence[Shown], patch: tuple[int, ...], n: int, split: str) -> Probes | None:
    """``n`` windows, by the rule of :func:`segtrace.data.probes.choose`.

    Args:
        shown: images, all of which have a truth or none.
        patch: sides of a window; of two sides it lies in a plane of D.
        n: how many.
        split: where the images come from.

    Returns:
        Windows of one size, numbered within their image; ``None`` where no mask has any voxel.
    """
    keys: list[tuple[str, int]] = []
    places: list[tuple[int, Window, list[int]]] = []
    areas = []
    for row, one in enumerate(shown):
        masks, before = padded(one.masks(), patch)
        for number, window in enumerate(windows(masks.shape[1:], patch)):
            areas.append(masks[(slice(None), *window)].flatten(1).sum(1).numpy())
            starts = [side.start if isinstance(side, slice) else side for side in window]
            keys.append((one.name, number))
            places.append((row, window, [a - b for a, b in zip(starts, before, strict=True)]))
    if not np.any(areas):
        return None
    rows = choose(np.array(areas, np.int64), keys, n)
    images, labels = {}, {}
    for row in sorted({places[place][0] for place in rows}):
        image, truth = padded(shown[row].image(), patch)[0], shown[row].truth
        label = None if truth is None else padded(truth(), patch)[0]
        for place in (place for place in rows if places[place][0] == row):
            images[place] = image[(slice(None), *places[place][1])].clone()
            if label is not None:
                labels[place] = label[(..., *places[place][1])].clone()
    probes = Probes(
        images=torch.stack([images[place] for place in rows]),
        labels=torch.stack([labels[place] for place in rows]) if labels else None,
        cases=tuple(keys[place][0] for place in rows),
        slices=tuple(keys[place][1] for place in rows),
        spacing=torch.full((len(rows), len(patch)), torch.nan, dtype=torch.float64),
        split=split,
        phantom=False,
        ends=_ends(list(images.values())),
    )
    return _lying(probes, [(shown[places[place][0]], places[place][2]) for place in rows])


def _ends(images: Sequence[Tensor]) -> tuple[float, float]:
    """Values of the first channel that are shown black and white: all but one in a hundred."""
    values = np.concatenate([image[0].numpy().ravel() for image in images])
    if values.min() >= 0 and values.max() <= 1:
        return 0.0, 1.0
    low, high = np.quantile(values, SHOWN)
    return (float(low), float(high)) if low < high else (float(low), float(low) + 1)


def _lying(probes: Probes, places: Sequence[tuple[Shown, Sequence[int]]]) -> Probes:
    """The windows with where they lie, as far as that is known."""
    affines, sizes = [], []
    for one, begin in places:
        if one.affine is None or one.file_affine is None:
            return probes
        moved = one.affine @ _translated(begin)
        affines.append(torch.from_numpy(np.stack([moved, one.file_affine])))
        sizes.append(one.file_size)
    both = torch.stack(affines)
    sides = probes.images.ndim - 2
    return replace(
        probes,
        spacing=both[:, 0, :3, :3].norm(dim=1)[:, 3 - sides :],
        affines=both,
        file_sizes=tuple(sizes),
        axcodes="".join(aff2axcodes(both[0, 0].numpy())) if sides == 3 else "",
    )


def _translated(begin: Sequence[int]) -> NDArray[np.float64]:
    found = np.eye(4)
    found[:3, 3] = begin
    return found
