"""A case in the cache: written once, believed only as long as it is what was written.

A folder of ``image.npy`` (D, size, size) float32, ``label.npy`` uint8 and ``index.json``. float32,
not half: then a slice read from the cache and the same slice preprocessed afresh are equal to the
bit (30 Synapse cases take 0.95 GB). A native one holds the file's own slices, (D, H, W), which are
resized when they are read (the 18 training cases of Synapse take 2.9 GB). One of volumes holds them
resampled, (z, y, x).
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.data.cache.digests import Digests
from segtrace.data.files.findings import Finding
from segtrace.data.files.geometry import Geometry
from segtrace.data.volumes.geometry import Shape, VolumeGeometry
from segtrace.errors import InputError, why
from segtrace.plain_files import check_plain

FORMAT = 3
"""Of these folders; a change of what they hold needs another number."""

INDEX = "index.json"
ARRAYS = ("image.npy", "label.npy")

_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


class LostSlicesError(InputError):
    """Prepared slices that were whole when the work began, and cannot be read any more.

    A loader's process hands an error on as the text of its whole traceback; the words proper are
    its end.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


@dataclass(frozen=True)
class PreparedCase:
    """A case in the cache.

    Attributes:
        name: the case.
        folder: its arrays.
        areas: (D, K) pixels of every organ on every slice, or plane, after resizing.
        geometry: the way back to the file's grid.
        phantom: the file says that it was generated.
        hounsfield_known: the values of its files are HU, or were before they were windowed.
        findings: what its user should know of its files.
        native: its arrays are the file's own slices.
    """

    name: str
    folder: Path
    areas: NDArray[np.int64]
    geometry: Geometry | VolumeGeometry
    phantom: bool
    hounsfield_known: bool = False
    findings: tuple[Finding, ...] = ()
    native: bool = False

    def __len__(self) -> int:
        return len(self.areas)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel of the prepared grid; NaN if unknown."""
        return self.geometry.voxel_ml

    @property
    def shape(self) -> Shape:
        """Of its volume, (z, y, x): as prepared; of slices, as they are shown."""
        geometry = self.geometry
        if isinstance(geometry, VolumeGeometry):
            return geometry.shape
        return len(self), geometry.size, geometry.size

    def image(self, index: int) -> NDArray[np.float32]:
        """One slice (size, size) in [0, 1], or as far beyond as its resizing goes.

        Of several channels (C, size, size).

        Raises:
            LostSlicesError: see there.
        """
        return self.fitted_image(self.stored("image.npy", index))

    def label(self, index: int) -> NDArray[np.uint8]:
        """One slice's channels (size, size); likewise."""
        return self.fitted_label(self.stored("label.npy", index))

    def stored(self, name: str, index: int) -> NDArray[Any]:
        """One slice of one of :data:`ARRAYS`, as it is kept: what is augmented; likewise."""
        return self._read(name, index, f", slice {index}")

    def region(self, z: slice, y: slice, x: slice) -> tuple[NDArray[Any], NDArray[Any]]:
        """A part of the image (z, y, x), or (z, C, y, x), and of the label; likewise."""
        image, label = ARRAYS
        # Channels, where there are several, lie behind the planes.
        return self._read(image, (z, ..., y, x)), self._read(label, (z, y, x))

    def _read(self, name: str, index: Any, which: str = "") -> NDArray[Any]:
        try:
            # Mapped anew each time: an open map would be pickled whole into every worker.
            return np.array(np.load(self.folder / name, mmap_mode="r")[index])
        except (OSError, ValueError, IndexError, EOFError) as error:
            reason = why(error) if isinstance(error, OSError) else error
            raise LostSlicesError(
                f"case {self.name}{which}: {self.folder / name} was taken away or changed "
                f"while it was in use ({reason}); the next start makes it anew"
            ) from error

    def fitted_image(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """A slice as it is kept -> (size, size)."""
        return self.geometry.resize_images(image[None])[0] if self.native else image

    def fitted_label(self, label: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Channels as they are kept -> (size, size)."""
        return self.geometry.resize_labels(label[None])[0] if self.native else label


def read_case(
    name: str,
    folder: Path,
    digests: Digests,
    written: Mapping[str, NDArray[Any]] | None = None,
) -> PreparedCase | None:
    """The case that a folder holds; ``None`` where it holds anything but what was written.

    Args:
        name: the case.
        folder: its entry.
        digests: of files that have not changed.
        written: the arrays that were just written there: to compare takes half of what to hash
            does.
    """
    try:
        index = _read_index(folder)
        digests.learn(index.get("seen"))
        # Where they differ, another process may have been first.
        if not _holds(folder, written or {}) and index["arrays"] != _hashes(folder, digests):
            return None
        return PreparedCase(
            name=name,
            folder=folder,
            areas=np.array(index["areas"], dtype=np.int64),
            geometry=_geometry(index["geometry"]),
            phantom=index["phantom"],
            hounsfield_known=index["hounsfield_known"],
            findings=tuple(map(Finding.from_plain, index["findings"])),
            native=index.get("native") is True,
        )
    except _DAMAGE:
        return None


def _holds(folder: Path, written: Mapping[str, NDArray[Any]]) -> bool:
    """Whether all arrays of an entry are these to the bit."""
    return {*written} == {*ARRAYS} and all(
        _is_same(np.load(folder / name, mmap_mode="r"), values) for name, values in written.items()
    )


def _is_same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    bits = f"u{other.itemsize}"  # of which NaN is equal to itself
    return one.dtype == other.dtype and np.array_equal(one.view(bits), other.view(bits))


def _geometry(plain: dict[str, Any]) -> Geometry | VolumeGeometry:
    return (VolumeGeometry if "shape" in plain else Geometry).from_plain(plain)


def learn_hashes(cache: Path, case: str, digests: Digests) -> None:
    """What any entry of a case remembers of its files."""
    for path in cache.glob(f"{_escaped(case)}-*/{INDEX}"):
        with suppress(*_DAMAGE):
            digests.learn(_read_index(path.parent).get("seen"))


def versions_of(cache: Path, case: str) -> set[str]:
    """What the entries of a case say of the versions that made them."""
    found = set()
    for path in cache.glob(f"{_escaped(case)}-*/{INDEX}"):
        with suppress(*_DAMAGE):
            found.add(str(_read_index(path.parent)["made_by"]))
    return found


def _escaped(case: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in case)


def write_index(folder: Path, facts: Mapping[str, Any]) -> None:
    """Finish a folder whose arrays are written.

    Raises:
        OSError: it cannot be written.
    """
    whole = {**facts, "arrays": _hashes(folder, Digests())}
    (folder / INDEX).write_text(json.dumps({"check": _check(whole), **whole}))


def remember(folder: Path, files: Sequence[Path], digests: Digests) -> None:
    """Keep what was found out about these files and the folder's own, for the next time.

    What it does not say is found out again, so that a folder which cannot be written is fine.
    """
    rows = digests.rows([*files, *(folder / name for name in ARRAYS)])
    with suppress(*_DAMAGE):
        index = _read_index(folder)
        if rows and index.get("seen") != rows:
            new = folder / f".{INDEX}.{os.getpid()}"
            try:
                new.write_text(json.dumps({**index, "seen": rows}))
                new.replace(folder / INDEX)
            finally:  # also what others left that were killed; of those that live it is no loss
                for draft in folder.glob(f".{INDEX}.*"):
                    draft.unlink()


def _read_index(folder: Path) -> dict[str, Any]:
    """What was written.

    Raises:
        ValueError: something else is there.
        OSError: it cannot be read.
    """
    check_plain(folder / INDEX)
    index = json.loads((folder / INDEX).read_text())
    facts = {key: value for key, value in index.items() if key not in ("check", "seen")}
    if index["check"] != _check(facts):
        raise ValueError(f"{folder}: changed")
    return {**facts, "check": index["check"], "seen": index.get("seen")}


def _check(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _hashes(folder: Path, digests: Digests) -> dict[str, str]:
    return {name: digests.of(folder / name) for name in ARRAYS}
