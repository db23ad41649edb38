"""Slices of a new CT, chosen by what the network finds in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segtrace.activation import predicted, predicted_mask
from segtrace.data.files.findings import told
from segtrace.data.files.nifti import Volume, read_image
from segtrace.data.preprocessing import batch_of
from segtrace.data.probes import Probes, choose
from segtrace.data.volumes.patches import first_channels
from segtrace.data.volumes.preprocessing import VolumePreprocessing
from segtrace.errors import InputError
from segtrace.network.logits import logits_at
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.progress import counted, over, say
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.training.slices.lying import SPL

BATCH = 8
Inferer = Callable[..., Any]
"""(images, network) -> logits, as MONAI's."""


def probes_of_image(path: Path, trained: TrainedNetwork, n: int) -> Probes:
    """``n`` slices of an unlabelled volume, by the rule of :func:`choose` on the prediction.

    For a network of volumes the whole of it.

    Raises:
        InputError: a file that cannot be read, or in which the network finds no organ.
    """
    preprocessing = trained.preprocessing
    volume = read_image(path, preprocessing.channels)
    if isinstance(preprocessing, VolumePreprocessing):
        return probes_of_volume(volume, preprocessing)
    stack, geometry = preprocessing.images(volume)
    images = batch_of(stack)
    labels = predict(trained.net, images, trained.settings.activation)
    masks = [predicted_mask(labels, organ) for organ in trained.channels.values()]
    areas = torch.stack([mask.flatten(1).sum(1) for mask in masks], 1).numpy()
    if not areas.any():
        why = "".join(f"; {finding.words}" for finding in volume.findings)
        raise InputError(
            f"{path}: the network finds none of its organs ({', '.join(trained.channels)}) in "
            f"any slice, so there is nothing to explain{why}"
        )
    rows = choose(areas, [(volume.name, index) for index in range(len(images))], n)
    originals = preprocessing.originals(volume, rows)
    return Probes(
        images=images[rows],
        labels=None,
        cases=(volume.name,) * len(rows),
        slices=tuple(rows),
        spacing=torch.tensor([geometry.spacing] * len(rows)).double(),
        split="user",
        phantom=volume.phantom,
        originals=None if originals is None else tuple(map(torch.from_numpy, originals)),
        sides_known=geometry.sides_known,
        hounsfield_known=preprocessing.hounsfield_known(volume),
        findings=tuple(told((volume.name, finding) for finding in volume.findings)),
    )


def probes_of_volume(volume: Volume, preprocessing: VolumePreprocessing) -> Probes:
    """A whole volume without a label, as a network takes it window by window."""
    stack, geometry = preprocessing.images(volume)
    known, affine = geometry.sides_known, geometry.affine()
    both = None if affine is None else np.stack([affine, np.array(volume.grid.affine)])
    return Probes(
        images=torch.from_numpy(first_channels(stack))[None],
        labels=None,
        cases=(volume.name,),
        slices=(0,),
        spacing=torch.tensor([geometry.spacing]).double(),
        split="user",
        phantom=volume.phantom,
        sides_known=known,
        hounsfield_known=preprocessing.hounsfield_known(volume),
        findings=tuple(told((volume.name, finding) for finding in volume.findings)),
        axcodes=SPL if known else "",
        affines=None if both is None else torch.from_numpy(both)[None],
        file_sizes=() if both is None else (volume.grid.shape,),
    )


def predicted_stack(trained: TrainedNetwork, stack: NDArray[np.float32]) -> Tensor:
    """What a network predicts for a stack of :meth:`Preprocessing.images`.

    Returns:
        Label map (d, h, w), or masks (d, C, h, w) of bool.
    """
    activation, sliding = trained.settings.activation, trained.sliding
    if sliding is None:
        return predict(trained.net, batch_of(stack), activation)
    volume = torch.from_numpy(first_channels(stack))[None]
    say(f"Predicting {counted(len(sliding.windows(volume.shape[2:]).starts), 'window')}")
    found = predict(trained.net, volume, activation, said=False, inferer=sliding.inferer)[0]
    return found if found.ndim == 3 else found.movedim(0, 1)


def predict(
    net: nn.Module,
    images: Tensor,
    activation: str | None = None,
    *,
    said: bool = True,
    inferer: Inferer | None = None,
) -> Tensor:
    """What the network predicts on every slice (D, C, H, W), in batches.

    Args:
        net: the network.
        images: the slices.
        activation: of its logits; ``None`` where their number says it.
        said: say so; not where whoever asks says more.
        inferer: sends volumes (1, C, z, y, x) through the network patch by patch.
    """

    def send(batch: Tensor) -> Tensor:
        return logits_at(net, as_input(net, batch))

    found = []
    batches = images.split(BATCH)
    with undisturbed(net, next(net.parameters()).device), torch.no_grad():
        words = f"Predicting {counted(len(images), 'slice')}"
        for batch in over(batches, words) if said else batches:
            logits = send(batch) if inferer is None else inferer(as_input(net, batch), send)
            found.append(predicted(logits, activation).cpu())
    return torch.cat(found)
