"""What a network for slices sees of a case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from segtrace.data.augment import Recipe
from segtrace.data.cache.entries import PreparedCase
from segtrace.data.files.findings import told
from segtrace.data.preprocessing import Preprocessing, batch_of
from segtrace.data.probes import Probes, usual
from segtrace.data.sampling import Slices
from segtrace.data.sources import CaseSource
from segtrace.data.views.view import Key
from segtrace.errors import InputError
from segtrace.progress import counted, over


@dataclass(frozen=True)
class SliceView:
    """Every axial slice, resized to a square.

    Attributes:
        preprocessing: what makes slices.
        augmentation: of those that are trained on; None leaves them as they are.
        keeps_native: those that are trained on are kept as their files have them.
    """

    words: ClassVar[tuple[str, str]] = ("slice", "slices")
    usual_batch: ClassVar[int] = 8
    preprocessing: Preprocessing
    augmentation: Recipe | None = None
    keeps_native: bool = False

    def native(self, part: str) -> bool:
        """See :class:`View`."""
        return self.keeps_native and part == "train"

    def settled(self, cases: Callable[[], Sequence[PreparedCase]]) -> "SliceView":
        """Itself: it depends on no case."""
        return self

    def training(self, cases: Sequence[PreparedCase], seed: int, *, augmented: bool) -> Slices:
        """Every slice; organ-free ones included."""
        return Slices(cases, seed, self.augmentation if augmented else None)

    def whole(self, cases: Sequence[PreparedCase]) -> Slices:
        """Every slice, in order."""
        return Slices(cases)

    def whole_batch(self, batch_size: int) -> int:
        """As many as in training."""
        return batch_size

    def usual(self, cases: int) -> int:
        """See :func:`segtrace.data.probes.usual`."""
        return usual(cases)

    def fixed(self, case: PreparedCase) -> tuple[list[Key], NDArray[np.int64]]:
        """Its slices."""
        return [(case.name, index) for index in range(len(case))], case.areas

    def candidates(self, cases: Sequence[PreparedCase]) -> tuple[list[Key], NDArray[np.int64]]:
        """All slices of all."""
        found = [self.fixed(case) for case in cases]
        return [key for keys, _ in found for key in keys], np.concatenate([a for _, a in found])

    def read(self, keys: Sequence[Key], cases: Mapping[str, PreparedCase], part: str) -> Probes:
        """The slices without augmentation.

        Raises:
            InputError: a slice that is not there.
        """
        for name, index in keys:
            if name not in cases or index >= len(cases[name]):
                raise InputError(f"no slice {index} of case {name} among the {part} cases")
        used = {name: cases[name] for name, _ in keys}
        return Probes(
            images=batch_of(np.stack([cases[name].image(i) for name, i in keys])),
            labels=torch.stack([torch.from_numpy(cases[name].label(i)) for name, i in keys]),
            cases=tuple(name for name, _ in keys),
            slices=tuple(i for _, i in keys),
            spacing=torch.tensor([cases[name].geometry.spacing for name, _ in keys]).double(),
            split=part,
            phantom=any(case.phantom for case in used.values()),
            sides_known=all(case.geometry.sides_known for case in used.values()),
            hounsfield_known=all(case.hounsfield_known for case in used.values()),
            findings=tuple(
                told((name, found) for name, case in used.items() for found in case.findings)
            ),
        )

    def with_originals(self, probes: Probes, source: CaseSource) -> Probes:
        """The same with the slices as their files have them in HU."""
        if isinstance(self.preprocessing.windows[0], str):
            return probes
        keys = list(zip(probes.cases, probes.slices, strict=True))
        found: dict[Key, torch.Tensor] = {}
        names = list(dict.fromkeys(probes.cases))
        for case in over(names, f"Reading the watched slices of {counted(len(names), 'case')}"):
            indices = [index for name, index in keys if name == case]
            slices = self.preprocessing.originals(source.load(case), indices)
            found |= {
                (case, i): torch.from_numpy(hu) for i, hu in zip(indices, slices or (), strict=True)
            }
        return replace(probes, originals=tuple(found[key] for key in keys))
