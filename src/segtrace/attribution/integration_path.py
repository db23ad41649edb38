"""The straight path from a baseline to what stands at some sites, and the gradients along it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from segtrace.attribution.flow import mixes_slices
from segtrace.attribution.passes import one_by_one, together
from segtrace.errors import InputError, unknown
from segtrace.network.altering import Alteration, altering
from segtrace.network.graph import (
    DETACHED,
    INFERENCE,
    REENTRANT,
    check,
    check_all,
    gradients_of,
)
from segtrace.network.sites import Site


def points_of(steps: int) -> list[tuple[float, float]]:
    """Shares of the way from the baseline to the value, and the weights of their gradients."""
    roots = [(step + 0.5) / steps for step in range(steps)]
    return [(root**2, 2 * root / steps) for root in roots]


def start_of(place: Site, value: Tensor, baseline: Mapping[str, Tensor]) -> Tensor:
    """The baseline in the place's own layout; what is no cell (a class token) stays as it is."""
    if place.name not in baseline:
        raise unknown("baseline of", place.name, baseline, "the baseline")
    mean = baseline[place.name]
    start = value.clone()
    inside = place.channels_first(start)  # a view
    if mean.shape != inside.shape[1:2]:
        raise InputError(
            f"the baseline of {place.name!r} has shape {tuple(mean.shape)}; this network has "
            f"({inside.shape[1]},) channels there: it belongs to another network"
        )
    inside.copy_(mean.to(start).reshape(-1, *[1] * (inside.ndim - 2)).expand_as(inside))
    return start


class _MixedError(Exception):
    """A slice that was not explained got a gradient: slices influence each other."""


class IntegrationPath:
    """The straight path from the baseline to the value at some places, all others undisturbed."""

    def __init__(
        self,
        score: Callable[[], Tensor],
        net: nn.Module,
        weights: Tensor,
        points: Sequence[tuple[float, float]],
    ) -> None:
        self.score = score
        self.net = net
        self.weights = weights  # (O, N, C, *image)
        self.present = (weights != 0).flatten(2).any(2).cpu()  # (O, N)
        self.points = points  # shares of the way, and their weights
        self.apart = False  # one organ a pass, since slices influence each other
        self.graded = False  # the score depends on the network

    def scored(self, scores: Tensor) -> Tensor:
        """(O, N) the score of every organ, from φ(logits)."""
        return (self.weights * scores).flatten(2).sum(2)

    def along(
        self,
        places: Sequence[Site],
        values: Mapping[Site, Tensor],
        start: Mapping[Site, Tensor],
        scores: Tensor,
    ) -> tuple[dict[Site, Tensor], Tensor]:
        """Mean gradient (O, N, …) at each place along the path, and the score's change (O, N)."""
        try:
            total = self._total(places, values, start)
        except _MixedError:
            self.apart = True
            total = self._total(places, values, start)
        with torch.no_grad(), self._standing({p: start[p] for p in places}):
            change = scores - self.scored(self.score())
        if not self.graded and change.any():
            raise InputError(DETACHED)
        maps = {p: total[p] * (values[p] - start[p]) for p in places}
        return maps, change

    def _total(
        self, places: Sequence[Site], values: Mapping[Site, Tensor], start: Mapping[Site, Tensor]
    ) -> dict[Site, Tensor]:
        """Mean gradient (O, N, …) at each place along the path."""
        total = {p: values[p].new_zeros(len(self.weights), *values[p].shape) for p in places}
        for share, weight in self.points:
            here = {p: torch.lerp(start[p], values[p], share).requires_grad_() for p in places}
            # Checkpointed parts run again in the backward pass: the tensors must still stand there.
            with self._standing(here, graded=True):
                scored = self.score()
                self.graded = scored.requires_grad
                for turn, gradients in self._gradients(scored, here):
                    slices = (turn >= 0).nonzero()[:, 0]
                    for place, gradient in gradients.items():
                        total[place][turn[slices], slices] += weight * gradient[slices]
        return total

    def _gradients(
        self, scored: Tensor, here: Mapping[Site, Tensor]
    ) -> Iterator[tuple[Tensor, dict[Site, Tensor]]]:
        """Each slice's organ (N,), -1 for none, and gradients where its score depends on them."""
        if not scored.requires_grad:
            return
        check(scored, {place.name: tensor for place, tensor in here.items()})
        apart = self.apart or mixes_slices(scored)
        for turn in (one_by_one if apart else together)(self.present):
            seed = torch.zeros_like(scored)
            slices = (turn >= 0).nonzero()[:, 0]
            seed[slices] = self.weights[turn[slices], slices]
            gradients = gradients_of(scored, list(here.values()), seed)
            pairs = zip(here, gradients, strict=True)
            found = {place: gradient for place, gradient in pairs if gradient is not None}
            check_all(scored, {place.name for place in here} - {place.name for place in found})
            if not apart and any(g[turn < 0].any() for g in found.values()):
                raise _MixedError
            yield turn, found

    @contextmanager
    def _standing(self, tensors: Mapping[Site, Tensor], graded: bool = False) -> Iterator[None]:
        """Let tensors stand in the places during the block, whose passes need gradients or not."""

        def stand(place: Site) -> Alteration:
            def put(_: Tensor) -> Tensor:
                if graded and torch.is_inference_mode_enabled():
                    raise InputError(INFERENCE)
                if graded and not torch.is_grad_enabled():
                    raise InputError(f"{place.name!r} {REENTRANT}")
                return tensors[place].clone()  # which the network may write into

            return put

        with altering(self.net, {place: stand(place) for place in tensors}):
            yield
