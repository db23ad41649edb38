"""Whole volumes: every slice through Lightning's predict loop, maps back in the file's own grid."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segtrace.data.files.geometry import Geometry
from segtrace.data.files.nifti import Volume
from segtrace.data.preprocessing import Preprocessing, batch_of, labels_of
from segtrace.data.probes import Probes
from segtrace.data.volumes.preprocessing import slices_alone
from segtrace.errors import InputError
from segtrace.explainers.explainer import Budget
from segtrace.explainers.scores import scoring
from segtrace.report.files import check_writable
from segtrace.studies.inputs.cautions import about_volume
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.volumes.files import nothing_in, write_volume
from segtrace.studies.volumes.outlook import announce
from segtrace.studies.volumes.stacks import Stacks
from segtrace.tracking.explained import Explained, explain_probes, settled, targets_of

BATCH = 8
"""Slices in a batch."""
SAMPLE = 4
"""Slices that tell how long all will take."""


def explain_volume(
    trained: TrainedNetwork,
    volume: Volume,
    folder: Path,
    trainer: Callable[..., pl.Trainer],
    numbering: Mapping[str, int] | None = None,
    one_file_an_organ: bool = False,
) -> TrainedNetwork:
    """Explain all slices of a volume, and write what a viewer can lay over it.

    Args:
        trained: the network; its region decides what is explained in every slice.
        volume: the image, with its label where the region needs one.
        folder: see :func:`segtrace.studies.volumes.files.write_volume`.
        trainer: builds one; accelerator, devices, strategy, … are chosen already.
        numbering: organ -> number in the volume's label.
        one_file_an_organ: a 4-D file with a volume a stage, in the place of a file a stage.

    Returns:
        The network with what must be said of the volume among its facts.

    Raises:
        InputError: a volume without an affine; no organ in it; no room on the disk.
    """
    if volume.grid.affine is None:
        raise InputError(
            f"{volume.where}: npz and h5 files hold no affine, so that a NIfTI file would lie "
            "nowhere; give the raw images (data=synapse or image=any_ct.nii.gz)"
        )
    preprocessing = slices_alone(trained.preprocessing, "study=volumes")
    images, geometry = preprocessing.images(volume)
    volume = replace(volume, hounsfield_known=preprocessing.hounsfield_known(volume))
    if cautions := about_volume(volume, trained):
        trained = replace(trained, facts={**trained.facts, "cautions": cautions})
    labels = None
    if volume.label is not None and numbering is not None:
        labels = _labels(volume, numbering, preprocessing, geometry)
    slices = VolumeSlices(volume, images, labels, geometry)
    began = perf_counter()
    sample = _explained(trained, slices.probes(slices.spread(SAMPLE)))
    announce(folder, sample, geometry, len(slices), perf_counter() - began)
    if not sample.record.flow.region_px.any():
        _check_there(trained, slices)
    # One name for all: every process of a distributed run writes its slices into the same files.
    scratch = folder / ".stacks"
    check_writable(scratch)
    writer = VolumeWriter(scratch, sample, len(slices))
    predictor = trainer(callbacks=[writer])
    try:
        tracer = VolumeTracer(trained, slices)
        predictor.predict(tracer, DataLoader(slices, BATCH), return_predictions=False)
        if predictor.is_global_zero:
            write_volume(folder, writer.stacks, trained, volume, geometry, one_file_an_organ)
    finally:
        if predictor.is_global_zero:
            shutil.rmtree(scratch)
    return trained


def _check_there(trained: TrainedNetwork, slices: "VolumeSlices") -> None:
    """Refuse a volume that holds nothing to explain, by forward passes up to what it holds.

    Raises:
        InputError: it does.
    """
    silent = Budget(None, lambda _words: nullcontext(None))
    for part in torch.arange(len(slices)).split(BATCH):
        network = settled(trained.on(slices.probes(part.tolist())))
        targets = targets_of(network.probes, network.channels, network.settings)
        with scoring(network, targets, silent, "Looking for organs") as scores:
            if any(one.pixels(scores.logits).any() for one in scores.weights.values()):
                return
    raise nothing_in(slices.volume, trained.settings.region, [*targets])


def _labels(
    volume: Volume, numbering: Mapping[str, int], preprocessing: Preprocessing, geometry: Geometry
) -> NDArray[np.uint8]:
    """(D, size, size) channels of the network's organs that the label files know."""
    known = {organ: c for organ, c in preprocessing.organs.items() if organ in numbering}
    return labels_of(volume, numbering, replace(preprocessing, organs=known), geometry)


def _explained(trained: TrainedNetwork, probes: Probes) -> Explained:
    return explain_probes(*trained.on(probes), epoch=trained.epoch)


class VolumeSlices(Dataset[int]):
    """The numbers of a volume's slices; the slices themselves are looked up by them.

    Args:
        volume: the file.
        images: (D, size, size) in [0, 1]; of several channels (D, C, size, size).
        labels: (D, size, size) channels, or ``None``.
        geometry: the way back.
    """

    def __init__(
        self,
        volume: Volume,
        images: NDArray[np.float32],
        labels: NDArray[np.uint8] | None,
        geometry: Geometry,
    ) -> None:
        self.volume, self.images, self.labels, self.geometry = volume, images, labels, geometry

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return index

    def spread(self, count: int) -> list[int]:
        """The numbers of so many slices, or of all, evenly over the volume."""
        count = min(count, len(self))
        return [len(self) * (2 * n + 1) // (2 * count) for n in range(count)]

    def probes(self, indices: Sequence[int]) -> Probes:
        """These slices, as the network takes them."""
        chosen = list(indices)
        return Probes(
            images=batch_of(self.images[chosen]),
            labels=None if self.labels is None else torch.from_numpy(self.labels[chosen]),
            cases=(self.volume.name,) * len(chosen),
            slices=tuple(chosen),
            spacing=torch.tensor([self.geometry.spacing] * len(chosen)).double(),
            split="user",
            phantom=self.volume.phantom,
            sides_known=self.geometry.sides_known,
            hounsfield_known=self.volume.hounsfield_known,
        )


class VolumeTracer(pl.LightningModule):
    """Explain batches of slices, on whatever device the trainer puts the network."""

    def __init__(self, trained: TrainedNetwork, slices: VolumeSlices) -> None:
        super().__init__()
        self.net = trained.net
        self.trained, self.slices = trained, slices

    def predict_step(self, batch: Tensor, batch_idx: int) -> Explained:
        """Maps and measures of the slices with these numbers."""
        return _explained(self.trained, self.slices.probes(batch.tolist()))


class VolumeWriter(BasePredictionWriter):
    """Put every batch into its place of the whole volume's stacks.

    Args:
        scratch: folder for the stacks, which may be larger than the memory.
        like: slices of it, explained.
        depth: slices of the volume.
    """

    def __init__(self, scratch: Path, like: Explained, depth: int) -> None:
        super().__init__("batch")
        self.stacks = Stacks(scratch, like, depth)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Make the stacks, once for all processes."""
        if trainer.is_global_zero:
            self.stacks.create()
        trainer.strategy.barrier()

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Explained,
        batch_indices: Sequence[int] | None,
        batch: Tensor,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Keep one batch."""
        self.stacks.put(batch.tolist(), prediction)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait until every process has written its slices."""
        trainer.strategy.barrier()
