"""What an organ scores in a case: Dice, HD95, surface Dice, volumes."""

from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
import torch
from numpy.typing import NDArray

from segtrace.dice import dice
from segtrace.evaluation.protocols import ABSENT, BOTH, FALSE, MISSING, Protocol
from segtrace.evaluation.surfaces import Surfaces, hd95, surface_dice

Floats = NDArray[np.float64]
TOLERANCE_MM = 2.0
"""Within which two surfaces are one, for the surface Dice."""


@dataclass(frozen=True)
class Score:
    """Of an organ in a case.

    Attributes:
        finding: ``both``, ``missing``, ``false`` or ``absent``.
        dice: in [0, 1], over the whole volume.
        hd95_mm: NaN where mm are unknown.
        hd95_voxels: the same with orthogonal steps of 1.
        surface_dice: in [0, 1], at the tolerance that was asked for; NaN where mm are unknown.
        true_ml: volume of the truth; NaN where mm are unknown.
        predicted_ml: of the prediction.
        true_voxels: of the truth.
        predicted_voxels: of the prediction.
        common_voxels: of both.
    """

    finding: str
    dice: float
    hd95_mm: float
    hd95_voxels: float
    surface_dice: float
    true_ml: float
    predicted_ml: float
    true_voxels: int
    predicted_voxels: int
    common_voxels: int


def score(
    predicted: NDArray[np.bool_],
    true: NDArray[np.bool_],
    steps: Floats,
    protocol: Protocol,
    tolerance: float = TOLERANCE_MM,
) -> Score:
    """Hold a mask (D, H, W) against the truth.

    Args:
        predicted: where the network has the organ.
        true: where it is.
        steps: (3, 3) mm of a step along D, H and W, a row for each; NaN where unknown.
        protocol: whose rules hold where one of them is empty.
        tolerance: of the surface Dice, mm.
    """
    counts = [int(np.count_nonzero(mask)) for mask in (predicted & true, predicted, true)]
    voxel_ml = float(abs(np.cross(steps[1], steps[2]) @ steps[0])) / 1000
    common, of_prediction, of_truth = counts
    finding = _finding(of_truth, of_prediction)
    rule = protocol.rule(finding)
    if rule is None:
        overlap = float(dice(*torch.tensor(counts, dtype=torch.float64).unbind()))
        measured = (overlap, *_of_surfaces(Surfaces.of(predicted, true), steps, tolerance))
    else:
        measured = (rule.dice, rule.hd95, rule.hd95, rule.dice)
        if not isfinite(voxel_ml):
            measured = (rule.dice, nan, rule.hd95, nan)
    return Score(
        finding, *measured,
        of_truth * voxel_ml, of_prediction * voxel_ml, of_truth, of_prediction, common,
    )  # fmt: skip


def _finding(true: int, predicted: int) -> str:
    if true and predicted:
        return BOTH
    if true:
        return MISSING
    return FALSE if predicted else ABSENT


def _of_surfaces(surfaces: Surfaces, steps: Floats, tolerance: float) -> tuple[float, float, float]:
    """HD95 in mm and in voxels, and surface Dice."""
    in_voxels = hd95(surfaces.distances(np.eye(3)))
    if not np.isfinite(steps).all():
        return nan, in_voxels, nan
    distances = surfaces.distances(steps)
    return hd95(distances), in_voxels, surface_dice(distances, tolerance)
