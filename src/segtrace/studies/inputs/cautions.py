"""What must be said of images before a network's maps of them are read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segtrace.data.files.findings import told
from segtrace.data.files.nifti import Volume
from segtrace.data.files.plausible import not_hounsfield
from segtrace.data.probes import Probes
from segtrace.progress import counted, say
from segtrace.studies.inputs.trained_network import TrainedNetwork, taught_by_phantom
from segtrace.tracking.explained import Network

UNNAMED = "the image"
"""For an image without labels: its name is a file's, which may be a person's."""
OTHER_VALUES = (
    "The network was trained on HU, and these values are none as far as is known: do not read its "
    "maps of them as evidence"
)
OF_A_PHANTOM = (
    "The network was trained on a phantom, and this image is none: what its maps of it show is "
    "nothing about patients"
)
IN_WINDOWS = (
    "Explained window by window, and stitched: a map is a mean over windows, and what a rule "
    "averages, it averages over a window"
)
IN_SHORT = {OTHER_VALUES: "no HU", OF_A_PHANTOM: "network of a phantom"}
"""In a description of few letters."""


def about_slices(probes: Probes, trained: TrainedNetwork) -> list[str]:
    """What was found about the files of slices, and whether the network can read them; printed.

    Args:
        probes: slices that the network was not watched on. What was found about a data set has
            been said when it was prepared.
        trained: the network; one that was trained on other values than HU is not cautioned.
    """
    found = list(probes.findings)
    if probes.labels is None:
        cases = [f"case {case}: " for case in dict.fromkeys(probes.cases)]
        found = [_renamed(line, cases) for line in found]
        say_cautions(found)
    return found + say_cautions(about_network(probes, trained))


def about_volume(volume: Volume, trained: TrainedNetwork) -> list[str]:
    """The same for a whole volume; printed."""
    return say_cautions(of_volume(volume, trained))


def about_windows(network: Network) -> list[str]:
    """That its images are gone through window by window, where they are; printed."""
    return say_cautions([IN_WINDOWS] if network.sliding is not None else [])


def of_volume(volume: Volume, trained: TrainedNetwork) -> list[str]:
    """The same for a whole volume, for somebody else to say."""
    found = told((volume.name, finding) for finding in volume.findings)
    if volume.label is None:
        found = [_renamed(line, [f"case {volume.name}: "]) for line in found]
    return found + about_network(volume, trained)


def trained_on(cases: Sequence[str]) -> str:
    """That these are training cases, by their names."""
    return (
        f"The network was trained on {counted(len(cases), 'case')} of the same name "
        f"({', '.join(cases)}): what it scores there says nothing about others"
    )


def about_network(images: Probes | Volume, trained: TrainedNetwork) -> list[str]:
    """What it was trained on, and these images are not."""
    other = not images.hounsfield_known and _reads_hounsfield(trained.probes)
    of_a_phantom = taught_by_phantom(trained.probes, phantom=images.phantom)
    return [OTHER_VALUES] * other + [OF_A_PHANTOM] * of_a_phantom


def _reads_hounsfield(own: Mapping[str, Any] | None) -> bool:
    """Whether the network's own slices, as far as they are known, were HU."""
    if own is None or not own.get("originals"):
        return own is None or bool(own.get("hounsfield_known", True))
    values = np.concatenate([slice_.numpy().ravel() for slice_ in own["originals"]])
    return bool(own.get("hounsfield_known", not_hounsfield(values) is None))


def _renamed(line: str, beginnings: Sequence[str]) -> str:
    for beginning in beginnings:
        if line.startswith(beginning):
            return f"{UNNAMED}: {line.removeprefix(beginning)}"
    return line


def say_cautions(cautions: list[str]) -> list[str]:
    """Each as a line of its own."""
    for caution in cautions:
        say(as_caution(caution))
    return cautions


def as_caution(sentence: str) -> str:
    """As a line of its own."""
    return f"Caution: {sentence}" + "." * (sentence[-1] not in ".?!")
