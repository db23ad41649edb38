"""Where cases come from: one small interface, and the NIfTI folders behind it."""

import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from segtrace.data.cases import Split, published_split
from segtrace.data.labels import BTCV, check_numbering
from segtrace.data.nifti import Volume, read_volume
from segtrace.errors import InputError, why


class CaseSource(Protocol):
    """What the pipeline needs to know of a data set."""

    numbering: dict[str, int]
    """Organ name -> number in the files."""

    def cases(self) -> tuple[str, ...]:
        """Every case name, in order."""
        ...

    def files(self, case: str) -> tuple[Path, ...]:
        """The files that determine the case."""
        ...

    def load(self, case: str) -> Volume:
        """The case as slices; its label in the numbers of ``numbering``."""
        ...

    def split(self) -> Split | None:
        """The split that comes with the data; None where the user has to give one."""
        ...

    def settings(self) -> dict[str, Any]:
        """Options, as plain values, that change what ``load`` returns."""
        ...


class NiftiSource:
    """Any labelled folder: image and label files found by a pattern each.

    Args:
        root: the folder.
        labels: organ name -> number in the label files.
        images: pattern below ``root`` with one ``*``, which stands for the case name; a pattern
            for ``.nii.gz`` finds ``.nii`` as well.
        masks: the same for the label files.
        other: what to do with label values outside the table: ``"refuse"`` or ``"background"``.
    """

    def __init__(
        self,
        root: str,
        labels: dict[str, int],
        images: str = "img/img*.nii.gz",
        masks: str = "label/label*.nii.gz",
        other: str = "refuse",
    ) -> None:
        if other not in ("refuse", "background"):
            raise InputError(f"data.other={other!r}; allowed are refuse, background")
        for pattern in (images, masks):
            if pattern.count("*") != 1:
                raise InputError(f"pattern {pattern!r} needs one *, which stands for the case name")
        self.numbering = check_numbering(labels)
        self.root = existing_folder(root)
        self.images, self.masks, self.other = images, masks, other

    def cases(self) -> tuple[str, ...]:
        """Every name for which there is an image.

        Raises:
            InputError: no image at all, or a label without an image.
        """
        images, masks = _matches(self.root, self.images), _matches(self.root, self.masks)
        if not images:
            raise InputError(f"{self.root}: no file matches {self.images}; check data.root")
        for name in sorted(masks.keys() - images.keys()):
            missing = self.root / self.images.replace("*", name)
            raise InputError(f"{masks[name]}: its image {missing} is missing; add it")
        return tuple(sorted(images))

    def files(self, case: str) -> tuple[Path, ...]:
        """The image and the label."""
        return _file(self.root, self.images, case), _file(self.root, self.masks, case)

    def load(self, case: str) -> Volume:
        """The case as slices.

        Raises:
            InputError: see :func:`segtrace.data.nifti.read_volume`.
        """
        volume = read_volume(case, *self.files(case))
        if self.other == "refuse" or volume.label is None:
            return volume
        known = np.isin(volume.label, list(self.numbering.values()))
        return replace(volume, label=np.where(known, volume.label, 0))

    def split(self) -> Split | None:
        """None: an arbitrary folder has no published split."""
        return None

    def settings(self) -> dict[str, Any]:
        """The label table and what happens to other values."""
        return {"numbering": self.numbering, "other": self.other}


class RawSource(NiftiSource):
    """The raw Synapse (BTCV) download: ``img/img0001.nii.gz`` and ``label/label0001.nii.gz``.

    Args:
        root: the folder that holds ``img/`` and ``label/``, or any parent of it.
    """

    def __init__(self, root: str) -> None:
        super().__init__(str(find_layout(root, ("img", "label"))), BTCV)

    def split(self) -> Split | None:
        """The published 18/12 split, if these are exactly the published cases."""
        return published_split(self.cases())


class PhantomSource(RawSource):
    """A generated abdominal CT, written on first use and then read like real data.

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
        super().__init__(str(_generated(Path(root), seed, cases, tuple(shape), workers)))


def _generated(root: Path, seed: int, cases: int, shape: tuple[int, ...], workers: int) -> Path:
    # Not above: whoever brings data of their own never needs the generator.
    from segtrace.data import phantom

    made_by = {"seed": seed, "cases": cases, "shape": shape, "generator": phantom.fingerprint()}
    digest = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:10]
    final = root / f"seed{seed}-{cases}x{'x'.join(map(str, shape))}-{digest}"
    if final.is_dir():
        return final
    try:
        root.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
    except OSError as error:
        raise InputError(
            f"{root}: cannot write the phantom ({why(error)}); give data.root=<a folder you "
            "can write>"
        ) from error
    phantom.write(partial, seed=seed, cases=cases, shape=shape, workers=workers)
    partial.replace(final)  # whole or not at all
    return final


def existing_folder(root: str | Path) -> Path:
    """The folder.

    Raises:
        InputError: there is none.
    """
    path = Path(root).expanduser()
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; give data.root=<the data set's folder>")
    return path


def find_layout(root: str | Path, parts: tuple[str, ...]) -> Path:
    """The one folder at or below ``root`` that holds all the sub-folders ``parts``.

    Raises:
        InputError: none, or several (listed).
    """
    top = existing_folder(root)
    found = sorted({path.parent for path in [top / parts[0], *top.rglob(parts[0])]
                    if all((path.parent / part).is_dir() for part in parts)})  # fmt: skip
    wanted = " and ".join(f"{part}/" for part in parts)
    if not found:
        raise InputError(f"{top}: no folder with {wanted} in or below it; check data.root")
    if len(found) > 1:
        raise InputError(
            f"{top}: several folders hold {wanted}: {', '.join(map(str, found))}; "
            "give data.root=<one of them>"
        )
    return found[0]


def _file(root: Path, pattern: str, case: str) -> Path:
    """The compressed file, or the plain one where only that exists."""
    path = root / pattern.replace("*", case)
    plain = path.with_name(path.name.removesuffix(".gz"))
    return plain if plain.is_file() and not path.is_file() else path


def _matches(root: Path, pattern: str) -> dict[str, Path]:
    """Case name -> file, compressed or plain."""
    before, after = pattern.removesuffix(".gz").split("*")
    name = re.compile(re.escape(before) + r"([^/]+)" + re.escape(after) + r"(\.gz)?")
    files = {path.relative_to(root).as_posix(): path for path in root.glob(f"{before}*{after}*")}
    found = ((name.fullmatch(relative), path) for relative, path in files.items())
    return {match[1]: path for match, path in found if match}
