"""Which images ``explain.py`` was asked to explain, and what must be said of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from segtrace.checkpoint import loading as checkpoint
from segtrace.data.cases import case_name, largest_held_out
from segtrace.data.files.nifti import Volume, read_image
from segtrace.data.probes import SEVERAL, Probes
from segtrace.data.volumes.preprocessing import preprocessing_of
from segtrace.errors import InputError
from segtrace.report.page.whole_cases import WholeCases
from segtrace.studies.inputs.cautions import about_slices, about_windows
from segtrace.studies.inputs.fitted_data import FittedData
from segtrace.studies.inputs.new_image import probes_of_image
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.training.construction import construct

if TYPE_CHECKING:
    from segtrace.data.datamodule import CaseDataModule

LooksAt = Literal["slices", "spread", "volumes", "tables"]
"""The most telling slices; the richest of every case; whole volumes; no images at all."""


@dataclass(frozen=True)
class Images:
    """The slices or volumes to explain, the same for all networks.

    Attributes:
        options: of ``explain.py``, plain values, resolved and checked.
        looks_at: which images the study asks for.
        checkpoints: in the order of their epochs; none for a network of the user's own.
        first: the first network.
        last: the last one, which chooses the slices of a new image.
    """

    options: Mapping[str, Any]
    looks_at: LooksAt
    checkpoints: Sequence[Path]
    first: Callable[[], TrainedNetwork]
    last: Callable[[], TrainedNetwork]

    @cached_property
    def data(self) -> "CaseDataModule | FittedData | None":
        """The data set that was named, if any; for a checkpoint, as its network needs it."""
        node = self.options.get("data")
        if not node:
            return None
        if self.checkpoints:
            return FittedData.of(node, preprocessing_of(self._described["preprocessing"]))
        own = given_of(self.options["preprocessing"] or {})
        window = {"window": own["window"]} if "window" in own else {}
        module: CaseDataModule = construct("data", node, **window)
        return module

    @property
    def module(self) -> "CaseDataModule":
        """The data set itself.

        Raises:
            InputError: none was named.
        """
        found = self.data.module if isinstance(self.data, FittedData) else self.data
        if found is None:
            raise InputError("net=… needs data=… data.root=…, which says organs and slices")
        return found

    @property
    def numbering(self) -> Mapping[str, int] | None:
        """Organ -> number in the label files of the data set, if one was named."""
        if isinstance(self.data, FittedData):
            return self.data.numbering
        return None if self.data is None else self.data.source.numbering

    @property
    def unlabelled(self) -> bool:
        """Whether a ground truth is not to be counted on."""
        return self.options["image"] is not None or self.looks_at == "volumes"

    @cached_property
    def are_new(self) -> bool:
        """Whether they are others than those that the checkpoint holds, or knows by name.

        A checkpoint that names its slices leaves their images to the data set, unless others are
        asked for.
        """
        if self.options["image"] is not None or self.data is None or not self.checkpoints:
            return self.options["image"] is not None or self.data is not None
        asked = self.looks_at == "volumes" or given_of(self.options["probes"])
        return bool(asked) or "images" in self._described["probes"]

    @cached_property
    def slices(self) -> Probes:
        """The slices that are explained."""
        n, part = self.options["probes"]["n"], self.options["probes"]["from"]
        if self.looks_at == "spread" and self.data is not None:
            return self.data.spread(n or 1, part or largest_held_out(self.module.split))
        if self.options["image"] is not None:
            path, last = Path(self.options["image"]), self.last()
            return probes_of_image(path, last, n or SEVERAL)
        if self.data is not None and self.are_new:
            return self.data.probes(n, part or "val")
        if self.data is not None:
            return self.data.read_probes(dict(self.first().probes or {}))
        return self.first().slices(None, n, part or "val")

    def blank(self, trained: TrainedNetwork) -> Probes:
        """Empty slices, as many as are asked for, in the place of those of a new image."""
        empty = trained.blank
        axes = empty.ndim - 2
        n = 1 if axes == 3 else self.options["probes"]["n"] or SEVERAL
        return Probes(
            images=empty.repeat_interleave(n, 0),
            labels=None,
            cases=("image",) * n,
            slices=tuple(range(n)),
            spacing=torch.full((n, axes), torch.nan, dtype=torch.float64),
            split="user",
            phantom=False,
        )

    def volumes(self, cases: Sequence[str | int]) -> Iterator[Volume]:
        """The volumes to explain, one at a time: the image, or the cases with their labels."""
        if self.options["image"] is not None:
            yield read_image(self.options["image"], self.last().preprocessing.channels)
            return
        source = self.module.source
        available = source.cases()
        for name in [case_name(value, available) for value in cases]:  # all, before one is loaded
            yield source.load(name)

    def fit(self, trained: TrainedNetwork) -> TrainedNetwork:
        """A network on new slices: nothing of its own cases, no organ without labels, cautions."""
        if not self.are_new:
            return trained
        facts, settings = dict(trained.facts), trained.settings
        if isinstance(self.data, FittedData):
            facts |= self.data.facts
            settings = self.data.settings(settings, named=self.options["organs"] is not None)
        if self.looks_at != "volumes" and self._cautions:  # of volumes, when they are read
            facts["cautions"] = self._cautions
        return replace(trained, facts=facts, settings=settings, whole=WholeCases())

    @cached_property
    def _described(self) -> Mapping[str, Any]:
        return checkpoint.describe(self.checkpoints[0])

    @cached_property
    def _cautions(self) -> list[str]:
        """They are of the images, so they are said once, and not of every checkpoint."""
        first = self.first()
        return about_slices(self.slices, first) + about_windows(first.on(self.slices))


def given_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not null."""
    return {option: value for option, value in options.items() if value is not None}


def listed(value: Any) -> list[Any] | None:
    """A single name as a list of one; ``None`` stays."""
    return value if value is None or isinstance(value, list) else [value]
