"""What a network takes for the organs of a volume, as NIfTI on the grid of its image."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segtrace.activation import SOFTMAX, OrganLike, organ_of, predicted_mask
from segtrace.data.files.nifti import Volume, read_image
from segtrace.names import file_name
from segtrace.report.tables import save_table
from segtrace.studies.inputs.cautions import IN_SHORT, about_network
from segtrace.studies.inputs.new_image import predicted_stack
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.volumes.nifti import save_labels
from segtrace.studies.volumes.viewers import (
    ITKSNAP,
    PREDICTION,
    PREDICTIONS,
    save_label_tables,
)

ORGANS = "organs.csv"


def save_prediction(trained: TrainedNetwork, image: Path, folder: Path) -> None:
    """Write what a network takes for the organs of a new image, with a table of its labels.

    ``organs.csv``: organ, voxels, ml (NaN where mm are unknown).

    Raises:
        InputError: an image that cannot be read, or a file that cannot be written.
    """
    volume = read_image(image, trained.preprocessing.channels)
    images, geometry = trained.preprocessing.images(volume)
    found = predicted_stack(trained, images)
    stack, back = found.to(torch.uint8).numpy(), partial(geometry.to_source, mode="nearest")
    said = about_network(volume, trained)
    mark = "".join(f", {IN_SHORT[caution]}" for caution in said if caution in IN_SHORT)
    numbers = save_predictions(folder, stack, trained.channels, volume, mark, back)
    save_label_tables(folder, numbers)
    voxel_ml = volume.grid.voxel_ml
    rows = []
    for organ, channel in trained.channels.items():
        mask = predicted_mask(found, channel).numpy().astype(np.uint8)
        voxels = int(np.count_nonzero(back(mask)))
        rows.append({"organ": organ, "voxels": voxels, "ml": round(voxels * voxel_ml, 2)})
    save_table(folder / ORGANS, rows)


def save_predictions(
    folder: Path,
    stack: NDArray[np.generic],
    channels: Mapping[str, OrganLike],
    volume: Volume,
    mark: str,
    back: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> dict[str, int]:
    """Write what the network takes for the organs; organ -> its number in that file.

    Args:
        folder: for ``prediction.nii.gz``, and ``predictions/`` where organs may overlap.
        stack: (D, h, w) channels, or (D, C, h, w) of 0 and 1.
        channels: organ -> channel.
        volume: on whose grid they lie.
        mark: what must be said of them, for the description.
        back: from slices (D, h, w) to the file's own grid (i, j, k).

    Raises:
        InputError: a file cannot be written.
    """
    words = f"{mark}: prediction"
    organs = {name: organ_of(organ, SOFTMAX) for name, organ in channels.items()}
    if stack.ndim == 3:
        save_labels(folder / PREDICTION, back(stack.astype(np.uint8)), volume, words, ITKSNAP)
        return {name: organ.channel for name, organ in organs.items()}
    over = np.zeros(0, np.uint8)
    for name, organ in organs.items():
        mask = back(stack[:, organ.channel].astype(np.uint8))
        over = np.where(mask > 0, np.uint8(organ.label), over if over.size else mask)
        if len(organs) > 1:
            file = folder / PREDICTIONS / f"{file_name(name, list(organs))}.nii.gz"
            save_labels(file, mask * np.uint8(organ.label), volume, f"{words} of {name}", ITKSNAP)
    save_labels(folder / PREDICTION, over, volume, words, ITKSNAP)
    return {name: organ.label for name, organ in organs.items()}
