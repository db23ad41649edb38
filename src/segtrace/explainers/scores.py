"""What an organ's region scores, in the network as it is and on whatever images it is shown."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

from segtrace.activation import predicted
from segtrace.attribution.flow import Flow
from segtrace.attribution.forward import SCORES, agreed, weights_of
from segtrace.attribution.targets import Target
from segtrace.attribution.weights import Weights
from segtrace.causal.batches import SLICES, Batches, Clock, seconds_per_slice
from segtrace.errors import InputError
from segtrace.explainers.explainer import Budget
from segtrace.explainers.stage_maps import flow_of
from segtrace.network.guards import a_finite_image
from segtrace.network.labels import refuse_shares
from segtrace.network.logits import logits_at
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.tracking.explained import Network

OF_VOLUMES = "ablation_cam, attribution_patching, kernel_weighted or deepdream"
"""Explainers that take volumes, for messages."""


@dataclass(frozen=True)
class Scores:
    """The network as it is, on its slices: it decides the regions, whatever it is shown then.

    Attributes:
        net: the network.
        x: (N, C, *image) its slices.
        logits: of them.
        weights: organ -> those of its region.
        score: φ of the score.
        activation: of the logits.
        title: of the method, in progress.
        budget: how long it may work, and who hears how far it has come.
        start: when it began.
    """

    net: nn.Module
    x: Tensor
    logits: Tensor
    weights: Mapping[str, Weights]
    score: str
    activation: str
    title: str
    budget: Budget
    start: float

    def of(self, logits: Tensor, which: slice | Tensor) -> Tensor:
        """(O, n) scores of logits (n, C, *image) in the regions of so many slices."""
        scored = SCORES[self.score](logits, self.activation)
        return torch.stack([one[which].score(scored) for one in self.weights.values()])

    @property
    def whole(self) -> Tensor:
        """(O, N) of the slices as they are."""
        return self.of(self.logits, slice(None))

    @property
    def seconds(self) -> float:
        """Since the start."""
        return perf_counter() - self.start

    def is_over(self) -> bool:
        """Whether the time is."""
        return self.budget.is_over(self.start)

    @contextmanager
    def clock(self, passes: int) -> Iterator[Clock]:
        """What tells how far so many passes of one image have come; it says first what they cost.

        Inside the block alone.
        """
        words = f"{self.title}: {passes} forward passes of one image"
        with self.budget.shown(words) as tell:
            yield Clock(passes, seconds_per_slice(self.net, self.x[:SLICES]), tell)

    def shown(self, which: Tensor, images: Callable[[slice], Tensor]) -> Tensor:
        """(O, done) scores of images that the network is shown, one after the other.

        It leaves off after the batch in which the time is over.

        Args:
            which: the slice of each, in whose region it is scored.
            images: (n, C, *image), those of a part.
        """
        found = []

        def run(part: slice) -> Tensor:
            return self.of(logits_at(self.net, images(part)), which[part])

        with self.clock(len(which)) as clock:
            for part, scores in Batches(SLICES).over(len(which), run):
                found.append(scores)
                clock.step(part.stop - part.start)
                if self.is_over():
                    break
        return torch.cat(found, 1).double().cpu()

    def flow(self, name: str, maps: Mapping[str, Tensor]) -> Flow:
        """The maps of an explainer, stage -> (O, N, *cells)."""
        regions = torch.stack([one.pixels(self.logits) for one in self.weights.values()])
        scores = dict(zip(self.weights, self.whole.cpu(), strict=True))
        found = predicted(self.logits, self.activation)
        return flow_of(name, self.score, maps, scores, regions.cpu(), found.cpu(), self.activation)


@contextmanager
def scoring(
    network: Network,
    targets: Mapping[str, Target],
    budget: Budget,
    title: str,
    score: str | None = None,
    *,
    volumes: bool = False,
    passes: int | None = None,
) -> Iterator[Scores]:
    """Inside the block the network runs as it is, without gradients; nothing stays changed.

    Args:
        network: the network, its slices, and the settings: score and activation.
        targets: organ -> what is explained of it.
        budget: time and progress.
        title: of the method.
        score: in place of the settings'.
        volumes: whether the method takes them.
        passes: forward passes of each that it would take, to be told where it does not.

    Raises:
        InputError: volumes that it does not take; values that are not finite; a score that does not
            fit the logits.
    """
    a_finite_image("image", network.probes.images)
    if network.probes.images.ndim != 4 and not volumes:
        cost = f", {passes} forward passes of each volume" if passes else ""
        raise InputError(
            f"{title} explains slices (N, C, H, W), and the image is "
            f"{tuple(network.probes.images.shape)}{cost}; give a 2-D network and its slices, or "
            f"take {OF_VOLUMES}, for volumes"
        )
    if network.sliding is not None:
        raise InputError(f"{title} does not go window by window; give it patches of one window")
    start, net, score = perf_counter(), unwrapped(network.net), score or network.settings.score
    x = as_input(net, network.probes.images)
    with undisturbed(net, x.device), torch.no_grad():
        logits = torch.cat([logits_at(net, part) for part in x.split(SLICES)])
        known = agreed(network.settings.activation, targets, logits)
        refuse_shares(score, logits, known)
        weights = {organ: weights_of(organ, one, logits, known) for organ, one in targets.items()}
        yield Scores(net, x, logits, weights, score, known, title, budget, start)


@contextmanager
def on_first_slice(network: Network) -> Iterator[tuple[nn.Module, Tensor]]:
    """Inside the block the network runs as it is, without gradients, on (1, C, *image) of these."""
    net = unwrapped(network.net)
    x = as_input(net, network.probes.images[:1])
    with undisturbed(net, x.device), torch.no_grad():
        yield net, x
