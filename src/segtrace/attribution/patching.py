"""Attribution patching: what it would cost to cut a site, from the gradient that there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.attribution.rules import Reference, Rule, element_wise
from segtrace.errors import InputError, unknown
from segtrace.network.sites import Site

NAME = "attribution_patching"
TITLE = "Attribution patching"
EQUATION = (
    "Attribution patching (Nanda, 2023; Syed et al., 2023; Kramár et al., 2024): L = Σ_k G_k ⊙ "
    "(A_k - A'_k), G_k = ∂ Σ_(i,j)∈M y_ij / ∂A_k, A' what a cut puts in the place of A; its sum "
    "estimates the score lost by the cut"
)
PAPERS = ("nanda2023", "syed2023", "kramar2024")


def patching_rule(reference: Reference) -> Rule:
    """The rule Σ_k G_k ⊙ (A_k - A'_k): Grad-PAM relative to what a cut puts in a site's place.

    Args:
        reference: A', see :data:`~segtrace.attribution.rules.Reference`.
    """
    return Rule(NAME, element_wise, TITLE, EQUATION, PAPERS, reference=reference)


def standing(baseline: Mapping[str, Tensor]) -> Reference:
    """What stands in the place of every site.

    Args:
        baseline: site -> (K,) a value a channel, (K, *cells) a map, or (N, K, *cells).

    Raises:
        InputError: (when it is asked) a baseline that is missing or of another network.
    """

    def reference(site: str, activation: Tensor, which: slice) -> Tensor:
        if site not in baseline:
            raise unknown("baseline of", site, baseline, "the baseline")
        there, shape = baseline[site].to(activation), tuple(activation.shape)
        if there.ndim == 1 and len(there) == shape[1]:
            return there.reshape(-1, *[1] * (len(shape) - 2))
        if there.ndim == len(shape):
            there = there[which]
        if tuple(there.shape) not in (shape, shape[1:]):
            raise InputError(
                f"the baseline of {site!r} has shape {tuple(baseline[site].shape)}; this network "
                f"has ({shape[1]},) channels there: it belongs to another network"
            )
        return there

    return reference


@dataclass(frozen=True)
class Estimates:
    """What a trace estimates beside its maps: Σ_k Σ_u G_k ⊙ (A_k - Ā_k), the loss by a cut.

    The sum of the map of :func:`patching_rule`, without the map: next to nothing where the gradient
    is there.

    Attributes:
        means: site -> Ā, (K,) each channel's mean over training slices.
        beside: sites of which nothing else is wanted; those of the trace have estimates too.

    Raises:
        InputError: means of another shape.
    """

    means: Mapping[str, Tensor]
    beside: Sequence[Site] = ()

    def __post_init__(self) -> None:
        for site, mean in self.means.items():
            if mean.ndim != 1:
                raise InputError(
                    f"the mean of {site!r} has shape {tuple(mean.shape)}; estimates take (K,), a "
                    "value a channel; for others there is segtrace.attribution_patching"
                )

    def moved(self, site: str, activation: Tensor) -> Tensor:
        """A - Ā of an activation (n, K, *cells).

        Raises:
            InputError: means that are missing, or of another network.
        """
        return activation - standing(self.means)(site, activation, slice(None))

    def lost(self, site: str, product: Tensor, activation: Tensor, alpha: Tensor) -> Tensor:
        """(n,) Σ G ⊙ (A - Ā) of a site where Σ_k G_k ⊙ A_k is known.

        Args:
            site: its name.
            product: (n, *cells) Σ_k G_k ⊙ A_k.
            activation: A, (n, K, *cells).
            alpha: the mean of G over cells, (n, K, 1, …, 1).

        Raises:
            InputError: see :meth:`moved`.
        """
        mean, cells = standing(self.means)(site, activation, slice(None)), product[0].numel()
        return product.flatten(1).sum(1) - cells * (alpha * mean).flatten(1).sum(1)


def inner(one: Tensor, other: Tensor) -> Tensor:
    """(n,) Σ one ⊙ other of two (n, K, *cells), read in the order in which they lie in memory."""
    order = sorted(range(1, one.ndim), key=one.stride, reverse=True)
    rows = [t.permute(0, *order).flatten(1) for t in (one, other)]
    return torch.bmm(rows[0][:, None], rows[1][:, :, None])[:, 0, 0]
