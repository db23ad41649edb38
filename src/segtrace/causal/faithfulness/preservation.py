"""Is the prediction preserved where a map masks the image? Mullan and Sonka's measures of a map.

The image is multiplied by the map, scaled to [0, 1], and shown to the network again. A map that
keeps everything preserves everything, so no number here says anything alone: beside each stand
those of the same map with its cells shuffled, which keeps about as much of the image in other
places, of an even map, which keeps as much everywhere, and of maps that no explaining gave: the
image itself, the prediction itself, another slice's map, and the untrained network's.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtrace.activation import (
    PROBABILITY,
    Organ,
    OrganLike,
    activation_of,
    organs_of,
    predicted,
    predicted_mask,
)
from segtrace.attribution.flow import A_FLOW, Flow, Status
from segtrace.attribution.forward import Output
from segtrace.causal import guards
from segtrace.causal.batches import SLICES, Batches, Clock, seconds_per_slice
from segtrace.causal.faithfulness.masking import brightness, check_slices, on_image
from segtrace.errors import unknown
from segtrace.labelled import Dataset, Form
from segtrace.network.guards import a_number, from_zero, optional
from segtrace.network.guards import names as some_names
from segtrace.network.labels import refuse_shares
from segtrace.network.logits import logits_at
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import OnProgress

WAYS = ("map", "shuffled", "even", "image", "prediction", "other", "untrained")
"""The map, and its controls: its cells shuffled; the same everywhere; the slice's own brightness;
the prediction itself, which needs no explaining; the map of the next slice (of another case, where
there is one) that has a sound one; the untrained network's, where it is known."""
NUMBERS = ("prediction_preserved", "image_preserved", "excess", "relative_entropy")
PRESERVATION = Form(
    dict.fromkeys(NUMBERS, "site rule organ way slice"),
    {"sites": "site", "rules": "rule", "organs": "organ", "ways": "way", "cases": "case slice"},
    ("fill", "draws"),
)


@guards.held(
    flow=A_FLOW, untrained=optional(A_FLOW), ways=some_names, fill=a_number, seed=from_zero
)
def preservation(
    net: nn.Module,
    flow: Flow,
    images: Tensor,
    channels: Mapping[str, OrganLike],
    *,
    cases: Sequence[str] | None = None,
    untrained: Flow | None = None,
    ways: Sequence[str] = WAYS,
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

    Costs 6 + ``draws`` passes a sound map, one less without the untrained network.

    Args:
        net: the network.
        flow: maps of these slices.
        images: (N, C, *image) the slices of the flow.
        channels: organ -> channel, of the flow's organs.
        cases: name of each slice's case; by default every slice is one of its own.
        untrained: maps of the untrained network, of the same sites, rules and organs.
        ways: the map and its controls, see :data:`WAYS`.
        fill: what stands where the map is 0, as the network takes it: 0 is air behind a window of
            [0, 1], and something else behind another normalisation.
        draws: shuffled maps, whose mean is taken.
        seed: of these; the same for all maps of a grid.
        batch: images per pass; halves when memory runs out.
        output: picks the logits from what the network returns.
        progress: called with an estimate before the start and after every map.

    Returns:
        The four numbers; axes site, rule, organ, way and slice. NaN where the map's status, or
        that of the other map of a way, is not ``ok``, or the organ has no probability at all.

    Raises:
        InputError: organs or slices that are not a flow's; a way that is not known; a network that
            returns probabilities.
    """
    net = unwrapped(net)
    names = tuple(cases) if cases is not None else tuple(str(n) for n in range(len(images)))
    check_slices(flow, images, channels, names)
    if untrained is not None:
        check_slices(untrained, images, channels, names)
    if strange := next((way for way in ways if way not in WAYS), None):
        raise unknown("way", strange, WAYS)
    x = as_input(net, images)
    with undisturbed(net, x.device), torch.no_grad():
        logits = torch.cat([logits_at(net, part, output) for part in x.split(batch)])
        known = activation_of(logits.shape[1], flow.activation)
        refuse_shares("prob", logits, known)
        organs = organs_of(channels, known, logits.shape[1])
        seconds = seconds_per_slice(net, x[:1])
        whole = predicted(logits, known)
        found_in = torch.stack([predicted_mask(whole, organ) for organ in organs.values()]).to(x)
        shown = _Ways(flow, untrained, names, brightness(x), found_in, tuple(ways), draws, seed)
        sound = (flow.status == Status.OK).nonzero().tolist()
        clock = Clock(len(sound) * shown.most, seconds, progress)
        masked = _Masked(net, x, PROBABILITY[known](logits), known, fill, batch, output)
        found = torch.full(
            (len(NUMBERS), *flow.status.shape, len(ways)), torch.nan, dtype=torch.float64
        )
        for s, r, o, n in sound:
            masks = shown.of(s, r, o, n)
            each = masked.numbers(torch.cat([*masks.values()]), organs[flow.organs[o]], n)
            parts = each.split([len(one) for one in masks.values()], 1)
            for way, part in zip(masks, parts, strict=True):
                found[:, s, r, o, n, ways.index(way)] = part.mean(1)
            clock.step(shown.most)
    numbers = dict(zip(NUMBERS, found.movedim(-1, -2), strict=True))
    named = {"sites": flow.sites, "rules": flow.rules, "organs": flow.organs, "ways": ways,
             "cases": names, "fill": fill, "draws": draws}  # fmt: skip
    return PRESERVATION.dataset(numbers | named)


@dataclass(frozen=True)
class _Ways:
    """A map as a mask of the image, and what stands beside it, each (k, *image) in [0, 1]."""

    flow: Flow
    untrained: Flow | None
    cases: tuple[str, ...]
    bright: Tensor  # (N, *image)
    predicted: Tensor  # (O, N, *image) 1 where an organ is predicted
    asked: tuple[str, ...]
    draws: int
    seed: int

    @property
    def most(self) -> int:
        """Masks a map, at most."""
        unknown = self.untrained is None and "untrained" in self.asked
        return len(self.asked) - unknown + ("shuffled" in self.asked) * (self.draws - 1)

    def of(self, s: int, r: int, o: int, n: int) -> dict[str, Tensor]:
        """Way -> masks, of a sound map; nothing of a way that has none."""
        site = self.flow.sites[s]
        signed = self.flow.maps[site][r, o, n].to(self.bright)
        image = on_image(signed, self.bright.shape[1:])
        own = image / image.max()
        found: dict[str, Callable[[], Tensor | None]] = {
            "map": lambda: own,
            "shuffled": lambda: self._shuffled(signed, image.max(), n),
            "even": lambda: own.mean().expand_as(own),
            "image": lambda: self.bright[n],
            "prediction": lambda: self.predicted[o, n] if self.predicted[o, n].any() else None,
            "other": lambda: self._scaled(self.flow, site, r, o, self._beside(s, r, o, n)),
            "untrained": lambda: self._scaled(self.untrained, site, r, o, n),
        }
        masks = {way: found[way]() for way in self.asked}
        size = self.bright.shape[1:]
        return {way: one.reshape(-1, *size) for way, one in masks.items() if one is not None}

    def _shuffled(self, signed: Tensor, top: Tensor, n: int) -> Tensor:
        """By the map's own maximum, to keep about as much."""
        found = []
        for draw in range(self.draws):
            by = torch.Generator().manual_seed(self.seed + 1000 * n + draw)
            order = torch.randperm(signed.numel(), generator=by).to(signed.device)
            moved = signed.flatten()[order].reshape(signed.shape)
            found.append((on_image(moved, self.bright.shape[1:]) / top).clamp(max=1))
        return torch.stack(found)

    def _beside(self, s: int, r: int, o: int, n: int) -> int | None:
        """The next slice that has a sound map, of another case where there is one."""
        order = [*range(n + 1, len(self.cases)), *range(n)]
        sound = [i for i in order if self.flow.status[s, r, o, i] == Status.OK]
        others = [i for i in sound if self.cases[i] != self.cases[n]]
        return next(iter(others or sound), None)

    def _scaled(self, flow: Flow | None, site: str, r: int, o: int, n: int | None) -> Tensor | None:
        """A sound map on the image, divided by its maximum; ``None`` where there is none."""
        if flow is None or n is None or flow.status[flow.sites.index(site), r, o, n] != Status.OK:
            return None
        image = on_image(flow.maps[site][r, o, n].to(self.bright), self.bright.shape[1:])
        return image / image.max()


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

    def numbers(self, masks: Tensor, organ: Organ, n: int) -> Tensor:
        """(4, k) the numbers of masks (k, *image)."""
        shown = masks[:, None] * self.x[n] + (1 - masks[:, None]) * self.fill
        kept, more = self._preserved(shown, organ, n)
        whole = _size(self.x[n])
        left = torch.tensor([_size(one) / whole for one in shown], dtype=torch.float64)
        return torch.stack([kept, masks.flatten(1).mean(1).double().cpu(), more, left])

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
