"""The prepared cases of a data set, and what of them is watched: without any loader."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch

from segtrace.data.cases import Split, remedy
from segtrace.data.prepare import PreparedCase, prepare_all
from segtrace.data.probes import Probes, choose
from segtrace.data.sources import CaseSource, Later
from segtrace.data.views.view import Key, View, count
from segtrace.errors import InputError, unknown
from segtrace.names import check_shown
from segtrace.progress import say


class PreparedCases(ABC):
    """Cases of a source, prepared when first asked for, and what of them is watched.

    Attributes:
        organs: organ name -> channel.
        seed: of what is drawn.
        cache_dir: where they are kept.
        view_asked: what the network sees of a case, as far as the options say it.
    """

    organs: dict[str, int]
    seed: int
    cache_dir: str
    view_asked: View
    _given: CaseSource | Later
    _parts: Callable[[CaseSource], Split]
    _cases: dict[str, list[PreparedCase]]

    @property
    @abstractmethod
    def threads(self) -> int:
        """That prepare cases."""

    @cached_property
    def source(self) -> CaseSource:
        """Where the cases come from; written, or unpacked, when it is first asked for.

        Raises:
            InputError: it is not there, or cannot be made; names that cannot be shown.
        """
        found = self._given.make() if isinstance(self._given, Later) else self._given
        check_shown("case", found.cases())
        return found

    @cached_property
    def split(self) -> Split:
        """The cases of train, val and test; chosen when first asked for, as not all ask.

        Raises:
            InputError: see :func:`chosen_split`.
        """
        return self._parts(self.source)

    @cached_property
    def view(self) -> View:
        """What the network sees of a case; whole volumes are prepared before it is known."""
        return self.view_asked.settled(lambda: [*self.cases("train"), *self.cases("val")])

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What turns a volume into input, as plain values.

        See :class:`Preprocessing` and :class:`VolumePreprocessing`.
        """
        return self.view.preprocessing.to_plain()

    def cases(self, part: str) -> list[PreparedCase]:
        """The prepared cases of train, val or test; prepares them on first use.

        Raises:
            InputError: an unknown part, a broken file, a cache that cannot be written.
        """
        self.gather(part)
        return self._cases[part]

    def gather(self, *parts: str) -> None:
        """Prepare the cases of several parts of the split.

        Raises:
            InputError: see :meth:`cases`; broken files of all parts are named at once, and room is
                asked for all of them.
        """
        for part in parts:
            self._check_part(part)
        if "train" in parts and not self.split["train"]:
            raise InputError(
                "data.split names no cases to train on; "
                + remedy(self.source.cases(), self.source.held_out())
            )
        new = [part for part in dict.fromkeys(parts) if part not in self._cases]
        wanted = [(case, self.view_asked.native(part)) for part in new for case in self.split[part]]
        found = iter(
            prepare_all(
                self.source, wanted, self.view_asked.preprocessing, self.cache_dir, self.threads
            )
        )
        for part in new:
            self._cases[part] = list(islice(found, len(self.split[part])))

    def sample(self, n: int) -> torch.Tensor:
        """Training slices drawn at random, without augmentation: a function of the seed alone.

        Of volumes a patch of each of so many cases.

        Args:
            n: how many; all where there are fewer.

        Returns:
            (n, C, H, W) float32, in the order of cases and slices; or (n, C, D, H, W).
        """
        slices = self.view.training(self.cases("train"), self.seed, augmented=False)
        drawn = np.random.default_rng(self.seed).permutation(count(slices))[:n]
        return torch.stack([slices[int(row)]["image"] for row in np.sort(drawn)])

    def probes(self, n: int | None = None, from_: str = "val") -> Probes:
        """The slices to watch (see :func:`choose`), without augmentation.

        Of volumes at most one patch a case: the one with most of its organs.

        Args:
            n: how many; None: see :func:`usual`; five volumes.
            from_: ``"val"``, or ``"train"`` where seen slices are wanted; a split without
                validation cases has no others, which is said.

        Raises:
            InputError: a part that the split lacks.
        """
        if from_ == "val" and self.split["train"] and not self.split["val"]:
            say("No case validates, so the watched slices are of training cases, and marked so.")
            from_ = "train"
        self._check_filled(from_)
        keys, areas = self.view.candidates(self.cases(from_))
        n = self.view.usual(len(self.split[from_])) if n is None else n
        chosen = [keys[row] for row in choose(areas, keys, n, held=self._asked(self.split[from_]))]
        return self.view.with_originals(self._read(chosen, from_), self.source)

    def spread(self, per_case: int, part: str) -> Probes:
        """Slices of every case of a part: the one that shows most organs, then as probes.

        Where intervals are over cases, every case must have its say.

        Args:
            per_case: how many of each; fewer where a case shows fewer organs.
            part: ``"train"``, ``"val"`` or ``"test"``.

        Raises:
            InputError: a part that the split lacks, or a case without any organ.
        """
        self._check_filled(part)
        chosen = []
        for case in self.cases(part):
            keys, areas = self.view.fixed(case)
            held = self._asked([case.name])
            rows = choose(areas, keys, per_case, every_case=True, held=held)
            chosen += [keys[row] for row in rows]
        return self._read(chosen, part)

    def _asked(self, cases: Sequence[str]) -> str:
        """What is looked for, and where."""
        numbers = (f"{name} ({self.source.numbering[name]})" for name in self.organs)
        return f", {', '.join(numbers)}, in {', '.join(cases)}"

    def _check_part(self, part: str) -> None:
        if part not in self.split:
            raise unknown("part of the split", part, self.split)

    def _check_filled(self, part: str) -> None:
        self._check_part(part)
        if not self.split[part]:
            other = next(part for part in ("val", "train", "test") if self.split[part])
            raise InputError(
                f"the split has no {part} cases; say probes.from={other}, or name some with "
                "data.split"
            )

    def whole_cases(self, names: Collection[str], part: str) -> dict[str, dict[str, Any]]:
        """Case -> ``voxel_ml``, and ``truth_ml``: organ -> volume; plain values, for a checkpoint.

        Counted on the prepared slices, whose grid is the network's. NaN where mm are unknown.
        """
        return {
            case.name: {
                "voxel_ml": case.voxel_ml,
                "truth_ml": dict(
                    zip(self.organs, (case.areas.sum(0) * case.voxel_ml).tolist(), strict=True)
                ),
            }
            for case in self.cases(part)
            if case.name in names
        }

    def read_probes(self, plain: Mapping[str, Any]) -> Probes:
        """Probes that were saved without their images, read again and checked by their hash.

        Raises:
            InputError: a case or slice is not there, or shows something else.
        """
        keys = list(zip(plain["cases"], plain["slices"], strict=True))
        probes = self._read(keys, plain["split"]).checked(plain["hash"])
        return self.view.with_originals(probes, self.source)

    def _read(self, keys: Sequence[Key], part: str) -> Probes:
        return self.view.read(keys, {case.name: case for case in self.cases(part)}, part)
