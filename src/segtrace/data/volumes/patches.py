"""Which patch comes when: a function of (seed, epoch, index) alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from segtrace.data.augment import Recipe
from segtrace.data.cache.entries import PreparedCase
from segtrace.data.sampling import Draw
from segtrace.data.volumes.geometry import Shape
from segtrace.data.volumes.windows import padded, region

PLACE = 1
"""Beside the seed, so that where a patch lies does not go with how it is turned."""


class Volumes(Dataset[dict[str, Any]]):
    """The volumes of some cases, whole and as large as they are.

    Args:
        cases: the cases.
    """

    def __init__(self, cases: Sequence[PreparedCase]) -> None:
        self.cases = tuple(cases)

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def sides_known(self) -> bool:
        """Whether the files of all cases say where the patient's right, front and feet are."""
        return all(case.geometry.sides_known for case in self.cases)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One case: image (C, z, y, x) float32, label (1, z, y, x) uint8, case, slice 0.

        Raises:
            LostSlicesError: the prepared volume is gone, or not what it was.
        """
        case = self.cases[index]
        image, label = case.region(*[slice(None)] * 3)
        return _item(image, label, case.name)


class Patches(Volumes):
    """A patch of each of some cases, at another place with every draw.

    Args:
        cases: the cases.
        roi: voxels of a patch along z, y, x; where a volume is smaller, it is padded.
        foreground: share of the patches that have a voxel of an organ in their middle, as far as
            the volume's faces allow: of each organ of the case equally often.
        seed: of places and augmentation.
        augmentation: None leaves the patches as they are.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        roi: Shape,
        foreground: float = 0.5,
        seed: int = 0,
        augmentation: Recipe | None = None,
    ) -> None:
        super().__init__(cases)
        self.roi, self.foreground, self.seed = roi, foreground, seed
        self.augmentation = augmentation

    def __getitem__(self, draw: int | Draw) -> dict[str, Any]:
        """One patch: image (C, *roi) float32, label (1, *roi) uint8, case, slice 0.

        A draw carries its epoch with it: what a worker returns depends on nothing else. An index
        alone gives the same patch each time, without augmentation.

        Raises:
            LostSlicesError: the prepared volume is gone, or not what it was.
        """
        numbers = (draw,) if isinstance(draw, int) else draw
        case = self.cases[numbers[-1]]
        random = np.random.default_rng([self.seed, PLACE, *numbers])
        image, label = patch(case, self._start(case, random), self.roi)
        if self.augmentation and not isinstance(draw, int):
            image, label = self._changed(image, label, draw)
        return _item(image, label, case.name)

    def _start(self, case: PreparedCase, random: np.random.Generator) -> Shape:
        """The first voxel of a patch, within the volume."""
        last = [max(n - size, 0) for n, size in zip(case.shape, self.roi, strict=True)]
        present = np.flatnonzero(case.areas.any(0))
        if random.random() < self.foreground and present.size and any(last):
            voxel = self._voxel(case, int(random.choice(present)), random)
            wanted = [at - size // 2 for at, size in zip(voxel, self.roi, strict=True)]
        else:
            wanted = [int(random.integers(most + 1)) for most in last]
        z, y, x = (min(max(at, 0), most) for at, most in zip(wanted, last, strict=True))
        return z, y, x

    def _voxel(self, case: PreparedCase, organ: int, random: np.random.Generator) -> Shape:
        """One of an organ's voxels, each as likely: by its plane first, of which alone is read."""
        counts = case.areas[:, organ]
        plane = int(random.choice(len(counts), p=counts / counts.sum()))
        places = np.argwhere(case.stored("label.npy", plane) == organ + 1)
        row, column = places[random.integers(len(places))]
        return plane, int(row), int(column)

    def _changed(
        self, image: NDArray[np.float32], label: NDArray[np.uint8], draw: Draw
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """By a recipe of slices, which does the same to all planes, as to all channels."""
        if self.augmentation is None:
            return image, label
        seed = (self.seed, *draw)
        changed = self.augmentation(torch.from_numpy(image), torch.from_numpy(label), seed)
        return changed[0].numpy(), changed[1].numpy()


def patch(
    case: PreparedCase, start: Shape, roi: Shape
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A patch's image (z, y, x), or (z, C, y, x) of several channels, and label (z, y, x).

    Raises:
        LostSlicesError: the prepared volume is gone, or not what it was.
    """
    image, label = case.region(*region(start, case.shape, roi))
    if image.ndim > label.ndim:  # channels lie behind the planes, as with slices
        channels = [padded(image[:, c], roi) for c in range(image.shape[1])]
        return np.stack(channels, axis=1), padded(label, roi)
    return padded(image, roi), padded(label, roi)


def first_channels(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(z, y, x), or (z, C, y, x) -> (C, z, y, x), as a network takes it."""
    return image[None] if image.ndim == 3 else np.ascontiguousarray(image.swapaxes(0, 1))


def _item(image: NDArray[np.float32], label: NDArray[np.uint8], case: str) -> dict[str, Any]:
    return {
        "image": torch.from_numpy(first_channels(image)),
        "label": torch.from_numpy(label[None]),
        "case": case,
        "slice": 0,
    }
