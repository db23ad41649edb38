"""A network trained on planted evidence, and slices it has not seen with all that is known of them.

The checkpoint says which images those were, and the images are functions of numbers: nothing but
the checkpoint is needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segtrace.activation import SIGMOID
from segtrace.attribution.trace import SLICES_ON_CPU
from segtrace.causal.outcome import Judge
from segtrace.checkpoint import loading as checkpoint
from segtrace.errors import InputError
from segtrace.network.stages import StagesLike
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.planted.images import CLASSES
from segtrace.planted.source import PlantedSource

ENOUGH = 0.95
"""Dice below which a network has not learned its task, and no verdict is given."""


@dataclass(frozen=True)
class PlantedSlices:
    """Slices in twins, 2k and 2k + 1: equal but for the marks, and of the other class.

    Attributes:
        images: (N, 1, H, W) float32.
        truth: (N, H, W) int64 channels.
        evidence: (N, H, W) bool, the mark that decides.
        decoy: (N, H, W) bool, the one that does not.
        cases: name of each slice's case.
    """

    images: Tensor
    truth: Tensor
    evidence: Tensor
    decoy: Tensor
    cases: tuple[str, ...]

    @classmethod
    def of(cls, source: PlantedSource, part: str, tag: str | None = None) -> "PlantedSlices":
        """All slices of a part of the split; ``tag`` as in :meth:`PlantedSource.planted`."""
        names = [name for name in source.split()[part] for _ in range(source.slices)]
        numbers = list(range(source.slices)) * len(source.split()[part])
        planted = [source.planted(*key, tag) for key in zip(names, numbers, strict=True)]
        stacked = {
            name: torch.from_numpy(np.stack([getattr(one, name) for one in planted]))
            for name in ("image", "label", "evidence", "decoy")
        }
        return cls(
            images=stacked["image"][:, None],
            truth=stacked["label"].long(),
            evidence=stacked["evidence"],
            decoy=stacked["decoy"],
            cases=tuple(names),
        )

    def first(self, count: int) -> "PlantedSlices":
        """The first slices of each case; an even ``count`` keeps twins together."""
        rows = [n for n, case in enumerate(self.cases) if n - self.cases.index(case) < count]
        return PlantedSlices(
            images=self.images[rows],
            truth=self.truth[rows],
            evidence=self.evidence[rows],
            decoy=self.decoy[rows],
            cases=tuple(self.cases[n] for n in rows),
        )

    @cached_property
    def own(self) -> Tensor:
        """(N,) the channel of each slice's class."""
        return self.truth.amax((1, 2))

    def margin(self, logits: Tensor) -> Tensor:
        """(N,) float64: own logit minus the other class's, mean over the disc's pixels.

        Above 0 the class is right, whether or not the outline is.
        """
        disc = self.truth > 0
        own, other = (
            logits.gather(1, channel.view(-1, 1, 1, 1).expand(-1, 1, *logits.shape[2:]))[:, 0]
            for channel in (self.own, 3 - self.own)
        )
        return ((own - other) * disc).double().sum((1, 2)) / disc.sum((1, 2))


@dataclass(frozen=True)
class PlantedNetwork:
    """A trained network and the images it was trained on.

    Attributes:
        net: with its weights, in evaluation mode.
        stages: as :func:`segtrace.trace` takes them.
        channels: class -> channel of the logits.
        source: the images.
        epoch: finished passes.
        path: the checkpoint.
        named: the class that the user named for a network outside the table.
    """

    net: nn.Module
    stages: StagesLike
    channels: Mapping[str, int]
    source: PlantedSource
    epoch: int
    path: Path
    named: str | type[nn.Module] | None = None

    @classmethod
    def load(cls, path: str | Path, net: str | type[nn.Module] | None = None) -> "PlantedNetwork":
        """Read a checkpoint of ``train.py experiment=planted``.

        Args:
            path: the file.
            net: the class of its network, for one outside the table of known ones.

        Raises:
            InputError: no such checkpoint, or one of a network trained on something else.
        """
        description = checkpoint.describe(Path(path))
        found: Mapping[str, Any] = description.get("source", {})
        if found.get("name") != PlantedSource.__name__:
            raise InputError(
                f"{path} was not trained on planted evidence; train one: python train.py "
                "experiment=planted data.task=far"
            )
        if description["organs"] != CLASSES:
            raise InputError(
                f"{path} has the organs {description['organs']}; those of planted evidence are "
                f"{CLASSES}: train one with experiment=planted"
            )
        if description.get("explain", {}).get("activation") == SIGMOID:
            raise InputError(
                f"{path} was trained with model.activation=sigmoid; a disc is of one class or the "
                "other: train one with experiment=planted alone"
            )
        loaded = checkpoint.load(Path(path), net)
        return cls(
            net=loaded.net,
            stages=description["stages"],
            channels=description["organs"],
            source=PlantedSource.from_settings(found["settings"]),
            epoch=loaded.epoch,
            path=loaded.path,
            named=net,
        )

    def untrained(self) -> nn.Module | None:
        """The network of ``epoch_000.ckpt`` in the same folder; ``None`` where there is none."""
        path = self.path.with_name("epoch_000.ckpt")
        return checkpoint.load(path, self.named).net if path.is_file() else None

    def slices(self, tag: str | None = "agreeing") -> PlantedSlices:
        """The validation slices, which were not trained on; the tag as in training."""
        return PlantedSlices.of(self.source, "val", tag)

    def logits(self, slices: PlantedSlices) -> Tensor:
        """(N, C, H, W) of the network as it is."""
        x = as_input(self.net, slices.images)
        with undisturbed(self.net, x.device), torch.no_grad():
            return torch.cat([self.net(part) for part in x.split(SLICES_ON_CPU)]).cpu()

    def dice(self, slices: PlantedSlices) -> float:
        """Mean over slices, each of the disc it shows."""
        return float(Judge(self.channels, slices.truth).of(self.logits(slices)).dice.nanmean())
