"""A data set for a network that was trained before: in its size and window, channels and organs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segtrace.data.preprocessing import Preprocessing
from segtrace.data.probes import Probes
from segtrace.data.volumes.preprocessing import AnyPreprocessing
from segtrace.errors import InputError
from segtrace.progress import counted, say
from segtrace.tracking.explained import Settings
from segtrace.training.construction import construct

if TYPE_CHECKING:
    from segtrace.data.datamodule import CaseDataModule


@dataclass(frozen=True)
class FittedData:
    """Slices of a data set as a network takes them, labels in the network's channels.

    Attributes:
        module: of the organs that both know, prepared as the network's own slices were.
        channels: organ of the network -> channel.
        names: organ of the network -> what the data set calls it; without those that it lacks.
    """

    module: "CaseDataModule"
    channels: Mapping[str, int]
    names: Mapping[str, str]

    @classmethod
    def of(cls, node: Mapping[str, Any], wanted: AnyPreprocessing) -> "FittedData":
        """The data set that a configuration names.

        Args:
            node: as under ``data`` in the configuration; its size, window and organs are not
                asked, since the network's are needed.
            wanted: what made the network's own slices.

        Raises:
            InputError: see :class:`CaseDataModule`; no organ that both know; another number of
                input channels.
        """
        source = _module(node, replace(wanted, window=wanted.windows[0]), "all").source
        if source.channels != wanted.channels:
            raise InputError(
                f"the network takes {counted(wanted.channels, 'input channel')}, and these data "
                f"have {source.channels}; say which with data.images, a pattern for each channel"
            )
        numbering = source.numbering
        names = common(list(wanted.organs), list(numbering))
        if not names:
            raise InputError(
                f"the network knows {', '.join(wanted.organs)}, these data {', '.join(numbering)}: "
                "no organ in common; name them alike in data.labels"
            )
        found = cls(_module(node, wanted, list(names.values())), wanted.organs, names)
        if found.missing:
            say(f"Left out, since these data have no labels of them: {', '.join(found.missing)}")
        return found

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest: what is explained, and which organs are not."""
        source = self.module.source
        told: dict[str, Any] = {"name": type(source).__name__, "settings": source.settings()}
        left_out = {"organs_left_out": self.missing} if self.missing else {}
        return {"explained_data": told, **left_out}

    @property
    def numbering(self) -> dict[str, int]:
        """Organ -> number in the label files, by the network's name where it has one."""
        ours = {theirs: name for name, theirs in self.names.items()}
        return {ours.get(name, name): n for name, n in self.module.source.numbering.items()}

    @property
    def missing(self) -> list[str]:
        """The network's organs that the data set has no labels of."""
        return [organ for organ in self.channels if organ not in self.names]

    def probes(self, n: int | None, part: str) -> Probes:
        """See :meth:`CaseDataModule.probes`."""
        return self._in_channels(self.module.probes(n, part))

    def spread(self, per_case: int, part: str) -> Probes:
        """See :meth:`CaseDataModule.spread`."""
        return self._in_channels(self.module.spread(per_case, part))

    def read_probes(self, plain: Mapping[str, Any]) -> Probes:
        """Slices that were saved without their images.

        Raises:
            InputError: see :meth:`CaseDataModule.read_probes`.
        """
        try:
            return self.module.read_probes(dict(plain))
        except InputError as error:
            raise InputError(f"{error}; or, for slices of these data, say probes.n=8") from error

    def sample(self, n: int) -> Tensor:
        """See :meth:`CaseDataModule.sample`."""
        return self.module.sample(n)

    def settings(self, given: Settings, named: bool) -> Settings:
        """What is explained, of the organs that both know.

        Args:
            given: what would be explained.
            named: the user named its organs, so that none may be left out.

        Raises:
            InputError: none of the organs has labels, or one that the user named.
        """
        organs = given.organs if given.organs is not None else list(self.channels)
        lacking = [organ for organ in organs if organ in self.missing]
        kept = [organ for organ in organs if organ not in lacking]
        if lacking and (named or not kept):
            raise InputError(
                f"no labels of {', '.join(lacking)} in these data, which have "
                f"{', '.join(self.module.source.numbering)}; leave it out of organs"
            )
        return replace(given, organs=kept) if lacking else given

    def _in_channels(self, probes: Probes) -> Probes:
        """Labels 1 … of the module's organs, as the network numbers them."""
        if probes.labels is None:
            return probes
        table = torch.zeros(256, dtype=probes.labels.dtype)
        for channel, organ in enumerate(self.names, 1):
            table[channel] = self.channels[organ]
        return replace(probes, labels=table[probes.labels.long()])


def _module(
    node: Mapping[str, Any], wanted: AnyPreprocessing, organs: str | list[str]
) -> "CaseDataModule":
    # Handed over as they are: a value of a checkpoint is never a part of the configuration.
    if isinstance(wanted, Preprocessing):
        own: dict[str, Any] = {"size": wanted.size, "resizing": wanted.resizing}
        if "patch" in node:  # data that may give volumes as well
            own |= {"patch": None, "spacing": None}
    else:
        own = {name: getattr(wanted, name) for name in ("patch", "spacing", "overlap")}
    module: CaseDataModule = construct("data", node, window=wanted.window, organs=organs, **own)
    return module


def common(ours: list[str], theirs: list[str]) -> dict[str, str]:
    """Organ of ours -> the same of theirs, whatever its case, separators and order of words.

    >>> common(["left_kidney", "liver", "aorta"], ["Liver", "kidney left", "spleen"])
    {'left_kidney': 'kidney left', 'liver': 'Liver'}
    """
    alike = {_words(name): name for name in reversed(theirs)}  # of several, the first
    found = {name: name if name in theirs else alike.get(_words(name)) for name in ours}
    return {name: other for name, other in found.items() if other is not None}


def _words(name: str) -> str:
    return " ".join(sorted(re.findall(r"[^\W_]+", name.casefold())))
