"""What a data module needs to know of what its network sees."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from segtrace.data.cache.entries import PreparedCase
from segtrace.data.probes import Probes
from segtrace.data.sources import CaseSource
from segtrace.data.volumes.preprocessing import AnyPreprocessing

Key = tuple[str, int]
"""A case, and the number of a slice, or of a patch, in it."""
Items: TypeAlias = Dataset[dict[str, Any]]


class View(Protocol):
    """Slices of prepared cases, or volumes."""

    words: ClassVar[tuple[str, str]]
    """What is seen, one and several of it."""
    usual_batch: ClassVar[int]
    """Of a training where nobody says how large."""

    @property
    def preprocessing(self) -> AnyPreprocessing:
        """What turns a file's volume into input."""
        ...

    def native(self, part: str) -> bool:
        """Whether a part of the split is kept as its files have it, and resized when it is read."""
        ...

    def settled(self, cases: Callable[[], Sequence[PreparedCase]]) -> "View":
        """The view once what it depends on is known.

        Args:
            cases: gives those that are trained on and validated, prepared.
        """
        ...

    def training(self, cases: Sequence[PreparedCase], seed: int, *, augmented: bool) -> Items:
        """What one pass of a training goes over: by draws, or by indices without augmentation."""
        ...

    def whole(self, cases: Sequence[PreparedCase]) -> Items:
        """All of the cases, in order."""
        ...

    def whole_batch(self, batch_size: int) -> int:
        """How many of these a batch holds."""
        ...

    def usual(self, cases: int) -> int:
        """How many are watched of so many cases where nobody says so."""
        ...

    def fixed(self, case: PreparedCase) -> tuple[list[Key], NDArray[np.int64]]:
        """All of a case that can be watched, and (S, K) pixels of every organ there."""
        ...

    def candidates(self, cases: Sequence[PreparedCase]) -> tuple[list[Key], NDArray[np.int64]]:
        """What of several cases is to be chosen from, likewise."""
        ...

    def read(self, keys: Sequence[Key], cases: Mapping[str, PreparedCase], part: str) -> Probes:
        """What was chosen, as probes.

        Raises:
            InputError: a key of nothing that is there.
        """
        ...

    def with_originals(self, probes: Probes, source: CaseSource) -> Probes:
        """The same with what their files show, which the cache does not hold, if it is shown."""
        ...


def count(items: Items) -> int:
    """How many there are."""
    return len(items)  # type: ignore[arg-type]  # torch's data sets of a length promise none
