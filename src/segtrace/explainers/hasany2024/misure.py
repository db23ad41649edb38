"""MiSuRe: the part of a slice that is enough for an organ to be predicted as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar

from segtrace.attribution import targets as regions
from segtrace.attribution.flow import INPUT
from segtrace.attribution.targets import Target
from segtrace.causal.batches import SLICES, Clock, seconds_per_slice
from segtrace.errors import InputError
from segtrace.explainers.baseline import check_baseline
from segtrace.explainers.explainer import Budget, OutOfTimeError, checked_seconds
from segtrace.explainers.hasany2024.kept import Kept, controls
from segtrace.explainers.hasany2024.kept_maps import READING, KeptMaps
from segtrace.explainers.hasany2024.masks import BACKWARD, dilated, minimised, shrinking
from segtrace.explainers.hasany2024.pairs import Pairs, check_size
from segtrace.explainers.image_result import Drawn
from segtrace.explainers.scores import on_first_slice, scoring
from segtrace.explainers.stage_maps import measured
from segtrace.network import guards
from segtrace.network.logits import logits_at
from segtrace.tracking.explained import Network

REGION, SCORE = "pred", "prob"
"""What is kept is the prediction, and its probability is what stage 2 works on."""
TRIES = 10
"""Passes of a slice in stage 1, as a rule: known only when it is done."""


@guards.fields(
    keep=guards.a_number,
    window=guards.a_count,
    steps=guards.a_count,
    rate=guards.a_number,
    sparsity=guards.a_number,
    variation=guards.a_number,
    moves=guards.a_count,
    seed=guards.from_zero,
    max_seconds=guards.optional(guards.a_number),
)
@dataclass(frozen=True)
class Misure:
    """Hasany, Mériaudeau and Petitjean 2024: which part of the slice is enough?

    Of every organ on every slice, whatever region is explained: P_c is its predicted mask, and the
    network is shown x ⊙ m + b ⊙ (1 - m). Stage 1: m is P_c, dilated until the Dice of what is
    predicted to P_c is ``keep``. Stage 2: from there on m, in [0, 1], minimises
    1 - softDice(p_c, P_c) + λ Σ m / |P_c| + v TV(m) by AdamW. What is kept by the final mask is
    measured again, of the prediction and not of its probability, and beside it what the same mask
    keeps elsewhere, see :func:`~segtrace.explainers.hasany2024.kept.controls`.

    Forward passes an organ and slice: some 10 of stage 1, and 2 + 2 ``moves`` of the controls; of
    stage 2 ``steps`` forward and back. Volumes are refused: in 3-D each of these passes would be of
    a whole volume.

    Attributes:
        keep: the Dice from which on a prediction is kept.
        window: pixels of the square that dilates, odd.
        steps: of stage 2.
        rate: the learning rate.
        sparsity: λ, what it costs to show as much of the slice as the organ takes; theirs is a
            weight over the number of pixels, under which masks grow.
        variation: v, which smooths the mask; at 0 it falls apart into single pixels.
        moves: how often the mask is moved elsewhere.
        baseline: b, see :class:`~segtrace.explainers.petsiuk2018.Rise`.
        seed: of the moves.
        max_seconds: stage 2 ends at the step that is done by then; ``None`` for no limit.

    Raises:
        InputError: options without sense.
    """

    name: ClassVar[str] = "misure"
    title: ClassVar[str] = "MiSuRe"
    equation: ClassVar[str] = (
        "MiSuRe (Hasany, Mériaudeau and Petitjean 2024), stage 1: the predicted mask P_c dilated "
        "until Dice(prediction of x ⊙ m + b ⊙ (1 - m), P_c) is high enough; stage 2: from there "
        "m = argmin 1 - softDice(p_c, P_c) + λ Σ m / |P_c| + v TV(m)"
    )
    papers: ClassVar[tuple[str, ...]] = ("hasany2024",)
    of_volumes: ClassVar[bool] = False
    by_size: ClassVar[bool] = True

    keep: float = 0.9
    window: int = 7
    steps: int = 100
    rate: float = 0.01
    sparsity: float = 0.1
    variation: float = 0.1
    moves: int = 8
    baseline: float | str = 0.0
    seed: int = 0
    max_seconds: float | None = 600.0

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise InputError(
                f"keep={self.keep}; give a Dice above 0 and up to 1, 0.9 as in the paper"
            )
        if self.window < 3 or self.window % 2 == 0:
            raise InputError(f"window={self.window}; give an odd number from 3, 7 as in the paper")
        if not 0 < self.rate < inf:
            raise InputError(f"rate={self.rate}; give more than 0, 0.01 as in the paper")
        for name in ("sparsity", "variation"):
            if not 0 <= getattr(self, name) < inf:
                raise InputError(f"{name}={getattr(self, name)}; give 0 or more, and no infinity")
        check_baseline(self.baseline)
        checked_seconds(self.max_seconds)

    def check_fit(self, network: Network) -> None:
        """See :class:`~segtrace.explainers.explainer.Particular`.

        Raises:
            InputError: logits of another size than the slices.
        """
        with on_first_slice(network) as (net, x):
            check_size(self.title, logits_at(net, x), x)

    def explain(
        self,
        network: Network,
        targets: Mapping[str, Target],
        budget: Budget,
        epoch: int | None = None,
    ) -> KeptMaps:
        """Find the masks; see :class:`~segtrace.explainers.explainer.Explainer`.

        Raises:
            InputError: not one prediction is kept in time; logits of another size than the slices.
        """
        settings = replace(network.settings, region=REGION, score=SCORE)
        chosen = {organ: network.channels[organ] for organ in targets}
        kept = regions.organs(chosen, REGION, activation=settings.activation)
        with scoring(network, kept, budget, self.title, SCORE, volumes=self.of_volumes) as scores:
            pairs = Pairs.of(scores, self.baseline)
            forward = TRIES + 2 + 2 * self.moves
            words = (
                f"{self.title}: some {forward} forward passes and {self.steps} forward and back "
                f"for each organ predicted on a slice, {len(pairs)} of them"
            )
            with budget.shown(words) as tell:
                most = forward + (1 + BACKWARD) * self.steps
                second = seconds_per_slice(scores.net, scores.x[:SLICES])
                clock = Clock(len(pairs) * most, second, tell)
                found = self._found(pairs, clock)
            flow = scores.flow(self.name, {INPUT: found.spread(found.last, 0.0)})
        explained = measured(self, flow, network._replace(settings=settings), epoch)
        drawn = Drawn(
            found.steps, self.steps, "steps of stage 2", found.passes, scores.seconds,
            found.steps * len(found.pairs),
        )  # fmt: skip
        return KeptMaps(self, explained, drawn, READING, found)

    def _found(self, pairs: Pairs, clock: Clock) -> Kept:
        first, before, passes = dilated(pairs, self.keep, self.window, clock)
        reached = before.isfinite().nonzero()[:, 0]
        if len(pairs) and not len(reached):
            raise OutOfTimeError(
                f"{self.title}: the time is over before a single prediction is kept; give more "
                "max_seconds"
            )
        pairs, first, before = pairs.only(reached), first[reached], before[reached]
        loss = shrinking(pairs, self.sparsity, self.variation)
        last, steps = minimised(pairs, first, loss, self.rate, self.steps, clock)
        beside, more = controls(pairs, last, self.moves, self.seed, clock)
        return Kept(
            pairs, first, last, before, beside, steps,
            passes + len(pairs) * steps + more,
        )  # fmt: skip
