"""Which images ``explain.py`` was asked to explain, and what must be said of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from segtrace.checkpoint import loading as checkpoint
from segtrace.cli.explain.checks import SLICES, given_of
from segtrace.cli.explain.options import listed
from segtrace.data.cases import case_name
from segtrace.data.datamodule import SliceDataModule
from segtrace.data.files.nifti import Volume, read_image
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.report.page.whole_cases import WholeCases
from segtrace.studies.cautions import about_slices
from segtrace.studies.fitted_data import FittedData
from segtrace.studies.image import probes_of_image
from segtrace.studies.subject import Subject, from_checkpoint
from segtrace.training.construction import construct


@dataclass(frozen=True)
class AskedSlices:
    """The slices or volumes of a request.

    Attributes:
        config: plain dicts, resolved and checked.
        checkpoints: in the order of their epochs; none for a network of the user's own.
        load: the network of a checkpoint.
    """

    config: Mapping[str, Any]
    checkpoints: Sequence[Path]
    load: Callable[[Path], Subject] = from_checkpoint

    @cached_property
    def data(self) -> SliceDataModule | FittedData | None:
        """The data set that was named, if any; for a checkpoint, as its network needs it."""
        node = self.config.get("data")
        if not node:
            return None
        if self.checkpoints:
            return FittedData.of(node, Preprocessing.from_plain(self._described["preprocessing"]))
        module: SliceDataModule = construct("data", node)
        return module

    @property
    def module(self) -> SliceDataModule:
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
    def which(self) -> dict[str, Any]:
        """``n`` and ``from`` of the slices."""
        return SLICES | given_of(self.config["probes"])

    @property
    def whole(self) -> bool:
        """Whether whole volumes are explained, and not the most telling slices."""
        return bool(self.config["volume"]) or self.config["cases"] is not None

    @cached_property
    def _described(self) -> Mapping[str, Any]:
        return checkpoint.describe(self.checkpoints[0])

    @cached_property
    def are_new(self) -> bool:
        """Whether they are others than those that the checkpoint holds, or knows by name.

        A checkpoint that names its slices leaves their images to the data set, unless others are
        asked for.
        """
        if self.config["image"] is not None or self.data is None or not self.checkpoints:
            return self.config["image"] is not None or self.data is not None
        asked = self.whole or given_of(self.config["probes"])
        return bool(asked) or "images" in self._described["probes"]

    def of(self, subject: Subject) -> Probes:
        """The slices to explain it on; the same for all checkpoints of a run."""
        if "probes" not in self._found:
            self._found["probes"] = self._look_up(subject)
        found: Probes = self._found["probes"]
        return found

    @cached_property
    def _found(self) -> dict[str, Any]:
        """What was looked up for the first network, and holds for all."""
        return {}

    def _look_up(self, subject: Subject) -> Probes:
        if self.config["image"] is not None:
            return self._of_image(subject)
        if self.data is not None and self.are_new:
            return self.data.probes(self.which["n"], self.which["from"])
        if self.data is not None:
            return self.data.read_probes(dict(subject.probes or {}))
        return subject.slices(None, self.which["n"], self.which["from"])

    def _of_image(self, subject: Subject) -> Probes:
        """Chosen by what the network, of several the last, finds in the image."""
        path = Path(self.config["image"])
        last = subject if len(self.checkpoints) < 2 else self.load(self.checkpoints[-1])
        return probes_of_image(path, last.net, last.preprocessing, self.which["n"])

    def spread(self, subject: Subject) -> Probes:
        """Slices of every case of the data named, or else the network's own."""
        if self.data is None:
            return self.of(subject)
        if "spread" not in self._found:
            self._found["spread"] = self.data.spread(self.which["n"], self.which["from"])
        found: Probes = self._found["spread"]
        return found

    def volumes(self) -> Iterator[Volume]:
        """The volumes to explain, one at a time: the image, or the cases with their labels."""
        if self.config["image"] is not None:
            yield read_image(self.config["image"])
            return
        source = self.module.source
        available = source.cases()
        for value in listed(self.config["cases"]) or []:
            yield source.load(case_name(value, available))

    def mind(self, subject: Subject) -> Subject:
        """A network on new slices: nothing of its own cases, no organ without labels, cautions."""
        if not self.are_new:
            return subject
        facts, settings = dict(subject.facts), subject.settings
        if isinstance(self.data, FittedData):
            facts |= self.data.facts
            settings = self.data.settings(settings, named=self.config["organs"] is not None)
        if not self.whole and (cautions := self._cautions(subject)):  # of volumes, when read
            facts["cautions"] = cautions
        return replace(subject, facts=facts, settings=settings, whole=WholeCases())

    def _cautions(self, subject: Subject) -> list[str]:
        """They are of the images, so they are said once, and not of every checkpoint."""
        if "cautions" not in self._found:
            shown = self.spread(subject) if self.config["verdict"] else self.of(subject)
            self._found["cautions"] = about_slices(shown, subject)
        found: list[str] = self._found["cautions"]
        return found
