"""A volume explained at once by a network of volumes, as NIfTI on the grid of its image."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.attribution.flow import Status
from segtrace.data.files.nifti import Volume
from segtrace.data.volumes.preprocessing import VolumePreprocessing
from segtrace.errors import InputError
from segtrace.measures.localisation import readable
from segtrace.studies.inputs.cautions import about_volume, about_windows
from segtrace.studies.inputs.new_image import probes_of_volume
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.volumes.files import write_volume
from segtrace.tracking.explained import Explained, explain_probes


class Whole:
    """Maps and numbers of one volume, as :func:`~segtrace.studies.volumes.files.write_volume` asks.

    Args:
        explained: one volume.
    """

    depth = 1
    """Rows of the table for each map: one, of the volume."""
    table = "volume.csv"

    def __init__(self, explained: Explained) -> None:
        self._explained, flow = explained, explained.record.flow
        self.stages, self.rules, self.organs = flow.stages, flow.rules, flow.organs
        self.measures = tuple(map(str, explained.measures))
        measured = readable(explained.measures)
        prediction = flow.prediction[0].to(flow.status.dtype)  # (d, h, w), or (C, d, h, w)
        planes_first = prediction if prediction.ndim == 3 else prediction.movedim(0, 1)
        self._arrays: dict[str, NDArray[Any]] = {
            "status": flow.status.movedim(-1, 0).numpy(),
            "region_px": flow.region_px.float().movedim(-1, 0).numpy(),
            "score": flow.scores.float().movedim(-1, 0).numpy(),
            "prediction": planes_first.numpy(),
            **{f"measure_{name}": measured[name].transpose("slice", ...).values
               for name in self.measures},
        }  # fmt: skip

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def readable(self, s: int, r: int, o: int) -> NDArray[np.float32]:
        """(d, h, w) the positive part of a map, by number; nothing where it may not be read."""
        values = self._explained.record.flow.maps[self.stages[s]][r, o, 0].float().numpy()
        if self["status"][0, s, r, o] >= Status.GAP_DEGENERATE:
            return np.zeros_like(values)
        return np.maximum(np.nan_to_num(values), 0)


def explain_whole(
    trained: TrainedNetwork, volume: Volume, folder: Path, one_file_an_organ: bool = False
) -> tuple[TrainedNetwork, Explained]:
    """Explain a volume window by window, and write what a viewer can lay over it.

    Args:
        trained: the network, of volumes; its region decides what is explained.
        volume: the image.
        folder: see :func:`segtrace.studies.volumes.files.write_volume`.
        one_file_an_organ: a 4-D file with a volume a stage, in the place of a file a stage.

    Returns:
        The network with what must be said of the volume among its facts, and its maps.

    Raises:
        InputError: a volume without an affine; a network of slices; no organ in it.
    """
    preprocessing = trained.preprocessing
    if not isinstance(preprocessing, VolumePreprocessing):
        raise TypeError("a network of slices explains a volume slice by slice")
    if volume.grid.affine is None:
        raise InputError(f"{volume.where}: no affine, so that a NIfTI file would lie nowhere")
    volume = replace(volume, hounsfield_known=preprocessing.hounsfield_known(volume))
    network = trained.on(probes_of_volume(volume, preprocessing))
    if cautions := about_volume(volume, trained) + about_windows(network):
        trained = replace(trained, facts={**trained.facts, "cautions": cautions})
    found = explain_probes(*network, epoch=trained.epoch)
    write_volume(
        folder, Whole(found), trained, volume, preprocessing.geometry(volume), one_file_an_organ
    )
    return trained, found
