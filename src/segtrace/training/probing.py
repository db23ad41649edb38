"""Choose the slices to watch from whatever a Lightning training validates on."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from segtrace.data.probes import Probes, choose
from segtrace.errors import InputError

_INSTEAD = "let the loader give that (FlowCallback also takes the slices themselves: probes=…)"


def probes_of(trainer: pl.Trainer, organs: Mapping[str, int], n: int) -> Probes:
    """``n`` slices of the training's validation loader, by the rule of :func:`choose`.

    Raises:
        InputError: no validation loader, or batches that hold no image and label.
    """
    loader = trainer.val_dataloaders
    if loader is None:
        raise InputError("FlowCallback found no validation loader; give probes=… itself")
    while isinstance(loader, list | tuple):
        loader = loader[0]
    return probes_from(loader, organs, n)


def probes_from(loader: Iterable[Any], organs: Mapping[str, int], n: int = 8) -> Probes:
    """``n`` slices of a loader, by the rule of :func:`choose`.

    Args:
        loader: batches that are mappings with ``image`` and ``label`` (and, if known, ``case``
            and ``slice``), or tuples (image, label, …). Images are (B, C, H, W), labels
            (B, H, W) or (B, 1, H, W) in channel numbers. Read twice, in the same order. The
            patient's sides are named only where the loader or its ``dataset`` has an attribute
            ``sides_known`` that is True: rows run from anterior to posterior, columns from the
            patient's right to the left, slices from the feet up.
        organs: organ -> channel.
        n: how many.

    Raises:
        InputError: other batches, or another order when read again.
    """
    with torch.random.fork_rng(devices=[]):  # a loader draws a seed when it starts
        found = [(key, _areas(label, organs)) for key, _, label in _slices(loader)]
        chosen = choose(np.stack([area for _, area in found]), [key for key, _ in found], n)
        wanted = dict.fromkeys(chosen)
        kept = {row: item for row, item in enumerate(_slices(loader)) if row in wanted}
    for row in chosen:
        if not np.array_equal(_areas(kept[row][2], organs), found[row][1]):
            raise InputError(
                "the validation loader shuffles, so no slice can be watched over the epochs; "
                "say shuffle=False"
            )
    picked = [kept[row] for row in chosen]
    return Probes(
        images=torch.stack([image for _, image, _ in picked]).float(),
        labels=torch.stack([label for _, _, label in picked]).to(torch.uint8),
        cases=tuple(case for (case, _), _, _ in picked),
        slices=tuple(index for (_, index), _, _ in picked),
        spacing=torch.full((len(picked), 2), torch.nan, dtype=torch.float64),
        split="val",
        phantom=False,
        sides_known=_sides_known(loader),
    )


def _sides_known(loader: Iterable[Any]) -> bool:
    """Whether the loader, or its data set, says where the patient's right, front and feet are."""
    places = (loader, getattr(loader, "dataset", None))
    return any(getattr(place, "sides_known", False) is True for place in places)


def _slices(loader: Iterable[Any]) -> Iterator[tuple[tuple[str, int], Tensor, Tensor]]:
    """((case, index), image (C, H, W), label (H, W)) of every slice, in order."""
    count = 0
    for batch in loader:
        image, label = _image_and_label(batch)
        named = isinstance(batch, Mapping) and "case" in batch and "slice" in batch
        for i in range(len(image)):
            key = (str(batch["case"][i]), int(batch["slice"][i])) if named else ("val", count)
            yield key, image[i].detach().cpu(), label[i].detach().cpu()
            count += 1


def _image_and_label(batch: Any) -> tuple[Tensor, Tensor]:
    if isinstance(batch, Mapping):
        image, label = batch.get("image"), batch.get("label")
    elif isinstance(batch, list | tuple) and len(batch) > 1:
        image, label = batch[:2]
    else:
        image = label = None
    if not isinstance(image, Tensor) or not isinstance(label, Tensor):
        raise InputError(
            "batches {'image': …, 'label': …} or (image, label) are read; the validation loader "
            f"gives {type(batch).__name__}: {_INSTEAD}"
        )
    if label.ndim == image.ndim and label.shape[1] == 1:
        label = label[:, 0]
    if image.ndim != 4 or label.shape != (len(image), *image.shape[2:]):
        raise InputError(
            f"the validation loader gives images {tuple(image.shape)} and labels "
            f"{tuple(label.shape)}; slices (B, C, H, W) and label maps (B, H, W) of channel "
            f"numbers are needed, in which organs do not overlap: {_INSTEAD}"
        )
    return image, label


def _areas(label: Tensor, organs: Mapping[str, int]) -> Any:
    return np.array([int((label == channel).sum()) for channel in organs.values()])
