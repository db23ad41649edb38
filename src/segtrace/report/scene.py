"""What the maps lie on, and what must be said of them wherever they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from segtrace.activation import Organ, OrganLike, predicted_mask, true_mask
from segtrace.axes import are_volumes
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
    "confident": "prediction, probability one half or more",
    "border": "border of the prediction",
    "largest": "largest component of the prediction",
    "smallest": "smallest component of the prediction",
    "all": "whole image",
    "all_pred": "the whole prediction, of all organs",
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
    """The slices a flow was traced on, as plain tensors and strings. ``N`` slices, or volumes.

    Attributes:
        image: (N, 1, *image) window mapped to [0, 1]. Of several channels the first is shown.
        cases: the case of each slice.
        slices: its index in the volume.
        channels: organ -> its number in ``truth`` and in the flow's prediction, or the two apart.
        truth: (N, *image) labels or (N, C, *image) bool masks, or None for an image without.
        training: the slices belong to the training split.
        phantom: the image was generated.
        spacing: (N, axes) mm of a pixel along rows and columns, of volumes along planes before
            them, NaN where unknown; or None.
        originals: of each slice its HU (rows, columns) at the resolution of its file, over the
            same square as ``image``; None where only the network's input is known.
        sides_known: rows run from anterior to posterior, columns from the patient's right to the
            left and slices from caudal, as the data says. Else no side is named anywhere.
        hounsfield_known: the values are HU, as the data says. Else they are called grey levels.
        taught_by_phantom: the network was trained on a phantom, and these slices are none.
        axcodes: of volumes, whereto planes, rows and columns run, ``"SPL"``; empty where nothing
            says it.
        affines: (N, 2, 4, 4) from voxels to mm: of volumes, and of the files that they were read
            from; None where not known.
        file_sizes: voxels of these files along each axis.
        planes: of slices that are planes of volumes, what each is called there, and its number.
        ends: whereto their upper, lower, left and right edges lie; empty where not known.
        by_file: each file counts as a case, though several may be one patient's.
    """

    image: Tensor
    cases: tuple[str, ...]
    slices: tuple[int, ...]
    channels: Mapping[str, OrganLike]
    truth: Tensor | None = None
    training: bool = False
    phantom: bool = False
    spacing: Tensor | None = None
    originals: tuple[Tensor, ...] | None = None
    sides_known: bool = False
    hounsfield_known: bool = False
    taught_by_phantom: bool = False
    axcodes: str = ""
    affines: Tensor | None = None
    file_sizes: tuple[tuple[int, ...], ...] = ()
    planes: tuple[tuple[str, int], ...] = ()
    ends: tuple[str, ...] = ()
    by_file: bool = False

    @property
    def of_volumes(self) -> bool:
        """Whether the images are volumes."""
        return are_volumes(self.image)

    @property
    def kind(self) -> str:
        """What stands above the images: CT where their values are known to be HU."""
        return "CT" if self.hounsfield_known else "image"

    def name(self, n: int) -> str:
        """Case and slice of the nth slice, in words; of a plane also the number of its volume."""
        kind = "volume" if self.of_volumes or self.planes else "slice"
        plane = ", {} {}".format(*self.planes[n]) if self.planes else ""
        return f"{self.cases[n]}, {kind} {self.slices[n]}{plane}"

    @property
    def mirror(self) -> int:
        """The axis, counted from the last, along which the patient's left and right lie.

        The last, of slices and where nothing says it.
        """
        along = [axis for axis, code in enumerate(self.axcodes) if code in "LR"]
        return along[0] - len(self.axcodes) if along else -1

    @property
    def apart(self) -> bool:
        """Whether organs are no numbers of one label map: they may overlap, or have two numbers."""
        return any(isinstance(organ, Organ) for organ in self.channels.values())

    def there(self, organ: str) -> Tensor | None:
        """(N, *image) bool where the truth has the organ; None without a truth or a channel."""
        if self.truth is None or organ not in self.channels:
            return None
        return true_mask(self.truth, self.channels[organ])

    def found(self, organ: str, prediction: Tensor) -> Tensor | None:
        """(N, *image) bool where a flow's prediction has the organ; None without a channel."""
        if organ not in self.channels:
            return None
        return predicted_mask(prediction, self.channels[organ])

    def dice(self, organ: str, prediction: Tensor) -> float:
        """Of the organ over all slices, of a flow's prediction; NaN without a truth."""
        found, there = self.found(organ, prediction), self.there(organ)
        if found is None or there is None:
            return float("nan")
        return float(dice((found & there).sum(), found.sum(), there.sum()))

    def missed(self, organ: str, prediction: Tensor) -> bool:
        """Whether the network finds the organ on none of the slices.

        No pixel of a flow's prediction lies on the organ (Dice 0) though it is there; without a
        truth, no pixel is predicted. Its maps explain a decision that is not made.
        """
        found, there = self.found(organ, prediction), self.there(organ)
        if found is None:
            return False
        if there is None:
            return not bool(found.any())
        return bool(there.any()) and not bool((found & there).any())
