"""``explain.py nnunet=…`` and ``bundle=…``: networks and images as the studies take them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from segtrace.data.preprocessing import Preprocessing
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.integrations import FOREIGN
from segtrace.integrations.foreign import Case, Foreign
from segtrace.integrations.on_file import OnFile
from segtrace.studies.inputs.cautions import say_cautions
from segtrace.studies.inputs.images import Images, listed
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.inputs.trained_network import TrainedNetwork, apply_settings
from segtrace.studies.slices import Maps, Slices
from segtrace.studies.study import Result
from segtrace.tracking.explained import DEFAULT
from segtrace.tracking.void import void_told


def is_foreign(options: Mapping[str, Any]) -> bool:
    """Whether a network of another framework is asked for."""
    return any(options[option] is not None for option in FOREIGN)


def foreign_of(options: Mapping[str, Any]) -> Foreign | None:
    """The network that is named by its folder; ``None`` where another is meant.

    Raises:
        InputError: a folder that does not hold such a network.
    """
    # Imported where they are asked for: MONAI's transforms take a second.
    if options["nnunet"] is not None:
        from segtrace.integrations.nnunet.result import read_result

        return read_result(Path(options["nnunet"]), options["fold"] or 0)
    if options["bundle"] is not None:
        from segtrace.integrations.bundle.read import read_bundle

        return read_bundle(Path(options["bundle"]))
    return None


class ForeignNetworks(Networks):
    """The one network, and its images."""

    @cached_property
    def foreign(self) -> Foreign:
        """As its framework's files describe it."""
        found = foreign_of(self.options)
        if found is None:
            raise TypeError("no network of another framework was asked for")
        return found

    @cached_property
    def images(self) -> "ForeignImages":
        """The image that was named, or what its training was watched on."""
        return ForeignImages(
            self.options, self.looks_at, (), lambda: self._first, lambda: self._first,
            foreign=self.foreign,
        )  # fmt: skip

    def _read(self, name: str) -> TrainedNetwork:
        foreign = self.foreign
        probes = self.images.slices
        asked = replace(DEFAULT, activation=foreign.activation)
        settings = asked if self.rules is None else replace(asked, rules=list(self.rules))
        settings, void = void_told(foreign.net, None, probes.images[:1], settings)
        # Of which the page reads what 0 and 1 stand for: nothing but themselves.
        shown = Preprocessing("zscore", max(foreign.patch), {}, channels=foreign.channels)
        return TrainedNetwork(
            name=foreign.name,
            net=foreign.net,
            stages=None,
            channels=foreign.organs,
            preprocessing=shown,
            settings=settings,
            probes=None if foreign.probes is None else foreign.probes.to_plain(embed=False),
            facts=foreign.facts,
            notes=(*foreign.notes, *([] if void is None else [void])),
        )

    def _as_asked(self, trained: TrainedNetwork) -> TrainedNetwork:
        found = super()._as_asked(trained)
        stages = listed(self.options["stages"])
        return found if stages is None else apply_settings(found, stages=stages)


@dataclass(frozen=True)
class ForeignImages(Images):
    """Windows of the image that was named, or those that the training was watched on.

    Attributes:
        foreign: the network.
    """

    foreign: Foreign | None = None

    @cached_property
    def case(self) -> tuple[Case, Tensor]:
        """The image as the network takes it, and the logits of all of it."""
        foreign, image = self._foreign, Path(self.options["image"])
        case = foreign.read(image)
        return case, foreign.logits(case)

    @cached_property
    def slices(self) -> Probes:
        """The windows that are explained.

        Raises:
            InputError: no image, and no training that was watched.
        """
        if self.options["image"] is not None:
            return self._foreign.windows(*self.case, self.options["probes"]["n"])
        if self._foreign.probes is None:
            raise InputError("say which image: image=ct.nii.gz")
        return self._foreign.probes

    def fit(self, trained: TrainedNetwork) -> TrainedNetwork:
        """A network on a new image: with what must be said of it."""
        if self.options["image"] is None or "cautions" in trained.facts:
            return trained
        return replace(trained, facts={**trained.facts, "cautions": self._said})

    @cached_property
    def _said(self) -> list[str]:
        return say_cautions(list(self.slices.findings))

    @property
    def _foreign(self) -> Foreign:
        if self.foreign is None:
            raise TypeError("no network of another framework was asked for")
        return self.foreign


def explained(study: Slices, networks: ForeignNetworks) -> Iterator[Result]:
    """What the study finds; of a new image also its maps and its prediction as NIfTI."""
    images = networks.images
    for result in study.run(networks, images):
        yield result
        if isinstance(result, Maps) and networks.options["image"] is not None:
            yield OnFile(result.explained, networks.foreign, *images.case)
