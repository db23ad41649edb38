"""What must be said of images before a network's maps of them are read."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.data.nifti import Volume
from segtrace.data.plausible import not_hounsfield
from segtrace.data.probes import Probes
from segtrace.training.subject import Subject


def about_slices(probes: Probes, subject: Subject) -> list[str]:
    """Cautions about slices that the network was not watched on, printed.

    Args:
        probes: with the values of their files, as far as these are known. An image without labels
            is not named: its name may be a person's.
        subject: the network; one that was trained on other values than HU is not cautioned.
    """
    values: dict[str, list[NDArray[Any]]] = {}
    for case, original in zip(probes.cases, probes.originals or (), strict=False):
        name = "the image" if probes.labels is None else case
        values.setdefault(name, []).append(original.numpy().ravel())
    return _told({name: np.concatenate(found) for name, found in values.items()}, subject)


def about_volume(volume: Volume, subject: Subject) -> list[str]:
    """Cautions about a whole volume; files that were windowed before say nothing of their HU."""
    name = "the image" if volume.label is None else volume.name
    return _told({} if volume.windowed else {name: volume.image}, subject)


def _told(values: Mapping[str, NDArray[Any]], subject: Subject) -> list[str]:
    if not values or not _reads_hounsfield(subject):
        return []
    found = [(name, why) for name, image in values.items() if (why := not_hounsfield(image))]
    cautions = [
        f"No CT in HU, as the network takes it: {name}, {why}. Do not read maps of it as evidence"
        for name, why in found
    ]
    for caution in cautions:
        print(f"Caution. {caution}.")
    return cautions


def _reads_hounsfield(subject: Subject) -> bool:
    """Whether the network's own slices, as far as they are known, may be HU."""
    originals = (subject.probes or {}).get("originals")
    if not originals:
        return True
    return not_hounsfield(np.concatenate([slice_.numpy().ravel() for slice_ in originals])) is None
