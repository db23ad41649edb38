"""Is the prediction preserved where a map masks the image? Mullan and Sonka's measures of a map.

The image is multiplied by the map, scaled to [0, 1], and shown to the network again. A map that
keeps everything preserves everything, so no number here says anything alone: beside each stand
those of the same map with its cells shuffled, which keeps about as much of the image in other
places, and of an even map, which keeps as much everywhere.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtrace.activation import PROBABILITY, Organ, OrganLike, activation_of, organs_of
from segtrace.attribution.aggregate import on_grid
from segtrace.attribution.flow import A_FLOW, Flow, Status
from segtrace.attribution.forward import Output
from segtrace.causal import guards
from segtrace.causal.batches import SLICES, Batches, Clock, seconds_per_slice
from segtrace.errors import InputError
from segtrace.labelled import Dataset, Form
from segtrace.network.guards import a_number, from_zero
from segtrace.network.labels import refuse_shares
from segtrace.network.logits import logits_at
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import OnProgress

WAYS = ("map", "shuffled", "even")
NUMBERS = ("prediction_preserved", "image_preserved", "excess", "relative_entropy")
PRESERVATION = Form(
    dict.fromkeys(NUMBERS, "site rule organ way slice"),
    {"sites": "site", "rules": "rule", "organs": "organ", "ways": "way", "cases": "case slice"},
    ("fill", "draws"),
)


@guards.held(flow=A_FLOW, fill=a_number, seed=from_zero)
def preservation(
    net: nn.Module,
    flow: Flow,
    images: Tensor,
    channels: Mapping[str, OrganLike],
    *,
    cases: Sequence[str] | None = None,
    fill: float = 0.0,
    draws: int = 3,
    seed: int = 0,
    batch: int = SLICES,
    output: Output | None = None,
    progress: OnProgress | None = None,
) -> Dataset:
    """Prediction Preserved, Image Preserved, Excess and relative entropy of every map of a flow.

    With L the rectified map, resized to the image and divided by its maximum, x' = L x + (1 - L)
    fill and P an organ's probability: ``prediction_preserved`` Σ min(P(x), P(x')) / Σ P(x),
    ``excess`` Σ max(P(x') - P(x), 0) / Σ P(x), ``image_preserved`` the mean of L, and
    ``relative_entropy`` the size of x' over that of x, both compressed by DEFLATE. Sums are over
    the whole image (Mullan and Sonka 2023, whose fill is 0; they take the predicted masks for P).

    Costs 2 + ``draws`` passes a sound map.

    Args:
        net: the network.
        flow: maps of these slices.
        images: (N, C, *image) the slices of the flow.
        channels: organ -> channel, of the flow's organs.
        cases: name of each slice's case; by default every slice is one of its own.
        fill: what stands where the map is 0, as the network takes it: 0 is air behind a window of
            [0, 1], and something else behind another normalisation.
        draws: shuffled maps, whose mean is taken.
        seed: of these; the same for all maps of a grid.
        batch: images per pass; halves when memory runs out.
        output: picks the logits from what the network returns.
        progress: called with an estimate before the start and after every map.

    Returns:
        The four numbers; axes site, rule, organ, way and slice. The ways are :data:`WAYS`. NaN
        where the map's status is not ``ok``, or the organ has no probability at all.

    Raises:
        InputError: organs or slices that are not the flow's; a network that returns probabilities.
    """
    net = unwrapped(net)
    names = tuple(cases) if cases is not None else tuple(str(n) for n in range(len(images)))
    _check(flow, images, channels, names)
    x = as_input(net, images)
    sound = flow.status == Status.OK
    with undisturbed(net, x.device), torch.no_grad():
        logits = torch.cat([logits_at(net, part, output) for part in x.split(batch)])
        known = activation_of(logits.shape[1], flow.activation)
        refuse_shares("prob", logits, known)
        organs = organs_of(channels, known, logits.shape[1])
        seconds = seconds_per_slice(net, x[:1])
        clock = Clock(int(sound.sum()) * (2 + draws), seconds, progress)
        masked = _Masked(net, x, PROBABILITY[known](logits), known, fill, batch, output)
        found = torch.full((len(NUMBERS), *sound.shape, len(WAYS)), torch.nan, dtype=torch.float64)
        for s, r, o, n in sound.nonzero().tolist():
            signed = flow.maps[flow.sites[s]][r, o, n].to(x)
            found[:, s, r, o, n] = masked.numbers(signed, organs[flow.organs[o]], n, draws, seed)
            clock.step(2 + draws)
    numbers = dict(zip(NUMBERS, found.movedim(-1, -2), strict=True))
    named = {"sites": flow.sites, "rules": flow.rules, "organs": flow.organs, "ways": WAYS,
             "cases": names, "fill": fill, "draws": draws}  # fmt: skip
    return PRESERVATION.dataset(numbers | named)


@dataclass(frozen=True)
class _Masked:
    """The network on slices that maps mask."""

    net: nn.Module
    x: Tensor
    whole: Tensor  # (N, C, *image) P(x)
    activation: str
    fill: float
    batch: int
    output: Output | None

    def numbers(self, signed: Tensor, organ: Organ, n: int, draws: int, seed: int) -> Tensor:
        """(4, 3) the numbers of one map (*cells), a way a column."""
        masks = torch.stack([*self._masks(signed, n, draws, seed)])  # (2 + draws, *image)
        shown = masks[:, None] * self.x[n] + (1 - masks[:, None]) * self.fill
        each = torch.stack([
            *self._preserved(shown, organ, n),
            masks.flatten(1).mean(1).double().cpu(),
            torch.tensor([_size(one) for one in shown]).double() / _size(self.x[n]),
        ])[[0, 2, 1, 3]]  # fmt: skip
        return torch.stack([each[:, 0], each[:, 1:-1].mean(1), each[:, -1]], 1)

    def _masks(self, signed: Tensor, n: int, draws: int, seed: int) -> Iterator[Tensor]:
        """The map, it shuffled, and an even one, each (*image) in [0, 1]."""
        image = self._image(signed)
        top = image.max()
        yield (own := image / top)
        for draw in range(draws):
            by = torch.Generator().manual_seed(seed + 1000 * n + draw)
            order = torch.randperm(signed.numel(), generator=by).to(signed.device)
            moved = self._image(signed.flatten()[order].reshape(signed.shape))
            yield (moved / top).clamp(max=1)  # by the map's own maximum, to keep about as much
        yield own.mean().expand_as(own)

    def _image(self, signed: Tensor) -> Tensor:
        """(*image) the rectified map, resized."""
        return on_grid(signed.relu()[None, None, None], self.x.shape[2:])[0, 0, 0]

    def _preserved(self, shown: Tensor, organ: Organ, n: int) -> tuple[Tensor, Tensor]:
        """Prediction Preserved and Excess of each image (k, C, *image), float64."""
        whole = self.whole[n, organ.channel].double()
        kept, more = [], []

        def run(part: slice) -> Tensor:
            logits = logits_at(self.net, shown[part], self.output)
            return PROBABILITY[self.activation](logits)[:, organ.channel].double()

        for _, seen in Batches(self.batch).over(len(shown), run):
            kept.append(torch.minimum(seen, whole).flatten(1).sum(1))
            more.append((seen - whole).clamp(min=0).flatten(1).sum(1))
        total = whole.sum()
        return (torch.cat(kept) / total).cpu(), (torch.cat(more) / total).cpu()


def _size(image: Tensor) -> int:
    """Bytes of an image, compressed."""
    return len(zlib.compress(image.float().cpu().contiguous().numpy().tobytes()))


def _check(
    flow: Flow, images: Tensor, channels: Mapping[str, OrganLike], cases: Sequence[str]
) -> None:
    if tuple(channels) != flow.organs:
        raise InputError(
            f"the flow explains {', '.join(flow.organs)}; give their channels in this order"
        )
    if not len(cases) == len(images) == flow.scores.shape[1]:
        raise InputError(
            f"{len(images)} slices, {len(cases)} cases, {flow.scores.shape[1]} slices in the flow; "
            "they must be as many"
        )
