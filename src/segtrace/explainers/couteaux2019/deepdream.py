"""DeepDream for segmentation: how an organ's image changes on the way up the organ's score."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import ClassVar

import torch
from torch import Tensor, nn

from segtrace.activation import predicted
from segtrace.attribution.targets import Target
from segtrace.causal.batches import SLICES, Clock
from segtrace.errors import InputError, unknown
from segtrace.explainers.couteaux2019.ascent import L2, NORMS, STD, Ascent
from segtrace.explainers.couteaux2019.controls import Controls, passes
from segtrace.explainers.couteaux2019.dreams import Climbed, Dreams
from segtrace.explainers.couteaux2019.features import Ruler
from segtrace.explainers.couteaux2019.trajectory import Recorder
from segtrace.explainers.couteaux2019.verdicts import judge
from segtrace.explainers.explainer import Budget, checked_seconds
from segtrace.explainers.scores import Scores, scoring
from segtrace.network import guards
from segtrace.network.logits import logits_at
from segtrace.network.undisturbed import undisturbed, unwrapped
from segtrace.progress import counted
from segtrace.report.claims.recognition import why_not
from segtrace.tracking.explained import Network, scene


@guards.fields(
    steps=guards.a_count,
    step_size=guards.optional(guards.a_number),
    norm=guards.a_name,
    every=guards.a_count,
    draws=guards.a_count,
    seed=guards.from_zero,
    max_seconds=guards.optional(guards.a_number),
    clamp=guards.optional(guards.a_range),
    untrained=guards.optional(guards.a_network),
    hounsfield=guards.optional(guards.a_range),
)
@dataclass(frozen=True)
class DeepDream:
    """Couteaux et al. 2019, with an organ's region in the place of an output neuron.

    Gradient ascent on the image, x ← clamp(x + η g / |g|) with g = ∂S/∂x: S the score of an
    organ's region, which the network decides at the start. On the way the predicted regions of all
    organs are measured. A forward and a backward pass a step, slice and organ, and for the
    controls 22, however many steps, with ``draws`` more a slice; of a volume each is one of the
    whole volume, of which an image an organ is held.
    What may be said: :mod:`~segtrace.explainers.couteaux2019.verdicts`.

    Attributes:
        steps: how many.
        step_size: η, in values of the network's input; ``None`` for what moves the pixels of a
            slice by 0.02 of their standard deviation.
        norm: |g|, ``l2``, the root of the sum of squares; ``std``, the standard deviation.
        clamp: lower and upper end of the network's input; ``None`` for 0 and 1 where a slice lies
            between them, else its own smallest and largest value.
        every: so many steps, and at the first and last, regions are measured.
        draws: directions by chance.
        seed: of these, and of networks of shuffled weights.
        max_seconds: steps done by then are shown; ``None`` for no limit.
        untrained: the network before its training, to stand beside it; ``explain.py`` takes that of
            the checkpoint.
        hounsfield: HU that 0 and 1 of the input stand for; without it no HU are told. As there.

    Raises:
        InputError: options without sense.
    """

    name: ClassVar[str] = "deepdream"
    title: ClassVar[str] = "DeepDream"
    equation: ClassVar[str] = (
        "DeepDream for segmentation (Couteaux et al. 2019), x ← x + η g / |g| with g = ∂S/∂x, S "
        "the score of the organ's region of step 0: what the image gains on the way up the score, "
        "and what becomes of the predicted organs"
    )
    papers: ClassVar[tuple[str, ...]] = ("couteaux2019",)
    of_volumes: ClassVar[bool] = True

    steps: int = 20
    step_size: float | None = None
    norm: str = STD
    clamp: tuple[float, float] | None = None
    every: int = 2
    draws: int = 3
    seed: int = 0
    max_seconds: float | None = 600.0
    untrained: nn.Module | None = field(default=None, repr=False)
    hounsfield: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown("norm", self.norm, (L2, STD))
        if self.step_size is not None and not self.step_size > 0:
            raise InputError(
                f"step_size={self.step_size}; give more than 0, or None (YAML: null) for 0.02 sd"
            )
        checked_seconds(self.max_seconds)

    def comparing(self, untrained: nn.Module | None, window: tuple[float, float]) -> "DeepDream":
        """See :class:`~segtrace.explainers.explainer.Comparing`."""
        return replace(self, untrained=untrained, hounsfield=window)

    def explain(
        self,
        network: Network,
        targets: Mapping[str, Target],
        budget: Budget,
        epoch: int | None = None,
    ) -> Dreams:
        """Climb; see :class:`~segtrace.explainers.explainer.Explainer`.

        Raises:
            InputError: an untrained network of other logits.
        """
        with (
            scoring(network, targets, budget, self.title, volumes=self.of_volumes) as scores,
            ExitStack() as s,
        ):
            before = None if self.untrained is None else unwrapped(self.untrained)
            if before is not None:
                s.enter_context(undisturbed(before, scores.x.device))
                s.enter_context(torch.no_grad())  # which that ends
                _check_alike(logits_at(before, scores.x[:1]), scores.logits)
            ruler = Ruler.of(
                network.probes.spacing, scores.x.ndim - 2, self.hounsfield,
                hounsfield=network.probes.hounsfield_known,
            )  # fmt: skip
            record = self._recorder(network, scores, ruler)
            ascent = Ascent.of(scores, self.norm, self.step_size, self.clamp)
            climbs = len(scores.x) * len(scores.weights) * (self.steps + 1)
            extra = passes(len(scores.x), len(scores.weights), self.draws,
                           untrained=before is not None)  # fmt: skip
            first = _seconds(ascent, *scores.weights)
            words = (
                f"{self.title}: {counted(self.steps, 'step')} up the score of "
                f"{counted(len(scores.weights), 'organ')}, "
                f"{climbs + extra} forward and backward passes of one image"
            )
            with budget.shown(words) as tell:
                clock = Clock(climbs + extra, first, tell)
                done = ascent.climb(self.steps, self.every, record.seen, clock.step)
                lines = None
                if done == self.steps:
                    controls = Controls(ascent, done, record, ruler.width, self.seed, clock.step)
                    lines = controls.run(self.draws, before)
            trajectory, own = record.trajectory(), scene(network.probes, network.channels)
            found = predicted(scores.logits, scores.activation).cpu()
            unknown_to = why_not(own, found, trajectory.organs)
            verdicts = (() if lines is None else
                        judge(trajectory, lines, own.cases, ruler, unknown_to))  # fmt: skip
            climbed = Climbed(done, clock.done, scores.seconds, lines is not None)
            return Dreams(
                self, own, ruler, trajectory, verdicts, climbed,
                network.settings.region, scores.score, epoch,
            )  # fmt: skip

    def _recorder(self, network: Network, scores: Scores, ruler: Ruler) -> Recorder:
        organs, seen = [*scores.weights], scene(network.probes, network.channels)
        found = predicted(scores.logits, scores.activation)
        return Recorder(
            organs, network.channels, scores.logits, scores.activation, scores.x, ruler,
            {organ: _where(seen.there(organ), seen.found(organ, found)) for organ in organs},
            {organ: one.pixels(scores.logits) == 0 for organ, one in scores.weights.items()},
        )  # fmt: skip


def _check_alike(untrained: Tensor, trained: Tensor) -> None:
    """Refuse a network of other logits, which is not the same one before its training."""
    if untrained.shape[1:] != trained.shape[1:]:
        raise InputError(
            f"untrained has logits {tuple(untrained.shape[1:])} of a slice, the network "
            f"{tuple(trained.shape[1:])}; give the same network before its training, or None"
        )


def _where(there: Tensor | None, found: Tensor | None) -> Tensor:
    mask = found if there is None else there
    if mask is None:
        raise InputError("an organ without a channel cannot be climbed")
    return mask


def _seconds(ascent: Ascent, organ: str, *_others: str) -> float:
    """What a forward and a backward pass of one slice take, once they have warmed up."""
    x = ascent.scores.x[:SLICES]
    ascent.gradient(organ, x[:1], slice(0, 1))
    start = perf_counter()
    ascent.gradient(organ, x, slice(0, len(x)))
    return (perf_counter() - start) / len(x)
