"""How alike two maps are: Spearman's correlation over cells, and SSIM."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from segtrace.measures.energy import nan_where, ratio

WINDOW = 7
"""Cells across of the window of SSIM."""
STABLE = (0.01**2, 0.03**2)
"""Its two constants, of images in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Maps as they are compared, each worked out once.

    Attributes:
        signed: (…, cells) float64 ranks of the signed map over its cells, centred, of length 1; 0
            where it is constant.
        absolute: the same of |map|.
        support: the same of where the map is not 0.
        shown: (…, h, w) the map as it is drawn: rectified, divided by its maximum.
    """

    signed: Tensor
    absolute: Tensor
    support: Tensor
    shown: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> "Compared":
        """Of maps (…, h, w)."""
        cells = maps.double().flatten(-2)
        positive = maps.double().relu()
        shown = ratio(positive, positive.amax((-2, -1), keepdim=True)).nan_to_num(nan=0.0)
        return cls(_ranked(cells), _ranked(cells.abs()), _ranked((cells != 0).double()), shown)

    @property
    def constant(self) -> Tensor:
        """(…) bool: all cells have one value, so that nothing can be like it."""
        return ~self.signed.any(-1)

    def like(self, other: "Compared") -> dict[str, Tensor]:
        """(…) each: ``spearman``, ``spearman_absolute``, ``ssim``, ``support``.

        Spearman's correlation is 0 where one of the two is constant: nothing of a map is left.
        ``support`` is that of where the maps are not 0, NaN where this one is 0 in no cell.
        """
        return {
            "spearman": (self.signed * other.signed).sum(-1),
            "spearman_absolute": (self.absolute * other.absolute).sum(-1),
            "ssim": ssim(self.shown, other.shown),
            "support": nan_where(~self.support.any(-1), (self.support * other.support).sum(-1)),
        }

    def across(self) -> dict[str, Tensor]:
        """(…, N, N) Spearman's correlation of each slice with each other, of maps (…, N, h, w)."""
        return {
            "spearman": self.signed @ self.signed.mT,
            "spearman_absolute": self.absolute @ self.absolute.mT,
        }


def _ranked(values: Tensor) -> Tensor:
    """(…, M) average ranks, centred, of length 1; ties share their mean rank."""
    rising = values.sort(-1).values
    below = torch.searchsorted(rising, values.contiguous())
    to = torch.searchsorted(rising, values.contiguous(), right=True)
    ranks = (below + to).double()  # twice the mean rank, less 1
    ranks -= ranks.mean(-1, keepdim=True)
    return ratio(ranks, ranks.norm(dim=-1, keepdim=True)).nan_to_num(nan=0.0)


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Mean structural similarity (Wang et al. 2004) of images (…, h, w) in [0, 1].

    With a uniform window of 7 cells, or the largest odd one that fits, over the places where it
    lies within the image, and unbiased variances: as scikit-image computes it by default. NaN below
    3 cells.
    """
    size = min(*one.shape[-2:], WINDOW)
    window = size - (size + 1) % 2
    if window < 3:
        return one.new_full(one.shape[:-2], torch.nan)

    def local(values: Tensor) -> Tensor:
        return avg_pool2d(values.flatten(0, -3)[:, None], window, 1)[:, 0]

    means = local(one), local(other)
    unbiased = window**2 / (window**2 - 1)
    variances = [unbiased * (local(image.square()) - mean.square())
                 for image, mean in zip((one, other), means, strict=True)]  # fmt: skip
    covariance = unbiased * (local(one * other) - means[0] * means[1])
    c1, c2 = STABLE
    found = (2 * means[0] * means[1] + c1) * (2 * covariance + c2)
    found = found / ((means[0].square() + means[1].square() + c1) * (sum(variances) + c2))
    return found.mean((-2, -1)).view(one.shape[:-2])
