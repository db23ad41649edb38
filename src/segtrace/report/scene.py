"""What the maps lie on, and what must be said of them wherever they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from segtrace.dice import dice

RESEARCH_USE = "research use only, not for diagnosis"
TRUTH_LINE = "solid\N{NO-BREAK SPACE}blue"
PREDICTION_LINE = "dashed\N{NO-BREAK SPACE}orange"
FINAL = "head"
"""The stage of the logits."""
FINAL_WORDS = "head: the prediction redrawn, no explanation of it"
MISSED_WORDS = (
    "not found by the network on any of these slices: the maps explain a decision that it does not "
    "make"
)
SIDES_WORDS = "R, L: the patient's right and left"
NO_SIDES_WORDS = "the patient's sides are not known"
REGIONS = {
    "gt": "ground truth",
    "pred": "prediction",
    "tp": "true positives",
    "fp": "false positives",
    "fn": "false negatives",
    "all": "whole image",
}
OFF_VIEW = "brightest off the body"
"""Beside the number of a map whose largest value lies outside the window that is shown."""
REASONS = {
    "dead": "no positive evidence",
    "incomplete": "the map does not add up to the score's change",
    "gap_degenerate": "gradient averages to zero (GAP degenerate)",
    "gradient_cut": "gradient is cut inside the network",
    "disconnected": "score does not depend on this stage",
    "absent": "empty region, nothing to explain",
    "nonfinite": "not finite (NaN or infinity)",
}
"""Why a cell holds no map, in a reader's words; by the label of the status."""


@dataclass(frozen=True)
class Scene:
    """The slices a flow was traced on, as plain tensors and strings. ``N`` slices.

    Attributes:
        image: (N, 1, H, W) window mapped to [0, 1]. Of several channels the first is shown.
        cases: the case of each slice.
        slices: its index in the volume.
        channels: organ -> its number in ``truth`` and in the flow's prediction.
        truth: (N, H, W) labels, or None for an image without.
        training: the slices belong to the training split.
        phantom: the image was generated.
        spacing: (N, 2) mm of a pixel along rows and columns, NaN where unknown; or None.
        originals: of each slice its HU (rows, columns) at the resolution of its file, over the
            same square as ``image``; None where only the network's input is known.
        sides_known: rows run from anterior to posterior, columns from the patient's right to the
            left and slices from caudal, as the data says. Else no side is named anywhere.
        hounsfield_known: the values are HU, as the data says. Else they are called grey levels.
    """

    image: Tensor
    cases: tuple[str, ...]
    slices: tuple[int, ...]
    channels: Mapping[str, int]
    truth: Tensor | None = None
    training: bool = False
    phantom: bool = False
    spacing: Tensor | None = None
    originals: tuple[Tensor, ...] | None = None
    sides_known: bool = False
    hounsfield_known: bool = False

    def name(self, n: int) -> str:
        """Case and slice of the nth slice, in words."""
        return f"{self.cases[n]}, slice {self.slices[n]}"

    def mask(self, labels: Tensor | None, organ: str, n: int) -> Tensor | None:
        """(H, W) where ``labels`` of slice n hold the organ; None without labels or channel."""
        if labels is None or organ not in self.channels:
            return None
        return labels[n] == self.channels[organ]

    def dice(self, organ: str, prediction: Tensor) -> float:
        """Of the organ over all slices, prediction (N, H, W); NaN without a truth."""
        if self.truth is None or organ not in self.channels:
            return float("nan")
        found, there = (labels == self.channels[organ] for labels in (prediction, self.truth))
        return float(dice((found & there).sum(), found.sum(), there.sum()))

    def missed(self, organ: str, prediction: Tensor) -> bool:
        """Whether the network finds the organ on none of the slices.

        No pixel of the prediction (N, H, W) lies on the organ (Dice 0) though it is there; without
        a truth, no pixel is predicted. Its maps explain a decision that is not made.
        """
        if organ not in self.channels:
            return False
        found = prediction == self.channels[organ]
        if self.truth is None:
            return not bool(found.any())
        there = self.truth == self.channels[organ]
        return bool(there.any()) and not bool((found & there).any())
