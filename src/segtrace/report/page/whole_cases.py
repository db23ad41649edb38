"""Whole cases in numbers, beside the few slices of them that are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = ("truth_ml", "found_ml", "dice")
"""Volume of the ground truth, volume of the prediction, and their Dice."""

Numbers = Mapping[str, Mapping[str, float]]
"""Case -> organ -> number."""


@dataclass(frozen=True)
class WholeCases:
    """What is known of each case as a whole at one epoch; what is not known is left out.

    Attributes:
        numbers: name in :data:`NAMES` -> case -> organ -> number.
    """

    numbers: Mapping[str, Numbers] = field(default_factory=dict)

    @classmethod
    def from_plain(
        cls, cases: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
    ) -> "WholeCases":
        """From a checkpoint's description.

        Args:
            cases: case -> ``voxel_ml``, and ``truth_ml`` by organ.
            found: validated case -> organ -> ``dice`` and predicted ``voxels``.
        """
        return cls(
            {
                "truth_ml": {case: known["truth_ml"] for case, known in cases.items()},
                "found_ml": {
                    case: {
                        organ: one["voxels"] * cases[case]["voxel_ml"]
                        for organ, one in organs.items()
                    }
                    for case, organs in found.items()
                    if case in cases
                },
                "dice": {
                    case: {organ: one["dice"] for organ, one in organs.items()}
                    for case, organs in found.items()
                },
            }
        )

    def table(self, name: str, organs: Sequence[str], cases: Sequence[str]) -> NDArray[np.float32]:
        """(O, N) of one of the numbers; NaN where it is not known."""
        known = self.numbers.get(name, {})
        rows = [[known.get(case, {}).get(organ, np.nan) for case in cases] for organ in organs]
        return np.array(rows, np.float32)
