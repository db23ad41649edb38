"""What a cut puts in the place of an activation: means over training slices.

Taken from training slices and kept with the network, so that what a cut does to one slice does not
depend on the slices it happens to be shown with.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import Output
from segtrace.attribution.passes import SLICES_ON_CPU, per_pass
from segtrace.errors import InputError, unknown
from segtrace.network import guards
from segtrace.network.hooks import observe
from segtrace.network.joints import settled
from segtrace.network.sites import Site
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped

ENOUGH = 64
"""Training slices that suffice, drawn at random. Of FlexibleUNet-ResNet-18 on a real CT, the means
over 64 slices are off by at most 3.5 % of their size at every site (standard error); over 8, by
10 to 13 %, which moved the Dice lost at single sites by up to 0.14."""


@dataclass(frozen=True)
class Baselines:
    """Mean activations of sites over a sample of slices.

    Attributes:
        channels: site -> (K,) mean over slices and cells.
        spread: site -> (K,) standard deviation over slices of a slice's mean over cells.
        maps: site -> (K, *cells) mean over slices; empty where not asked for.
        count: number of slices.
    """

    channels: Mapping[str, Tensor]
    spread: Mapping[str, Tensor]
    maps: Mapping[str, Tensor]
    count: int

    def like(self, site: str, activation: Tensor) -> Tensor:
        """The channel means, in every cell of an activation (N, K, *cells).

        Raises:
            InputError: a site without a baseline, or with other channels.
        """
        mean = self._of(self.channels, site).to(activation)
        if len(mean) != activation.shape[1]:
            raise InputError(
                f"the baseline of {site!r} has {len(mean)} channels; the activation has "
                f"{activation.shape[1]}: it is another network's"
            )
        return laid_out(mean.view(-1, *[1] * (activation.ndim - 2)), activation)

    def map_like(self, site: str, activation: Tensor) -> Tensor:
        """The mean map, for every slice of an activation (N, K, *cells).

        Raises:
            InputError: no mean maps were kept, or they are of images of another size.
        """
        self.check_maps()
        mean = self._of(self.maps, site).to(activation)
        if mean.shape != activation.shape[1:]:
            raise InputError(
                f"the mean map of {site!r} is {tuple(mean.shape)}; the activation is "
                f"{tuple(activation.shape[1:])}: images must have the size of the training's"
            )
        return laid_out(mean, activation)

    def check_maps(self) -> None:
        """Refuse baselines without mean maps.

        Raises:
            InputError: none were kept.
        """
        if not self.maps:
            raise InputError("these baselines hold no mean maps; collect them with maps=True")

    def _of(self, means: Mapping[str, Tensor], site: str) -> Tensor:
        if site not in means:
            raise unknown("baseline", site, means, "the stored sample")
        return means[site]

    def to_plain(self) -> dict[str, Any]:
        """Plain values and float32 tensors, for a checkpoint read with ``weights_only=True``."""
        return {
            "count": self.count,
            **{
                part: {name: mean.float() for name, mean in getattr(self, part).items()}
                for part in ("channels", "spread", "maps")
            },
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Baselines":
        """What :meth:`to_plain` gave."""
        return cls(**{key: plain[key] for key in ("channels", "spread", "maps", "count")})


def laid_out(values: Tensor, like: Tensor) -> Tensor:
    """A copy of the values, as a tensor that lies in memory as another does.

    A copy, because the network may write into it; in the same memory format (channels last, say),
    because convolutions are slower in the other one.
    """
    return torch.empty_like(like).copy_(values)


@guards.held(images=guards.batches, batch=guards.optional(guards.a_count))
def collect(
    net: nn.Module,
    sites: Sequence[Site],
    images: Iterable[Tensor],
    *,
    maps: bool = False,
    batch: int | None = None,
    output: Output | None = None,
) -> Baselines:
    """Mean activations of sites over slices, batch by batch; the network is left as it is.

    Args:
        net: the network.
        sites: see :func:`segtrace.network.sites.sites_of`.
        images: batches (n, C, *image) of preprocessed training slices, without augmentation.
        maps: also keep mean maps; as large as one slice's activations.
        batch: slices per forward pass, by default 4, or one volume; decides memory alone.
        output: picks the logits from what the network returns.

    Raises:
        InputError: fewer than two slices, which say nothing about how slices differ; an edge that
            carries something else than it says.
    """
    net = unwrapped(net)
    sums = {site.name: _Sum() for site in sites}
    for images_of_batch in images:
        guards.a_finite_image("a batch of images", images_of_batch)
        x = as_input(net, images_of_batch)
        with undisturbed(net, x.device):
            sites = settled(net, sites, x)
            for part in x.split(per_pass(x, SLICES_ON_CPU, batch)):
                for name, activation in observe(net, sites, part, output).activations.items():
                    sums[name].add(activation, maps)
    count = min((total.count for total in sums.values()), default=0)
    if count < 2:
        raise InputError(f"baselines of {count} slices; give at least 2 training slices")
    return Baselines(
        channels={name: total.mean() for name, total in sums.items()},
        spread={name: total.deviation() for name, total in sums.items()},
        maps={name: total.maps / count for name, total in sums.items()} if maps else {},
        count=count,
    )


class _Sum:
    """Running sums of one site, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.means: list[Tensor] = []  # (n, K) of each batch
        self.maps = torch.zeros(())

    def add(self, activation: Tensor, maps: bool) -> None:
        self.count += len(activation)
        cells = tuple(range(2, activation.ndim))
        self.means.append(activation.mean(cells, dtype=torch.float64).cpu())
        if maps:
            self.maps = self.maps + activation.sum(0, dtype=torch.float64).cpu()

    def mean(self) -> Tensor:
        return torch.cat(self.means).mean(0)

    def deviation(self) -> Tensor:
        return torch.cat(self.means).std(0)
