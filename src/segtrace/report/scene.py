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


@dataclass(frozen=True)
class Caption:
    """The facts without which a picture of maps misleads.

    Attributes:
        organ: what is explained.
        rule: how activation and gradient were combined.
        region: pixels whose score is explained: ``gt``, ``pred``, ... or any words.
        score: ``logit``, ``centered``, ``logprob`` or ``prob``.
        epoch: finished passes, 0 for the untrained network; None where unknown.
        scale: what the brightest colour stands for.
        rows: case, slice and explained pixels of each row.
        brightest: the number or word at the upper end of the colour bar.
        truth: ground truth is outlined.
        training: the slices are from the training split.
        phantom: the image was generated.
        final: the stage of the logits is among those shown.
        aggregate: what the column over several stages shows; empty without one.
        sides: the patient's right and left are known, and lettered.
        missed: the network finds the organ on none of its slices.
    """

    organ: str
    rule: str
    region: str
    score: str
    epoch: int | None
    scale: str
    rows: tuple[str, ...]
    brightest: str = "max"
    truth: bool = True
    training: bool = False
    phantom: bool = False
    final: bool = False
    aggregate: str = ""
    sides: bool = False
    missed: bool = False

    @property
    def title(self) -> str:
        """Organ, rule, epoch."""
        parts = [self.organ, self.rule]
        if self.epoch is not None:
            parts.append(f"epoch {self.epoch}" + (" (untrained)" if self.epoch == 0 else ""))
        return "  ·  ".join(parts)

    @property
    def marks(self) -> str:
        """What the pictures are not, in capitals; may be empty."""
        marks = ["PHANTOM"] * self.phantom + ["TRAINING SLICES"] * self.training
        return "  ·  ".join(marks)

    @property
    def facts(self) -> str:
        """Region, score and scale in one sentence."""
        region = REGIONS.get(self.region, self.region)
        return f"region: {region}  ·  score: {self.score}  ·  colour: {self.scale}"

    @property
    def key(self) -> str:
        """How to read the CT cell and the column over several stages."""
        outlines = f"{PREDICTION_LINE}: prediction"
        if self.truth:
            outlines = f"{TRUTH_LINE}: ground truth, {outlines}"
        sides = SIDES_WORDS if self.sides else NO_SIDES_WORDS
        final = f"{self.organ}: {MISSED_WORDS}" if self.missed else FINAL_WORDS * self.final
        parts = (outlines, sides, final, self.aggregate, RESEARCH_USE)
        return "  ·  ".join(part for part in parts if part)
