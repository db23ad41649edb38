"""A network of another framework, as its own files describe it, and an image as it takes it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segtrace.activation import SIGMOID, Organ, predicted, predicted_mask
from segtrace.data.files.findings import told
from segtrace.data.files.nifti import Volume, read_image
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.integrations.chosen_windows import Shown, chosen, usual
from segtrace.integrations.windows import stitched
from segtrace.names import file_name
from segtrace.report.tables import save_table
from segtrace.studies.volumes.nifti import save_labels
from segtrace.studies.volumes.predictions import ORGANS
from segtrace.studies.volumes.viewers import (
    ITKSNAP,
    PREDICTION,
    PREDICTIONS,
    save_label_tables,
)


@dataclass(frozen=True)
class Case:
    """An image as a network takes it, and where it lies.

    Attributes:
        volume: the file.
        image: (C, D, H, W) float32; a network of slices is shown planes of D.
        affine: 4 x 4, from voxels of the image to mm.
        back: values (D, H, W) of the image -> values (i, j, k) on the file's voxels; ``-inf`` where
            the file goes on beyond the image.
    """

    volume: Volume
    image: Tensor
    affine: NDArray[np.float64]
    back: Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Foreign:
    """A trained network and what its framework knows of it.

    Attributes:
        name: for folders.
        net: with its weights.
        organs: organ -> channel of the logits, and number in label files.
        activation: of the logits.
        patch: sides of what the network takes: two of a network of slices, three of volumes.
        channels: of an image.
        prepared: a file -> the image as the network takes it.
        facts: for the manifest.
        probes: those that its training was watched on; ``None`` where it was not.
        notes: what a user should know, in sentences.
    """

    name: str
    net: nn.Module
    organs: Mapping[str, Organ]
    activation: str
    patch: tuple[int, ...]
    channels: int
    prepared: Callable[[Volume], Case]
    facts: Mapping[str, object] = field(default_factory=dict)
    probes: Probes | None = None
    notes: tuple[str, ...] = ()

    def read(self, path: Path) -> Case:
        """An image, without a label.

        Raises:
            InputError: see :func:`~segtrace.data.files.nifti.read_image`; one that the network's
                preprocessing does not take.
        """
        return self.prepared(read_image(path, self.channels))

    def logits(self, case: Case) -> Tensor:
        """Logits (K, D, H, W) of an image, a window at a time."""
        return stitched(self.net, case.image, self.patch)

    def windows(self, case: Case, logits: Tensor, n: int | None = None) -> Probes:
        """The windows of an image that show most of what the network finds in it, not labelled.

        Raises:
            InputError: the network finds none of its organs.
        """
        prediction = predicted(logits[None], self.activation)
        masks = torch.cat([predicted_mask(prediction, organ) for organ in self.organs.values()])
        volume = case.volume
        shown = Shown(
            volume.name, lambda: case.image, lambda: masks, None, case.affine,
            np.array(volume.grid.affine), volume.grid.shape,
        )  # fmt: skip
        probes = chosen([shown], self.patch, n or usual(self.patch), "user")
        if probes is None:
            raise InputError(
                f"{volume.where}: the network finds none of its organs "
                f"({', '.join(self.organs)}) anywhere, so there is nothing to explain"
            )
        findings = tuple(told((volume.name, finding) for finding in volume.findings))
        return replace(probes, phantom=volume.phantom, findings=findings)

    def save_prediction(self, case: Case, logits: Tensor, folder: Path) -> None:
        """Write what the network takes for the organs, on the voxels of the file.

        ``prediction.nii.gz``, ``predictions/`` where organs may overlap, tables of the labels, and
        ``organs.csv``: organ, voxels, ml (NaN where mm are unknown).

        Raises:
            InputError: a file that cannot be written.
        """
        volume, names = case.volume, list(self.organs)
        masks = self.masks(case, logits)
        rows, ml = [], volume.grid.voxel_ml
        for name, organ in self.organs.items() if self.activation == SIGMOID else ():
            of = masks[name].astype(np.uint8) * np.uint8(organ.label)
            file = folder / PREDICTIONS / f"{file_name(name, names)}.nii.gz"
            save_labels(file, of, volume, f": prediction of {name}", ITKSNAP)
        for name, mask in masks.items():
            voxels = int(mask.sum())
            rows.append({"organ": name, "voxels": voxels, "ml": round(voxels * ml, 2)})
        label = self.label(masks)
        save_labels(folder / PREDICTION, label, volume, ": prediction", ITKSNAP)
        save_label_tables(folder, {name: organ.label for name, organ in self.organs.items()})
        save_table(folder / ORGANS, rows)

    def masks(self, case: Case, logits: Tensor) -> dict[str, NDArray[np.bool_]]:
        """Organ -> where the network finds it, on the voxels of the file."""
        values = (case.back(channel) for channel in logits.numpy())
        if self.activation == SIGMOID:
            found = [one > 0 for one in values]
            return {name: found[organ.channel] for name, organ in self.organs.items()}
        channel = _largest(values)
        return {name: channel == organ.channel for name, organ in self.organs.items()}

    def label(self, masks: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.uint8]:
        """One label of them; where organs overlap, of the last one."""
        found = np.zeros(next(iter(masks.values())).shape, np.uint8)
        for name, mask in masks.items():
            found[mask] = self.organs[name].label
        return found


def _largest(values: Iterable[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """The number of the channel that is the largest, of several the first."""
    first = True
    for number, one in enumerate(values):
        if first:
            best, found, first = one, np.zeros(one.shape, np.uint8), False
            continue
        larger = one > best
        best, found[larger] = np.where(larger, one, best), number
    return found
