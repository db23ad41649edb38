"""nnU-Net's own preprocessing, by its plans: turn, crop, normalise, resample; and all of it back.

The same numbers as ``nnunetv2``'s DefaultPreprocessor makes, without it (tests/foreign holds them
against each other).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, zoom

from segtrace.axes import sized
from segtrace.errors import InputError
from segtrace.integrations.nnunet.plans import Plans, Resampling

ANISOTROPIC = 3
"""From which ratio of spacings on planes are resampled for themselves."""
TINY = 1e-8
MOST = 2**30
"""Voxels of an image; a CT of the whole body at 1 mm has a third."""
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Prepared:
    """An image as the network takes it, and what leads back.

    Attributes:
        image: (C, D, H, W) float32, axes in the order of the plans.
        whole: the file's voxels along z, y and x.
        box: in which it is not zero, axes in the order of the plans.
        spacings: mm along the axes, of the file and of the image.
    """

    image: NDArray[np.float32]
    whole: tuple[int, ...]
    box: Box
    spacings: tuple[tuple[float, ...], tuple[float, ...]]


def prepare(image: NDArray[np.float32], spacing: Sequence[float], plans: Plans) -> Prepared:
    """What nnU-Net's preprocessor makes of an image.

    Args:
        image: (C, z, y, x) as stored, z the file's last axis.
        spacing: mm along z, y and x.
        plans: say what is done.

    Raises:
        InputError: another number of channels; nothing that is not zero; a size that no memory
            holds.
    """
    if len(image) != plans.channels:
        raise InputError(f"the network takes {plans.channels} channels; the image has {len(image)}")
    whole = image.shape[1:]
    turned = image.astype(np.float32).transpose(0, *(axis + 1 for axis in plans.transposed))
    own = tuple(float(spacing[axis]) for axis in plans.transposed)
    inside: NDArray[np.bool_] = binary_fill_holes((turned != 0).any(0))
    if not inside.any():
        raise InputError("every voxel of the image is 0; name an image with contents")
    box = _box(inside)
    cropped, mask = turned[(slice(None), *box)], inside[box]
    wanted = (*own[: 3 - len(plans.spacing)], *plans.spacing)
    shape = resampled_shape(mask.shape, own, wanted)
    if math.prod(shape) > MOST or min(shape) < 1:
        raise InputError(
            f"at {sized(wanted)} mm, as planned, the image would have "
            f"{sized(shape)} voxels; 1 to {MOST} are made: look at its own spacing "
            f"({sized(own)} mm)"
        )
    for channel, values in enumerate(cropped):
        values[...] = normalised(values, mask, plans, channel)
    found = resample(cropped, shape, own, wanted, plans.image)
    return Prepared(found, whole, box, (own, wanted))


def normalised(
    values: NDArray[np.float32], mask: NDArray[np.bool_], plans: Plans, channel: int
) -> NDArray[np.float32]:
    """The values of a channel, by its scheme.

    Args:
        values: (D, H, W); may be overwritten.
        mask: where any channel is not zero, or is enclosed by such voxels.
        plans: say the scheme.
        channel: its number.
    """
    scheme = plans.schemes[channel]
    if scheme == "CTNormalization":
        known = plans.intensities[channel]
        values = values.clip(known["percentile_00_5"], known["percentile_99_5"])
        values -= known["mean"]
        values /= max(known["std"], TINY)
    elif scheme == "ZScoreNormalization" and plans.masked[channel]:
        within = values[mask]
        values[mask] = (within - within.mean()) / max(within.std(), TINY)
    elif scheme == "ZScoreNormalization":
        mean, std = values.mean(), values.std()
        values -= mean
        values /= max(std, TINY)
    elif scheme == "RescaleTo01Normalization":
        values -= values.min()
        values /= max(values.max(), TINY)
    elif scheme == "RGBTo01Normalization":
        values /= 255.0
    return values


def resampled_shape(
    shape: Sequence[int], old: Sequence[float], new: Sequence[float]
) -> tuple[int, ...]:
    """Voxels along each axis at another spacing.

    >>> resampled_shape((40, 100, 100), (3, 0.8, 0.8), (2, 1.6, 1.6))
    (60, 50, 50)
    """
    return tuple(round(a / b * n) for a, b, n in zip(old, new, shape, strict=True))


def resample(
    values: NDArray[np.float32],
    shape: Sequence[int],
    old: Sequence[float],
    new: Sequence[float],
    how: Resampling,
) -> NDArray[np.float32]:
    """Values (C, D, H, W) on another grid over the same box.

    Planes are resampled for themselves where one spacing is more than three times another's, with
    the nearest plane along the axis across them.

    Args:
        values: of every channel.
        shape: D, H, W to be.
        old: mm along the axes.
        new: mm along them on the other grid.
        how: order of the spline, and whether planes are taken for themselves.
    """
    if values.shape[1:] == tuple(shape):
        return values
    axis = across(old, new, how)
    found = np.empty((len(values), *shape), np.float32)
    for channel, own in enumerate(values.astype(np.float64)):
        if axis is None:
            found[channel] = _resized(own, shape, how.order)
            continue
        flat = [n for a, n in enumerate(shape) if a != axis]
        planes = [_resized(plane, flat, how.order) for plane in np.moveaxis(own, axis, 0)]
        rows = _nearest(len(planes), shape[axis])
        found[channel] = np.moveaxis(np.stack(planes)[rows], 0, axis)
    return found


def across(old: Sequence[float], new: Sequence[float], how: Resampling) -> int | None:
    """The axis across planes that are resampled for themselves; ``None`` for none."""
    if how.separate is False:
        return None
    for spacing in (old,) if how.separate else (old, new):
        if how.separate or max(spacing) / min(spacing) > ANISOTROPIC:
            coarse = [axis for axis, mm in enumerate(spacing) if max(spacing) / mm == 1]
            return coarse[0] if len(coarse) == 1 else None
    return None


def _resized(values: NDArray[np.float64], shape: Sequence[int], order: int) -> NDArray[np.float64]:
    """Within the range of what was there, as scikit-image's ``resize`` leaves it."""
    factors = [1 / f for f in np.divide(values.shape, shape)]
    found: NDArray[np.float64] = zoom(values, factors, order=order, mode="nearest", grid_mode=True)
    return found.clip(values.min(), values.max())


def _nearest(there: int, wanted: int) -> NDArray[np.intp]:
    places = np.floor(there / wanted * (np.arange(wanted) + 0.5) - 0.5 + 0.5)
    return places.clip(0, there - 1).astype(np.intp)


def _box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around what is true."""
    lines = [mask.any(tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    ends = [np.flatnonzero(line)[[0, -1]] for line in lines]
    z, y, x = (slice(int(low), int(high) + 1) for low, high in ends)
    return z, y, x


def back(values: NDArray[np.float32], prepared: Prepared, plans: Plans) -> NDArray[np.float32]:
    """Values (D, H, W) of the prepared image on the box in the file, resampled as logits are."""
    own, wanted = prepared.spacings
    shape = [side.stop - side.start for side in prepared.box]
    return resample(values[None], shape, wanted, own, plans.logits)[0]


def laid(
    values: NDArray[np.float32], prepared: Prepared, plans: Plans, around: float
) -> NDArray[np.float32]:
    """Values of the box as values (z, y, x) of the file, with another one around it."""
    found = np.full([prepared.whole[axis] for axis in plans.transposed], around, np.float32)
    found[prepared.box] = values
    return found.transpose(np.argsort(plans.transposed))
