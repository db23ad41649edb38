"""What stands in the place of pixels that are hidden from the network."""

from collections.abc import Callable, Mapping

import torch
from scipy import ndimage
from torch import Tensor

from segtrace.errors import InputError, unknown

SIGMA = 8.0
"""Pixels, of the blur that methods for input deletion use."""


def _mean(x: Tensor) -> Tensor:
    return x.mean((-2, -1), keepdim=True).expand_as(x)


def _blur(x: Tensor) -> Tensor:
    soft = ndimage.gaussian_filter(x.cpu().numpy(), (0, 0, SIGMA, SIGMA), mode="nearest")
    return torch.from_numpy(soft).to(x)


BASELINES: Mapping[str, Callable[[Tensor], Tensor]] = {"mean": _mean, "blur": _blur}
"""Name -> slices (N, C, H, W) -> what hides them: every channel's mean over its slice; the slice
blurred by :data:`SIGMA`."""


def check_baseline(baseline: float | str) -> None:
    """Refuse what hides nothing.

    Raises:
        InputError: a name that is none of :data:`BASELINES`; a number that is not finite.
    """
    if isinstance(baseline, str) and baseline not in BASELINES:
        raise unknown("baseline", baseline, (*BASELINES, "a number, 0 as in the paper"))
    if isinstance(baseline, str):
        return
    plain = isinstance(baseline, int | float) and not isinstance(baseline, bool)
    if not plain or not abs(baseline) <= torch.finfo(torch.float32).max:
        raise InputError(f"baseline={baseline!r}; give a finite number, 0 as in the paper")


def hiding(baseline: float | str, x: Tensor) -> Tensor:
    """(N, C, H, W) what is shown where nothing of x is.

    Args:
        baseline: a value of the network's input, or one of :data:`BASELINES`.
        x: (N, C, H, W) slices.
    """
    if isinstance(baseline, str):
        return BASELINES[baseline](x)
    return torch.full_like(x, baseline)
