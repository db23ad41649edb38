"""Does a network see an organ, or does it know where the organ usually lies?

A prediction that is made without a look at the image fits the organ of other cases as well as that
of its own: small networks trained on labels of other slices reach Dice 0.5 to 0.8 of the liver that
way, on a phantom. So a prediction's Dice with the truth of its own case is held against its Dice
with the truth of every other case.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from segtrace.activation import OrganLike, predicted_mask, true_mask
from segtrace.dice import dice
from segtrace.measures.over_cases import by_case
from segtrace.measures.significance import ALPHA, family_p
from segtrace.report.captions import plain
from segtrace.report.claims.claim import FOUND, USUAL_PLACE
from segtrace.report.scene import Scene

NO_TRUTH = "without a truth it is not known whether the network finds it"
"""Why nothing is claimed of any organ."""


def beyond_others(mask: Tensor, truth: Tensor, cases: Sequence[str]) -> Tensor:
    """(C,) float64: Dice with the own truth less the mean Dice with those of the other cases.

    Of predictions that are the same in all cases the sum over the cases is 0.

    Args:
        mask: (N, *image) bool, where an organ is predicted.
        truth: (N, *image) bool, where it is; a slice without it is none of its.
        cases: of each slice; its slices count together as one.
    """
    predicted, true = mask.flatten(1).float(), truth.flatten(1).float()
    each = dice(predicted @ true.T, predicted.sum(1, keepdim=True), true.sum(1))  # (N, N)
    own = by_case(each.diagonal(), cases)
    each = torch.where(true.any(1)[:, None], each, torch.nan)
    across = by_case(by_case(each, cases).T, cases).T  # (C of the prediction, C of the truth)
    return own - across.fill_diagonal_(torch.nan).nanmean(1)


def unseen(
    prediction: Tensor, truth: Tensor, channels: Mapping[str, OrganLike], cases: Sequence[str]
) -> tuple[str, ...]:
    """The organs whose prediction does not fit its own case better than others, as far as is known.

    One test over cases an organ, corrected for all. Organs on fewer cases than a test needs are
    not tested, and not named.

    Args:
        prediction: in one of the forms of :mod:`segtrace.activation`.
        truth: the same.
        channels: organ -> channel.
        cases: of each slice.
    """
    if not channels:
        return ()
    beyond = [beyond_others(predicted_mask(prediction, organ), true_mask(truth, organ), cases)
              for organ in channels.values()]  # fmt: skip
    p = family_p(torch.stack(beyond)).tolist()
    return tuple(organ for organ, own in zip(channels, p, strict=True) if own > ALPHA)


def why_not(scene: Scene, prediction: Tensor, organs: Sequence[str]) -> dict[str, str]:
    """Organ -> why nothing is claimed of it: it is not found, lies in its usual place, or no truth.

    Args:
        scene: the slices, with their truth.
        prediction: of a flow on them.
        organs: those that are explained.
    """
    if scene.truth is None:
        return dict.fromkeys(organs, NO_TRUTH)
    channels = {organ: scene.channels[organ] for organ in organs if organ in scene.channels}
    usual = unseen(prediction, scene.truth, channels, scene.cases)
    words = {organ: USUAL_PLACE for organ in organs if organ in usual}
    few = {organ: f"Dice below {FOUND}" for organ in organs
           if not scene.dice(organ, prediction) >= FOUND}  # fmt: skip
    return words | few


def left_out_words(left_out: Mapping[str, str]) -> list[str]:
    """Of which organs nothing is claimed, and why; empty where there are none."""
    said = "; ".join(f"{plain(organ)}: {why}" for organ, why in left_out.items())
    return [f"Left out of the test: {said}."] if said else []
