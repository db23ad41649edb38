"""Tables over cases: an organ's mean and sd, and how often it was missed or made up."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.evaluation.protocols import ABSENT, BOTH, FALSE, MISSING
from segtrace.evaluation.scores import Score

MEASURED = ("dice", "hd95_mm", "hd95_voxels", "surface_dice")
UNBOUNDED = ("hd95_mm", "hd95_voxels")
"""Those that may be infinite, so that a median stands beside the mean of the finite ones."""
MEAN = "mean"


@dataclass(frozen=True)
class Evaluated:
    """The scores of all cases.

    Attributes:
        scores: case -> organ -> its score; all cases of the same organs.
    """

    scores: Mapping[str, Mapping[str, Score]]

    @property
    def organs(self) -> tuple[str, ...]:
        """Theirs, in order."""
        return tuple(next(iter(self.scores.values()), {}))

    def values(self, measure: str) -> NDArray[np.float64]:
        """(case, organ) of a measure."""
        rows = [[getattr(one, measure) for one in case.values()] for case in self.scores.values()]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.organs))

    def summary(self) -> list[dict[str, Any]]:
        """A row an organ, and a last one, ``mean``, over organs.

        ``*_mean`` and ``*_sd``: over the cases where the measure is finite, whose number is
        ``*_cases``; sd with n - 1. ``*_median``: over all where it is not NaN, an infinite one
        included. In the last row the mean is that of the organs' means, and the sd that over cases
        of a case's mean over organs.
        """
        rows = [
            {"organ": organ, **self._counts([o]), **self._spread(o)}
            for o, organ in enumerate(self.organs)
        ]
        last: dict[str, Any] = {"organ": MEAN, **self._counts(range(len(self.organs)))}
        for measure in MEASURED:
            means = np.array([row[f"{measure}_mean"] for row in rows])
            of_cases = np.array([_mean(case) for case in self.values(measure)])
            last[f"{measure}_mean"] = _mean(means)
            last[f"{measure}_sd"] = _sd(of_cases)
            last[f"{measure}_cases"] = int(np.isfinite(of_cases).sum())
            if measure in UNBOUNDED:
                last[f"{measure}_median"] = _median(self.values(measure).ravel())
        return [*rows, last]

    def _counts(self, organs: Sequence[int]) -> dict[str, int]:
        names = [self.organs[o] for o in organs]
        found = [case[name].finding for case in self.scores.values() for name in names]
        return {finding: found.count(finding) for finding in (BOTH, MISSING, FALSE, ABSENT)}

    def _spread(self, organ: int) -> dict[str, float]:
        told: dict[str, float] = {}
        for measure in MEASURED:
            values = self.values(measure)[:, organ]
            told[f"{measure}_mean"], told[f"{measure}_sd"] = _mean(values), _sd(values)
            told[f"{measure}_cases"] = int(np.isfinite(values).sum())
            if measure in UNBOUNDED:
                told[f"{measure}_median"] = _median(values)
        return told


def rows(case: str, scores: Mapping[str, Score], tolerance: float) -> list[dict[str, Any]]:
    """A row an organ of ``evaluation.csv``."""
    return [
        {"case": case, "organ": organ, **asdict(score), "tolerance_mm": tolerance}
        for organ, score in scores.items()
    ]


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _mean(values: NDArray[np.float64]) -> float:
    there = _finite(values)
    return float(there.mean()) if len(there) else float("nan")


def _sd(values: NDArray[np.float64]) -> float:
    there = _finite(values)
    return float(there.std(ddof=1)) if len(there) > 1 else float("nan")


def _median(values: NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(np.median(there)) if len(there) else float("nan")
