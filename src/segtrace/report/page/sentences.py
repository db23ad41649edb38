"""What the page says in plain words: a sentence an organ, and the cautions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segtrace.measures.measure import table
from segtrace.report.captions import plain

VERDICTS = (
    (0.9, "found very well"),
    (0.7, "found well"),
    (0.4, "found in part"),
    (0.05, "hardly found"),
    (-1.0, "not found"),
)
"""From which Dice on, and what it is called."""
ON_TARGET, SOMEWHAT = 0.5, 0.2
"""From which focus (gain) on the evidence lies on the organ, or partly so."""
FINAL = "head"
"""The stage whose maps redraw the prediction."""
LOW_COHERENCE = table()["kappa"].caution

CAUTIONS = {
    "final": "Final stage: this map redraws the prediction; it is no evidence of its own.",
    "echo": "Echo: the untrained network's map lies on the organ here already, because the region "
    "that is explained says where it is. Its place is no evidence at this stage.",
    "incoherent": "The gradient nearly cancels when it is averaged "
    f"(coherence below {LOW_COHERENCE}): do not lean on this map.",
    "nowhere": "The network finds this organ on none of these slices: the map explains a decision "
    "that it does not make.",
    "missed": "The network hardly marks this organ here (Dice below 0.1): the map explains a "
    "decision that it does not make.",
    "parts": "The explained region has several separate parts; one map stands for all of them.",
    "untrained": "Untrained network: what shows here does not come from learning.",
    "no_untrained": "The untrained network (epoch 0) is not among the epochs: "
    "nothing says how much of this was there before training.",
    "unlabelled": "No ground truth: nothing says whether the prediction is right.",
    "training": "These slices belong to the training split: the network has seen them.",
    "phantom": "Phantom: the images were generated; they are not a patient's.",
    "one_run": "One run: another seed may give other maps.",
}
"""The cautions by name; the reasons why a map is not shown are REASONS of the scene."""


@dataclass(frozen=True)
class Finding:
    """What a sentence says of one organ, by one rule, at one epoch.

    Attributes:
        organ: its name.
        dice: mean over cases; NaN without a truth.
        extent: what it is the Dice of, e.g. ``these slices``.
        slices: slices on which the explained region is not empty.
        stages: names along S.
        gain: (S,) over the slices, NaN where not defined.
        usable: (S,) bool, neither final nor echo.
        untrained: (S,) gain at epoch 0; None where that is not known.
        missed: the network finds the organ on none of these slices.
    """

    organ: str
    dice: float
    extent: str
    slices: int
    stages: tuple[str, ...]
    gain: NDArray[np.floating]
    usable: NDArray[np.bool_]
    untrained: NDArray[np.floating] | None
    missed: bool = False

    @property
    def sentence(self) -> str:
        """How well it is outlined, and where the evidence lies on it best."""
        if not self.slices:
            return f"{self._name}: nothing to explain on these slices."
        return f"{self._name}: {self._outlined}{self._evidence}"

    @property
    def _name(self) -> str:
        return plain(self.organ).capitalize()

    @property
    def _outlined(self) -> str:
        if np.isnan(self.dice):
            return ""
        verdict = next(words for least, words in VERDICTS if self.dice >= least)
        return f"{verdict} (Dice {self.dice:.2f}, {self.extent}). "

    @property
    def _evidence(self) -> str:
        if self.missed:
            return "Its maps explain a decision that the network makes on none of these slices."
        readable = np.where(self.usable, self.gain, np.nan)
        if np.isnan(readable).all():
            return "No stage gives evidence that may be read."
        best = int(np.nanargmax(readable))
        focus = round(float(readable[best]), 2) + 0.0  # no minus before 0.00
        where = f"at {self.stages[best]} (focus {focus:.2f}{self._before(best)})"
        if focus >= ON_TARGET:
            return f"Evidence on it, best {where}."
        if focus >= SOMEWHAT:
            return f"Evidence partly on it, best {where}."
        return f"Evidence on it at no stage, best {where}."

    def _before(self, stage: int) -> str:
        """The same stage of the untrained network."""
        if self.untrained is None:
            return ", untrained not known"
        gain = float(self.untrained[stage])
        return ", untrained no map" if np.isnan(gain) else f", untrained {round(gain, 2) + 0.0:.2f}"
