"""A network trained on planted evidence, and slices it has not seen with all that is known of them.

The checkpoint says which images those were, and the images are functions of numbers: nothing but
the checkpoint is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segtrace.activation import SIGMOID
from segtrace.attribution.passes import SLICES_ON_CPU
from segtrace.causal.outcome import Judge
from segtrace.checkpoint import loading as checkpoint
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.network.stages import StagesLike
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.planted.source import PlantedSource
from segtrace.tracking.explained import DEFAULT, Network, Settings, settled

ENOUGH = 0.95
"""Dice, or part of the slices with the right class, up to which a network has not learned its task,
and no verdict is given."""


@dataclass(frozen=True)
class PlantedSlices:
    """Slices in twins, 2k and 2k + 1: equal but for the evidence, and with other labels.

    Attributes:
        images: (N, 1, H, W) float32.
        truth: (N, H, W) int64 channels.
        evidence: (N, H, W) bool, the marks that decide.
        decoy: (N, H, W) bool, those that do not.
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
        """(N,) the channel of each slice's class; 0 where nothing is to be segmented."""
        return self.truth.amax((1, 2))

    def margin(self, logits: Tensor) -> Tensor:
        """(N,) float64: logit of the label less that of the twin's, mean where the two differ.

        That is on the disc, own class less the other; on the triangle, triangle less background or
        the other way round; on both rooms. Above 0 the class is right, whether or not the outline
        is.
        """
        other = twins(self.truth)
        differ = self.truth != other
        own, others = (logits.gather(1, channel[:, None])[:, 0] for channel in (self.truth, other))
        return ((own - others) * differ).double().sum((1, 2)) / differ.sum((1, 2))


def twins(values: Tensor) -> Tensor:
    """Every slice's twin in its place, 1, 0, 3, 2 and so on."""
    return values.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


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
        if description.get("explain", {}).get("activation") == SIGMOID:
            raise InputError(
                f"{path} was trained with model.activation=sigmoid; a pixel is of one class alone: "
                "train one with experiment=planted alone"
            )
        source = PlantedSource.from_settings(found["settings"])
        if description["organs"] != source.numbering:
            raise InputError(
                f"{path} has the organs {description['organs']}; those of the task {source.task} "
                f"are {source.numbering}: train one with experiment=planted"
            )
        loaded = checkpoint.load(Path(path), net)
        return cls(
            net=loaded.net,
            stages=description["stages"],
            channels=description["organs"],
            source=source,
            epoch=loaded.epoch,
            path=loaded.path,
            named=net,
        )

    def untrained(self) -> nn.Module | None:
        """The network of ``epoch_000.ckpt`` in the same folder; ``None`` where there is none."""
        path = self.path.with_name("epoch_000.ckpt")
        return checkpoint.load(path, self.named).net if path.is_file() else None

    def on(
        self, slices: PlantedSlices, net: nn.Module, stages: Sequence[str] | None = None
    ) -> Network:
        """What explainers are handed: slices, and the network, or another in its place.

        Args:
            slices: of these images.
            net: the network.
            stages: names out of its stages; ``None`` for all.
        """
        probes = Probes(
            images=slices.images,
            labels=slices.truth,
            cases=slices.cases,
            slices=tuple(n - slices.cases.index(case) for n, case in enumerate(slices.cases)),
            spacing=torch.full((len(slices.images), 2), torch.nan, dtype=torch.float64),
            split="val",
            phantom=True,
        )
        settings = Settings(DEFAULT.rules, stages=None if stages is None else [*stages])
        return settled(Network(net, self.stages, probes, self.channels, settings))

    def slices(self, tag: str | None = "agreeing") -> PlantedSlices:
        """The validation slices, which were not trained on; the tag as in training."""
        return PlantedSlices.of(self.source, "val", tag)

    def logits(self, slices: PlantedSlices) -> Tensor:
        """(N, C, H, W) of the network as it is."""
        x = as_input(self.net, slices.images)
        with undisturbed(self.net, x.device), torch.no_grad():
            return torch.cat([self.net(part) for part in x.split(SLICES_ON_CPU)]).cpu()

    def dice(self, slices: PlantedSlices) -> float:
        """Mean over slices, each of what is to be segmented there."""
        return float(Judge(self.channels, slices.truth).of(self.logits(slices)).dice.nanmean())

    def right(self, slices: PlantedSlices) -> float:
        """Part of the slices with the right class, see :meth:`PlantedSlices.margin`."""
        return float((slices.margin(self.logits(slices)) > 0).double().mean())
