"""Where cases come from: one small interface, and the NIfTI folders behind it."""

import functools
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from segtrace.data.cache.drafts import draft
from segtrace.data.cases import TEST12, VAL3, Split, published_split
from segtrace.data.files.archives import unpacked
from segtrace.data.files.finding_files import (
    check_pattern,
    existing_folder,
    find_layout,
    matches,
    named,
)
from segtrace.data.files.nifti import Volume, read_volume
from segtrace.data.files.stored import Shape, shape_of
from segtrace.data.labels import BTCV, only_known, whole_numbers
from segtrace.data.published.numberings import numbering_of
from segtrace.errors import InputError, why


class CaseSource(Protocol):
    """What the pipeline needs to know of a data set."""

    numbering: dict[str, int]
    """Organ name -> number in the files."""

    @property
    def channels(self) -> int:
        """Of an image."""
        ...

    def cases(self) -> tuple[str, ...]:
        """Every case name, in order."""
        ...

    def files(self, case: str) -> tuple[Path, ...]:
        """The files that determine the case."""
        ...

    def shape(self, case: str) -> Shape | None:
        """Of the case as slices, which are not read; None where ``load`` will say what is wrong."""
        ...

    def load(self, case: str) -> Volume:
        """The case as slices; its label in the numbers of ``numbering``."""
        ...

    def split(self) -> Split | None:
        """The split that comes with the data; None where the user has to give one."""
        ...

    def held_out(self) -> tuple[str, ...]:
        """Cases that are for the test alone, whatever becomes of the others; may be empty."""
        ...

    def settings(self) -> dict[str, Any]:
        """Options, as plain values, that change what ``load`` returns."""
        ...


@dataclass(frozen=True)
class Later:
    """A source that is made, which may take minutes, once all that is asked of it stands.

    Attributes:
        make: writes it, or unpacks it.
        numbering: what its files will be numbered by.
        channels: of its images.
    """

    make: Callable[[], CaseSource]
    numbering: Mapping[str, int]
    channels: int = 1


class NiftiSource:
    """Any labelled folder: image and label files found by a pattern each.

    Args:
        root: the folder.
        labels: organ name -> number in the label files; or a name of
            :data:`segtrace.data.published.numberings.NUMBERINGS`.
        images: pattern below ``root`` with one ``*``, which stands for the case name; a pattern
            for ``.nii.gz`` finds ``.nii`` as well. Of several input channels one for each.
        masks: the same for the label files.
        other: what to do with label values outside the table: ``"refuse"`` or ``"background"``.
    """

    _remedy = (
        "add it to data.labels, or say data.other=background to take all such values as background"
    )

    def __init__(
        self,
        root: str,
        labels: str | dict[str, int],
        images: str | Sequence[str] = "img/img*.nii.gz",
        masks: str = "label/label*.nii.gz",
        other: str = "refuse",
    ) -> None:
        self.images = (images,) if isinstance(images, str) else tuple(images)
        if not self.images:
            raise InputError("data.images=[]; give a pattern for each input channel")
        if other not in ("refuse", "background"):
            raise InputError(f"data.other={other!r}; allowed are refuse, background")
        for option, pattern in (*(("images", one) for one in self.images), ("masks", masks)):
            check_pattern(option, pattern)
        self.numbering = numbering_of(labels)
        self.root = existing_folder(root)
        self.masks, self.other = masks, other

    @property
    def channels(self) -> int:
        """Of an image: as many as there are files of it."""
        return len(self.images)

    def cases(self) -> tuple[str, ...]:
        """Every name for which there is an image.

        Raises:
            InputError: no image at all, or a label without an image.
        """
        first = self.images[0]
        images, masks = matches(self.root, first), matches(self.root, self.masks)
        if not images:
            raise InputError(f"{self.root}: no file matches {first}; check data.root")
        for name in sorted(masks.keys() - images.keys()):
            missing = self.root / first.replace("*", name)
            raise InputError(f"{masks[name]}: its image {missing} is missing; add it")
        return tuple(sorted(images))

    def files(self, case: str) -> tuple[Path, ...]:
        """The image, channel by channel, and the label."""
        return tuple(named(self.root, one, case) for one in (*self.images, self.masks))

    def shape(self, case: str) -> Shape | None:
        """Of the image, by its header."""
        return shape_of(self.files(case)[0])

    def load(self, case: str) -> Volume:
        """The case as slices.

        Raises:
            InputError: see :func:`segtrace.data.files.nifti.read_volume`.
        """
        *images, mask = self.files(case)
        volume = read_volume(case, images[0], mask, images[1:])
        if volume.label is None:
            return volume
        numbers = whole_numbers if self.other == "refuse" else only_known
        label = numbers(volume.label, self.numbering, volume.where)
        return replace(volume, label=label, remedy=self._remedy)

    def split(self) -> Split | None:
        """None: an arbitrary folder has no published split."""
        return None

    def held_out(self) -> tuple[str, ...]:
        """None, likewise."""
        return ()

    def settings(self) -> dict[str, Any]:
        """The label table and what happens to other values."""
        return {"numbering": self.numbering, "other": self.other}


class RawSource(NiftiSource):
    """The raw Synapse (BTCV) download: ``img/img0001.nii.gz`` and ``label/label0001.nii.gz``.

    Args:
        root: the folder that holds ``img/`` and ``label/``, or any parent of it; or the archive as
            it comes, ``RawData.zip``, or a folder with that: it is unpacked beside itself, once.
    """

    _remedy = (
        "correct the file; for labels of another numbering say data=nifti data.labels={…}, and "
        "data.other=background to take other values as background"
    )

    def __init__(self, root: str) -> None:
        super().__init__(str(find_layout(unpacked(root), ("img", "label"))), BTCV)

    def split(self) -> Split | None:
        """The published 18/12 split, if these are exactly the published cases."""
        return published_split(self.cases())

    def held_out(self) -> tuple[str, ...]:
        """The published test cases."""
        there = self.cases()
        return tuple(case for case in TEST12 if case in there)


class PhantomSource(RawSource):
    """A generated abdominal CT, written on first use and then read like real data.

    Nothing is compared with the published tables, so that its cases may validate as claims need:
    15 train, the published 12 validate, 3 are for the test.

    Args:
        root: the folder in which phantoms are kept, one sub-folder per kind.
        seed: of the generator.
        cases: how many cases; 30 carry the published names and split.
        shape: voxels (left-right, front-back, foot-head).
        workers: processes that generate; changes nothing in the files.
    """

    def __init__(
        self,
        root: str = "data/phantom",
        seed: int = 0,
        cases: int = 30,
        shape: Sequence[int] = (160, 160, 48),
        workers: int = 2,
    ) -> None:
        self._folder = _generated(Path(root), seed, cases, tuple(shape), workers)
        super().__init__(str(self._folder))

    def split(self) -> Split | None:
        """The published cases, of which the twelve validate: fewer than five carry no claim."""
        published = super().split()
        return published and published | {"val": published["test"], "test": published["val"]}

    def held_out(self) -> tuple[str, ...]:
        """The three that are left for the test."""
        there = self.cases()
        return tuple(case for case in VAL3 if case in there)

    def load(self, case: str) -> Volume:
        """The case as slices.

        Raises:
            InputError: its files are damaged.
        """
        try:
            return super().load(case)
        except InputError as error:
            raise InputError(
                f"{error}; since it is generated, remove {self._folder}, and it is made anew"
            ) from error


def _generated(root: Path, seed: int, cases: int, shape: tuple[int, ...], workers: int) -> Path:
    # Not above: whoever brings data of their own never needs the generator.
    from segtrace.data.phantom import phantom

    made_by = {"seed": seed, "cases": cases, "shape": shape, "generator": phantom.fingerprint()}
    digest = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:10]
    final = root / f"seed{seed}-{cases}x{'x'.join(map(str, shape))}-{digest}"
    whole = functools.partial(_is_whole, cases=cases)
    if whole(final):
        return final
    if final.exists():
        warnings.warn(
            f"{final}: files of the phantom are missing, so it is made anew", stacklevel=3
        )
    try:
        with draft(final, whole) as partial:
            phantom.write(partial, seed=seed, cases=cases, shape=shape, workers=workers)
    except OSError as error:
        raise InputError(
            f"{root}: cannot write the phantom ({why(error)}); give data.root=<a folder you "
            "can write>"
        ) from error
    return final


def _is_whole(folder: Path, cases: int) -> bool:
    """Whether every case has its two files."""
    found = [folder.glob(f"RawData/Training/{part}/{part}*.nii.gz") for part in ("img", "label")]
    return [len(list(files)) for files in found] == [cases, cases]
