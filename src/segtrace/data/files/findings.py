"""What a user should know of the files of a case: told once, never stopping a run.

Patient sides, HU and millimetres are printed only where a file says them and nothing contradicts
it: a finding names those that it makes doubtful.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.data.files.plausible import not_hounsfield

_FEW = 32  # different values; a label map has few, a scan hundreds


@dataclass(frozen=True)
class Finding:
    """Something of a file that its user should know.

    Attributes:
        kind: which; the same finding in many files is told once.
        words: what was found, as it follows the name of the case.
        doubts: what is therefore not known, of ``sides``, ``hounsfield`` and ``millimetres``.
    """

    kind: str
    words: str
    doubts: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "words": self.words, "doubts": list(self.doubts)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Finding":
        """Undoes :meth:`to_plain`."""
        return cls(str(plain["kind"]), str(plain["words"]), tuple(map(str, plain["doubts"])))


def doubted(findings: Iterable[Finding], what: str) -> bool:
    """Whether any finding makes ``sides``, ``hounsfield`` or ``millimetres`` doubtful."""
    return any(what in finding.doubts for finding in findings)


def judge_values(image: NDArray[Any]) -> tuple[Finding, ...]:
    """Why the values of a scan are no HU, if anything speaks against it: one finding or none.

    Args:
        image: finite values of a whole scan, any shape.

    >>> [finding.kind for finding in judge_values(np.arange(4096.0).reshape(16, 16, 16))]
    ['no HU']
    """
    if constant := judge_constant(image):
        return constant
    if few := _few_values(image):
        return (_no_hu("few values", f"its image has only {few} different values; is it a label?"),)
    if why := not_hounsfield(image):
        return (_no_hu("no HU", f"no CT in HU, perhaps: {why}"),)
    return ()


def judge_constant(image: NDArray[Any]) -> tuple[Finding, ...]:
    """Whether a scan shows nothing at all: one finding or none."""
    value = float(image.min()) + 0.0  # not -0
    if value < image.max():
        return ()
    words = f"every voxel of its image is {value:g}, so that it shows nothing"
    return (_no_hu("constant", words),)


def _no_hu(kind: str, words: str) -> Finding:
    return Finding(kind, words, ("hounsfield",))


def _few_values(image: NDArray[Any]) -> int:
    """How many different values, if they are suspiciously few; else 0."""
    if image.size < 1000:
        return 0
    for samples in (1000, 100_000):  # a scan shows what it is by few
        # Not of a flattened copy: as files store voxels, that takes a second for a large scan.
        found = len(np.unique(image.flat[:: max(1, image.size // samples)]))
        if found > _FEW:
            return 0
    return found


def told(found: Iterable[tuple[str, Finding]]) -> list[str]:
    """One line for each kind of finding, of pairs (case, finding)."""
    kinds: dict[str, list[tuple[str, Finding]]] = {}
    for case, finding in found:
        kinds.setdefault(finding.kind, []).append((case, finding))
    return [_line(pairs) for pairs in kinds.values()]


def _line(pairs: list[tuple[str, Finding]]) -> str:
    (case, finding), *rest = pairs
    others = ", ".join(name for name, _ in rest)
    alike = f"; the like of {len(rest)} more: {others}" if rest else ""
    return f"case {case}: {finding.words}{alike}"


def warn(found: Iterable[tuple[str, Finding]]) -> None:
    """One warning for each kind of finding; see :func:`told`."""
    for line in told(found):
        warnings.warn(line, stacklevel=2)
