"""Do the pixels that a map puts first carry the prediction? The authors' measures on the image.

A map orders the pixels: they are taken from the slice one part after the other (deletion), or
given back to what hides it (insertion), and what the network then predicts is held against its
prediction of the whole slice, P_c. The order alone counts, so that maps of any scale can be
compared. Dice Explained and the Saliency Ratio threshold the map instead: they depend on how much
it shows as well as on where.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtrace.activation import (
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
from segtrace.causal.faithfulness.masking import check_slices, on_image
from segtrace.dice import dice
from segtrace.errors import InputError
from segtrace.labelled import Dataset, Form
from segtrace.network.guards import a_count, a_number, from_zero, tensors
from segtrace.network.logits import logits_at
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import OnProgress

ENOUGH = 0.9
"""The Dice to the prediction that the Saliency Ratio asks for."""
NUMBERS = ("deletion", "insertion", "dice_explained", "saliency_ratio")
_MAP, _HIDDEN = "site rule organ slice", "site rule organ slice hidden"
PIXELS = Form(
    {"deletion": _HIDDEN, "insertion": _HIDDEN, "dice_explained": _MAP, "saliency_ratio": _MAP,
     "deleted": f"{_HIDDEN} step", "inserted": f"{_HIDDEN} step", "explained": f"{_MAP} threshold"},
    {"sites": "site", "rules": "rule", "organs": "organ", "hidden": "hidden",
     "cases": "case slice"},
    ("fill", "steps", "thresholds", "passes"),
)  # fmt: skip


@guards.held(flow=A_FLOW, hidden=tensors, fill=a_number, thresholds=a_count, seed=from_zero)
def pixels(
    net: nn.Module,
    flow: Flow,
    images: Tensor,
    channels: Mapping[str, OrganLike],
    hidden: Mapping[str, Tensor],
    *,
    cases: Sequence[str] | None = None,
    fill: float = 0.0,
    steps: int = 100,
    thresholds: int = 100,
    seed: int = 0,
    batch: int = SLICES,
    output: Output | None = None,
    progress: OnProgress | None = None,
) -> Dataset:
    """Deletion, insertion, Dice Explained and Saliency Ratio of every map of a flow.

    With L the rectified map, resized to the image, and P_c the organ in the network's own
    prediction of the whole slice x: the pixels are ordered by L, the largest first, those alike
    (as all where L is 0) in an order drawn by chance that is the same for all maps of a slice.
    ``deleted`` is Dice(pred(x with the first k / ``steps`` of them hidden by b), P_c) for k = 0 …
    ``steps``, ``inserted`` the same of b with those of x; ``deletion`` (less is better) and
    ``insertion`` (more is) the areas under them over the fraction, by trapezoids. ``explained`` is
    Dice(pred(x where L / max L > t, else ``fill``), P_c) for t = 0 … 1 in as many steps as
    ``thresholds``, ``dice_explained`` the area under it, and ``saliency_ratio`` Σ[L / max L > t] /
    #P_c at the largest t whose Dice is :data:`ENOUGH`. Where none is, all that is left to show is
    the whole image, and the ratio that of its pixels: left out, a map would look the better the
    seldomer it is enough.

    Costs a sound map 2 (``steps`` - 1) passes a b, and ``thresholds`` + 1.

    Args:
        net: the network.
        flow: maps of these slices.
        images: (N, C, *image) the slices of the flow.
        channels: organ -> channel, of the flow's organs.
        hidden: name -> b (N, C, *image), what is shown where a slice is not.
        cases: name of each slice's case; by default every slice is one of its own.
        fill: see above, as the network takes it: 0 is air behind a window of [0, 1].
        steps: parts that the pixels are taken in; 100 is 1 % a step.
        thresholds: steps of t.
        seed: of the order of pixels that are alike.
        batch: images per pass; halves when memory runs out.
        output: picks the logits from what the network returns.
        progress: called with an estimate before the start and after every map.

    Returns:
        The numbers, with the axes site, rule, organ, (hidden,) and slice, and the curves. NaN where
        the map's status is not ``ok``, where it is the same everywhere and orders nothing, and
        where the network predicts nothing of the organ. ``passes``: forward, of one slice.

    Raises:
        InputError: organs or slices that are not the flow's; a b of another shape than the slices.
    """
    net = unwrapped(net)
    names = tuple(cases) if cases is not None else tuple(str(n) for n in range(len(images)))
    check_slices(flow, images, channels, names)
    _check_hidden(hidden, images)
    x = as_input(net, images)
    with undisturbed(net, x.device), torch.no_grad():
        first = logits_at(net, x[:1], output)
        known = activation_of(first.shape[1], flow.activation)
        organs = tuple(organs_of(channels, known, first.shape[1]).values())
        seen = _Seen(net, x, torch.stack([b.to(x) for b in hidden.values()]), known, organs, fill,
                     steps, thresholds, batch, output)  # fmt: skip
        seconds = seconds_per_slice(net, x[:1])
        whole = seen.masks(x)  # (O, N, *image) P_c
        told = (flow.status == Status.OK).cpu() & whole.flatten(2).any(-1).cpu()
        total = int(told.sum()) * seen.passes + len(hidden) * len(x)
        clock = Clock(total, seconds, progress)
        ends = torch.stack([_dice(seen.masks(b).flatten(2), whole.flatten(2))
                            for b in seen.hidden])  # (B, O, N)  # fmt: skip
        clock.step(len(hidden) * len(x))
        numbers = _empty(told.shape, len(hidden), steps, thresholds)
        for s, r, o, n in told.nonzero().tolist():
            image = on_image(flow.maps[flow.sites[s]][r, o, n].to(x), x.shape[2:])
            if image.amax() > image.amin():
                found = seen.curves(image, whole[o, n], ends[:, o, n], o, n, seed)
                for name, value in found.items():
                    numbers[name][s, r, o, n] = value
            clock.step(seen.passes)
    named = {"sites": flow.sites, "rules": flow.rules, "organs": flow.organs, "hidden": [*hidden],
             "cases": names, "fill": fill, "steps": steps, "thresholds": thresholds,
             "passes": total}  # fmt: skip
    return PIXELS.dataset(numbers | named)


def passes_of_map(hidden: int, steps: int, thresholds: int) -> int:
    """Forward passes of one image for one map, with so many ways to hide pixels."""
    return 2 * (steps - 1) * hidden + thresholds + 1


@dataclass(frozen=True)
class _Seen:
    """The network on slices of which pixels are hidden."""

    net: nn.Module
    x: Tensor
    hidden: Tensor  # (B, N, C, *image)
    activation: str
    organs: tuple[Organ, ...]
    fill: float
    steps: int
    thresholds: int
    batch: int
    output: Output | None

    @property
    def passes(self) -> int:
        """Of one map."""
        return passes_of_map(len(self.hidden), self.steps, self.thresholds)

    def masks(self, images: Tensor) -> Tensor:
        """(O, n, *image) bool, what is predicted of every organ in images (n, C, *image)."""

        def run(part: slice) -> Tensor:
            found = predicted(logits_at(self.net, images[part], self.output), self.activation)
            return torch.stack([predicted_mask(found, organ) for organ in self.organs])

        return torch.cat([found for _, found in Batches(self.batch).over(len(images), run)], 1)

    def curves(
        self, image: Tensor, whole: Tensor, ends: Tensor, o: int, n: int, seed: int
    ) -> dict[str, Tensor]:
        """The numbers of one map (*image), by :data:`PIXELS`.

        Args:
            image: the map, not negative, not the same everywhere.
            whole: (*image) P_c.
            ends: (B,) Dice of what is predicted of each b alone.
            o: which organ.
            n: which slice.
            seed: of the order of pixels that are alike.
        """
        ranks, steps = _ranks(image, seed + n), self.steps
        counts = (torch.arange(1, steps).double() / steps * ranks.numel()).round().to(ranks.device)
        hides = ranks < counts.reshape(-1, *[1] * ranks.ndim)  # (steps - 1, *image)
        deleted, inserted = ends.new_ones(2, len(ends), steps + 1)
        deleted[:, -1], inserted[:, 0] = ends, ends
        for b, hidden in enumerate(self.hidden[:, n]):
            deleted[b, 1:-1] = self._dice(~hides, hidden, whole, o, n)
            inserted[b, 1:-1] = self._dice(hides, hidden, whole, o, n)
        levels = torch.arange(self.thresholds + 1).to(image) / self.thresholds
        shows = image / image.max() > levels.reshape(-1, *[1] * image.ndim)
        fill = torch.full_like(self.x[n], self.fill)
        explained = self._dice(shows, fill, whole, o, n)
        kept = (shows.flatten(1).sum(1) / whole.sum()).double().cpu()
        whole_image = image.numel() / whole.sum().double().cpu()
        enough = kept[explained >= ENOUGH]  # falling with t
        return {"deleted": deleted, "inserted": inserted, "explained": explained,
                "deletion": _area(deleted), "insertion": _area(inserted),
                "dice_explained": _area(explained),
                "saliency_ratio": enough[-1] if len(enough) else whole_image}  # fmt: skip

    def _dice(self, shows: Tensor, hidden: Tensor, whole: Tensor, o: int, n: int) -> Tensor:
        """(k,) Dice to P_c where pixels (k, *image) of slice n are shown and the others hidden."""

        def run(part: slice) -> Tensor:
            shown = torch.where(shows[part][:, None], self.x[n], hidden)
            found = predicted(logits_at(self.net, shown, self.output), self.activation)
            mask = predicted_mask(found, self.organs[o])
            return _dice(mask.flatten(1), whole.flatten())

        return torch.cat([found for _, found in Batches(self.batch).over(len(shows), run)])


def _dice(found: Tensor, whole: Tensor) -> Tensor:
    """Dice of masks (…, pixels) to those of P_c (…, pixels): float64, NaN where P_c is empty."""
    both, sizes, true = (one.sum(-1).double().cpu() for one in (found & whole, found, whole))
    return dice(both, sizes, true)


def _ranks(image: Tensor, seed: int) -> Tensor:
    """(*image) the place of every pixel, 0 the largest; those alike in an order by chance."""
    by = torch.Generator().manual_seed(seed)
    order = torch.randperm(image.numel(), generator=by).to(image.device)
    largest_first = image.flatten()[order].argsort(descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order[largest_first]] = torch.arange(image.numel(), device=image.device)
    return ranks.reshape(image.shape)


def _area(curve: Tensor) -> Tensor:
    """(…, k + 1) -> (…) under the curve, over a fraction from 0 to 1 in k steps."""
    return torch.trapezoid(curve, dx=1 / (curve.shape[-1] - 1))


def _empty(shape: Sequence[int], hidden: int, steps: int, thresholds: int) -> dict[str, Tensor]:
    """The numbers, none known, of maps (S, R, O, N)."""
    sizes = {"hidden": hidden, "step": steps + 1, "threshold": thresholds + 1}
    behind = {name: [sizes[axis] for axis in axes.split()[len(shape) :]]
              for name, axes in PIXELS.numbers.items()}  # fmt: skip
    return {name: torch.full((*shape, *more), torch.nan, dtype=torch.float64)
            for name, more in behind.items()}  # fmt: skip


def _check_hidden(hidden: Mapping[str, Tensor], images: Tensor) -> None:
    if not hidden:
        raise InputError("hidden is empty; give at least one, {'black': torch.zeros_like(images)}")
    for name, b in hidden.items():
        if b.shape != images.shape:
            raise InputError(
                f"hidden[{name!r}] has shape {tuple(b.shape)}; the images ask for "
                f"{tuple(images.shape)}"
            )
