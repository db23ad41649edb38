"""What cuts would cost, to first order, beside the maps of a trace: sums, and no maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.errors import InputError, unknown
from segtrace.network.sites import Site


@dataclass(frozen=True)
class Estimates:
    """What a trace estimates beside its maps: Σ_k Σ_u G_k ⊙ (A_k - Ā_k), the loss by a cut.

    The sum of the map of :mod:`segtrace.attribution.patching`, without the map: next to nothing
    where the gradient is there.

    Attributes:
        means: site -> Ā, (K,) each channel's mean over training slices.
        beside: sites of which nothing else is wanted; those of the trace have estimates too.
    """

    means: Mapping[str, Tensor]
    beside: Sequence[Site] = ()

    def moved(self, site: str, activation: Tensor) -> Tensor:
        """A - Ā of an activation (n, K, *cells).

        Raises:
            InputError: means that are missing, or of another network.
        """
        if site not in self.means:
            raise unknown("mean of", site, self.means, "the stored sample")
        mean = self.means[site].to(activation)
        if tuple(mean.shape) != tuple(activation.shape[1:2]):
            raise InputError(
                f"the mean of {site!r} has shape {tuple(mean.shape)}; this network has "
                f"({activation.shape[1]},) channels there: it belongs to another network"
            )
        return activation - mean.reshape(-1, *[1] * (activation.ndim - 2))


def inner(one: Tensor, other: Tensor) -> Tensor:
    """(n,) Σ one ⊙ other of two (n, K, *cells), read in the order in which they lie in memory."""
    order = sorted(range(1, one.ndim), key=one.stride, reverse=True)
    rows = [t.permute(0, *order).flatten(1) for t in (one, other)]
    return torch.bmm(rows[0][:, None], rows[1][:, :, None])[:, 0, 0]
