"""What a network for volumes sees of a case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from segtrace.data.augment import Recipe
from segtrace.data.cache.entries import PreparedCase
from segtrace.data.files.findings import told
from segtrace.data.preprocessing import organ_areas
from segtrace.data.probes import MANY, Probes, choose
from segtrace.data.sources import CaseSource
from segtrace.data.views.view import Key
from segtrace.data.volumes.geometry import Shape, VolumeGeometry
from segtrace.data.volumes.patches import Patches, Volumes, first_channels, patch
from segtrace.data.volumes.preprocessing import VolumePreprocessing
from segtrace.data.volumes.windows import padding, region, windows
from segtrace.errors import InputError

SPL = "SPL"
"""Whereto planes, rows and columns run: to the head, the back and the patient's left."""


@dataclass(frozen=True)
class VolumeView:
    """Patches of resampled volumes, or, where no patch is asked for, whole ones.

    Attributes:
        preprocessing: what makes volumes.
        augmentation: of patches that are trained on; None leaves them as they are.
        foreground: share of them around an organ's voxel, see :class:`Patches`.
        whole_volumes: the patch holds every case whole, and was not asked for.
    """

    words: ClassVar[tuple[str, str]] = ("volume", "volumes")
    usual_batch: ClassVar[int] = 2
    preprocessing: VolumePreprocessing
    augmentation: Recipe | None = None
    foreground: float = 0.5
    whole_volumes: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.foreground <= 1:
            raise InputError(f"data.foreground={self.foreground}; give a share, 0 to 1")

    def native(self, part: str) -> bool:
        """No: volumes are resampled once."""
        return False

    def settled(self, cases: Callable[[], Sequence[PreparedCase]]) -> "VolumeView":
        """With the patch that holds every case whole, where none was asked for."""
        if self.preprocessing.patch is not None:
            return self
        whole = self.preprocessing.covering([case.shape for case in cases()])
        preprocessing = replace(self.preprocessing, patch=whole)
        return replace(self, preprocessing=preprocessing, whole_volumes=True)

    def training(self, cases: Sequence[PreparedCase], seed: int, *, augmented: bool) -> Patches:
        """A patch of every case."""
        augmentation = self.augmentation if augmented else None
        return Patches(cases, self.preprocessing.roi, self.foreground, seed, augmentation)

    def whole(self, cases: Sequence[PreparedCase]) -> Volumes:
        """Every volume, in order."""
        return Volumes(cases)

    def whole_batch(self, batch_size: int) -> int:
        """One by one: they differ in size."""
        return 1

    def usual(self, cases: int) -> int:
        """As many as a claim needs: each is a pass of its own, forward and back an organ."""
        return min(cases, MANY)

    def fixed(self, case: PreparedCase) -> tuple[list[Key], NDArray[np.int64]]:
        """The patches that cover it, in the order of the sliding window."""
        roi, starts = self.preprocessing.roi, self._starts(case)
        keys = [(case.name, index) for index in range(len(starts))]
        if len(starts) == 1:
            return keys, case.areas.sum(0)[None]
        _, label = case.region(*[slice(None)] * 3)
        parts = [label[region(start, case.shape, roi)] for start in starts]
        organs = case.areas.shape[1]
        return keys, np.stack([organ_areas(part, organs).sum(0) for part in parts])

    def candidates(self, cases: Sequence[PreparedCase]) -> tuple[list[Key], NDArray[np.int64]]:
        """Of each case the patch with most of its organs; none of a case without any."""
        keys, areas = [], []
        for case in cases:
            own, found = self.fixed(case)
            best = choose(found, own, 1, every_case=True)[0] if found.any() else 0
            keys.append(own[best])
            areas.append(found[best])
        return keys, np.stack(areas)

    def read(self, keys: Sequence[Key], cases: Mapping[str, PreparedCase], part: str) -> Probes:
        """The patches without augmentation.

        Raises:
            InputError: a patch that is not there.
        """
        starts = {name: self._starts(case) for name, case in cases.items()}
        for name, index in keys:
            if name not in cases or index >= len(starts[name]):
                raise InputError(f"no patch {index} of case {name} among the {part} cases")
        roi = self.preprocessing.roi
        read = [patch(cases[name], starts[name][i], roi) for name, i in keys]
        used = {name: cases[name] for name, _ in keys}
        sides_known = all(case.geometry.sides_known for case in used.values())
        affines = [_affines(cases[name], starts[name][i], roi) for name, i in keys]
        placed = all(both is not None for both in affines)
        return Probes(
            images=torch.stack([torch.from_numpy(first_channels(image)) for image, _ in read]),
            labels=torch.stack([torch.from_numpy(label) for _, label in read]),
            cases=tuple(name for name, _ in keys),
            slices=tuple(i for _, i in keys),
            spacing=torch.tensor([cases[name].geometry.spacing for name, _ in keys]).double(),
            split=part,
            phantom=any(case.phantom for case in used.values()),
            sides_known=sides_known,
            hounsfield_known=all(case.hounsfield_known for case in used.values()),
            findings=tuple(
                told((name, found) for name, case in used.items() for found in case.findings)
            ),
            axcodes=SPL if sides_known else "",
            affines=torch.stack([both for both in affines if both is not None]) if placed else None,
            file_sizes=tuple(cases[name].geometry.grid.shape for name, _ in keys) if placed else (),
        )

    def with_originals(self, probes: Probes, source: CaseSource) -> Probes:
        """The probes as they are: planes are shown as the network sees them."""
        return probes

    def _starts(self, case: PreparedCase) -> list[Shape]:
        return windows(case.shape, self.preprocessing.roi, self.preprocessing.overlap)


def _affines(case: PreparedCase, start: Shape, roi: Shape) -> torch.Tensor | None:
    """(2, 4, 4) from voxels to mm, of a patch and of its file."""
    geometry = case.geometry
    z, y, x = (at - before for at, (before, _) in zip(start, padding(case.shape, roi), strict=True))
    own = geometry.affine((z, y, x)) if isinstance(geometry, VolumeGeometry) else None
    return (
        None if own is None else torch.from_numpy(np.stack([own, np.array(geometry.grid.affine)]))
    )
